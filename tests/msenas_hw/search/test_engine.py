from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from msenas_hw.config import BudgetConfig
from msenas_hw.search import Measured, archive, objectives, pool, search, setting
from msenas_hw.space import Genome, arch_id
from targets.errors import BudgetError, MsenasError

pytestmark = pytest.mark.usefixtures("quick")


def test_every_trial_is_a_new_architecture(config):
    trials = search(config()).trials()
    assert [trial.number for trial in trials] == list(range(32))
    assert [trial.generation for trial in trials] == [1] * 8 + [2] * 8 + [3] * 8 + [4] * 8
    assert len({trial.key for trial in trials}) == 32


def test_names_are_canonical_hashes(config):
    experiment = config()
    study = search(experiment)
    task = setting(experiment).task
    for trial in study.trials()[:5]:
        assert arch_id(Genome.from_json(trial.measured.genome), task) == trial.key


def test_the_same_seed_gives_the_same_trials_and_another_does_not(config):
    first, second = search(config()).trials(), search(config()).trials()
    assert [t.key for t in first] == [t.key for t in second]
    other = search(config(search={"seed": 4})).trials()
    assert {t.key for t in first}.isdisjoint({t.key for t in other[:8]})


def test_order_of_results_does_not_matter(config, monkeypatch):
    expected = [trial.key for trial in search(config()).trials()]

    class Backwards(pool.Alone):
        def measure(self, jobs):
            yield from reversed(list(super().measure(jobs)))

    monkeypatch.setattr(pool, "Alone", Backwards)
    assert [trial.key for trial in search(config()).trials()] == expected


def test_front_is_the_feasible_nondominated_set(config):
    study = search(config(budget={"energy_j": 8e-7}))
    good = [t for t in study.trials() if t.measured.alive and t.measured.energy_j <= 8e-7]
    points = {t.key: np.array(objectives.objectives(t.measured)) for t in good}

    def dominated(key):
        return any((p <= points[key]).all() and (p < points[key]).any() for p in points.values())

    front = study.front()
    assert {t.key for t in front} == {key for key in points if not dominated(key)}
    assert front
    assert study.chosen == max(front, key=lambda t: t.measured.fitness).key


def test_selection_moves_towards_the_budget(config):
    """Constrained domination: later generations violate the budget less than the random first one."""
    study = search(
        config(budget={"energy_j": 2.5e-7}, search={"generations": 12, "infeasible_generations": 12})
    )
    over = [[], []]
    for trial in study.trials():
        if trial.generation in (1, 12):
            over[trial.generation == 12].append(max(0.0, trial.measured.energy_j / 2.5e-7 - 1))
    assert np.mean(over[1]) < np.mean(over[0])


def test_hypervolume_never_shrinks(config):
    volumes = [state.hypervolume for state in search(config(search={"generations": 8})).generations()]
    assert all(later >= earlier for earlier, later in itertools.pairwise(volumes))
    assert volumes[-1] > 0


def test_a_failed_evaluation_is_recorded_and_never_chosen(config, monkeypatch):
    invented = pool.evaluate

    def sometimes(genome, arch, given):
        fails = len(genome.cells) == 2
        return (
            Measured(arch, genome.to_json(), failure="ValueError: no")
            if fails
            else invented(genome, arch, given)
        )

    monkeypatch.setattr(pool, "evaluate", sometimes)
    study = search(config())
    failed = [trial for trial in study.trials() if trial.measured.failure]
    assert failed
    assert not {trial.key for trial in failed} & {trial.key for trial in study.front()}


def test_a_defect_in_every_evaluation_is_an_error(config, monkeypatch):
    monkeypatch.setattr(
        pool,
        "evaluate",
        lambda genome, arch, given: Measured(arch, genome.to_json(), failure="KeyError: 'x'"),
    )
    with pytest.raises(MsenasError, match=r"all 8 evaluations failed.*KeyError"):
        search(config())


def test_an_infeasible_budget_names_what_binds(config, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.require_possible", lambda config, given: None)
    with pytest.raises(BudgetError) as caught:
        search(config(budget={"energy_j": 1e-9, "cores": 10**6}))
    message = str(caught.value)
    least = min(
        trial.measured.energy_j
        for trial in search(config(search={"generations": 3})).trials()
        if trial.measured.alive
    )
    assert "energy_j binds" in message
    assert "allowed 1e-09" in message
    found = float(message.partition("found ")[2].partition(",")[0])
    assert 1e-9 < found <= least


def test_limits_that_exclude_each_other_are_told_apart():
    limit = BudgetConfig(energy_j=1.0, latency_s=1.0)
    base = Measured("a", "{}", alive=True, energy_j=0.5, latency_s=3.0)
    error = objectives.closest([base, replace(base, arch="b", energy_j=1.5, latency_s=0.5)], limit)
    assert "energy_j binds" in str(error)
    assert "network b" in str(error)
    assert "not all together" in str(error)


def test_networks_that_do_not_fit_or_live_are_named():
    limit = BudgetConfig(energy_j=1.0)
    rule = {"rule": "fan_in", "node": "n", "found": 5000, "allowed": 4096, "hint": ""}
    unfit = Measured("a", "{}", alive=True, misfit=0.2, broken=(rule,))
    assert "rule fan_in is broken, found 5000, allowed 4096" in str(objectives.closest([unfit], limit))
    assert "silent or saturated" in str(objectives.closest([Measured("a", "{}")], limit))


def test_a_space_smaller_than_the_population_is_searched_whole(config):
    space = {
        "cells": [1, 1], "widths": [2], "motifs": ["feed_forward_excitation"], "models": ["if"],
        "thresholds": [1.0], "kernels": [3], "max_halvings": 0, "feedback": False,
    }  # fmt: skip
    trials = search(config(space=space)).trials()
    assert 1 <= len(trials) < 8
    assert len({trial.key for trial in trials}) == len(trials)


def test_a_robust_front_holds_under_every_cost_model(config, monkeypatch):
    invented = pool.evaluate

    def judged(genome, arch, given):
        found = invented(genome, arch, given)
        other = found.energy_j * (1 + hash_of(arch) % 97)
        return replace(found, energies={"loihi1-sanafe": found.energy_j, "truenorth": other})

    monkeypatch.setattr(pool, "evaluate", judged)
    plain = search(config(budget={"models": ["truenorth"]}))
    robust = archive.front(plain.trials(), BudgetConfig(models=("truenorth",), robust=True))

    assert 0 < len(robust) < len(plain.front())
    for trial in robust:
        mine = trial.measured
        for name in ("loihi1-sanafe", "truenorth"):
            for rival in (
                t.measured for t in plain.trials() if objectives.feasible(t.measured, BudgetConfig())
            ):
                better = (
                    rival.fitness >= mine.fitness,
                    rival.energies[name] <= mine.energies[name],
                    rival.latency_s <= mine.latency_s,
                )
                same = (rival.fitness, rival.energies[name], rival.latency_s) == (
                    mine.fitness, mine.energies[name], mine.latency_s,
                )  # fmt: skip
                assert not all(better) or same


def hash_of(arch: str) -> int:
    return int(arch[:4], 16)


@pytest.mark.parametrize("budget", [{"robust": True}, {"models": ["loihi1-sanafe"]}])
def test_robust_needs_other_models(config, budget):
    with pytest.raises(MsenasError, match=r"budget\.(robust|models)"):
        config(budget=budget)
