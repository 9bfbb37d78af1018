"""The four algorithms: evaluations, first generation, constrained domination, and what they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from msenas_hw.config import BudgetConfig
from msenas_hw.search import Measured, algorithms, objectives, pool, search, setting
from msenas_hw.search.operators import Operators
from msenas_hw.space import sample
from targets.errors import ConfigError

pytestmark = pytest.mark.usefixtures("quick")
FIVE = [*objectives.OBJECTIVES, "cores", "spikes"]
ALL = ("nsga2", "nsga3", "random", "regularised")


@pytest.mark.parametrize("algorithm", ALL)
def test_every_algorithm_spends_the_same_evaluations_on_new_architectures(config, algorithm):
    def keys():
        return [trial.key for trial in search(config(search={"algorithm": algorithm})).trials()]

    first = keys()
    assert len(set(first)) == len(first) == 32
    assert first == keys()


def test_one_seed_gives_all_of_them_one_first_generation(config):
    found = {
        name: {t.key for t in search(config(search={"algorithm": name, "generations": 2})).trials()[:8]}
        for name in ALL
    }
    assert found["nsga2"] == found["nsga3"] == found["random"] == found["regularised"]


@pytest.mark.parametrize(
    "names", [("fitness",), ("energy_j",), ("spikes", "parameters"), ("fitness", "synops", "cores", "memory")]
)
def test_any_objectives_decide_the_front(config, names, monkeypatch):
    invented = pool.evaluate

    def varied(genome, arch, given):
        found = invented(genome, arch, given)
        chance = int(arch[:6], 16) / 16**6
        return replace(found, spikes=100 * chance, synops=3e3 * (1 - chance), memory=len(genome.to_json()))

    monkeypatch.setattr(pool, "evaluate", varied)
    for algorithm in ("nsga2", "nsga3"):
        study = search(config(search={"algorithm": algorithm, "objectives": names, "generations": 3}))
        good = [trial for trial in study.trials() if trial.measured.alive]
        points = np.array([objectives.objectives(trial.measured, names) for trial in good])
        undominated = {
            trial.key
            for trial, point in zip(good, points, strict=True)
            if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
        }
        assert {trial.key for trial in study.front()} == undominated


def test_evolution_finds_more_than_chance(config):
    """Networks of least energy, whose figures depend on the genome's size alone."""
    ends = {}
    for name in ("nsga2", "random", "regularised"):
        wanted = {"algorithm": name, "objectives": ["energy_j"], "generations": 12, "seed": 5}
        trials = search(config(search=wanted)).trials()
        ends[name] = np.mean([trial.measured.energy_j for trial in trials[-16:]])
    assert ends["nsga2"] < 0.8 * ends["random"]
    assert ends["regularised"] < 0.8 * ends["random"]


def test_regularised_evolution_lets_the_oldest_die(config):
    experiment = config(search={"algorithm": "regularised", "objectives": ["energy_j"]})
    shared = Operators(experiment, setting(experiment))
    algorithm = algorithms.proposer(shared)
    for age in range(3):
        asked = algorithm.ask(8)
        found = [Measured(shared.key(one), "", alive=True, energy_j=1.0 + age) for one in asked]
        shared.known.update(one.arch for one in found)
        algorithm.tell(asked, found)
        algorithm.advance()
    assert isinstance(algorithm, algorithms.Regularised)
    # Eight of the first, then one at a time: two of them have died, though they were the best.
    assert [member.point[0] for member in algorithm._members] == [1.0] * 6 + [2.0, 3.0]


def test_a_tournament_prefers_the_smaller_violation(config):
    experiment = config(search={"algorithm": "regularised"}, budget={"energy_j": 1.0})
    shared = Operators(experiment, setting(experiment))
    algorithm = algorithms.Regularised(shared)
    rng = np.random.default_rng(0)
    genomes = [sample(rng, experiment.space, shared.given.task) for _ in range(2)]
    over = Measured("a", "", alive=True, fitness=9.0, energy_j=3.0)
    algorithm.tell(genomes, [over, replace(over, fitness=1.0, energy_j=2.0)])
    assert all(algorithm._winner(np.random.default_rng(seed)) == genomes[1] for seed in range(5))


def test_reference_directions_never_outnumber_the_population():
    for dimensions in range(1, 9):
        for population in (8, 32, 100):
            found = algorithms._options("nsga3", dimensions, population)["ref_dirs"]
            assert dimensions <= len(found) <= population
            assert np.allclose(found.sum(axis=1), 1.0)


def test_violations_are_relative_and_so_of_one_scale():
    """Twice the energy allowed weighs as much as twice the cores allowed."""
    budget = BudgetConfig.model_validate({"energy_j": 1e-6, "cores": 50, "parameters": 1000})
    base = Measured("a", "{}", alive=True, energy_j=1e-6, cores=50, parameters=1000)
    assert objectives.feasible(base, budget)
    for change in ({"energy_j": 2e-6}, {"cores": 100}, {"parameters": 2000}):
        assert sum(objectives.violations(replace(base, **change), budget).values()) == 1.0


def test_what_breaks_a_structural_limit_is_not_evaluated_but_replaced(config, monkeypatch):
    run = []
    invented = pool.evaluate

    def structured(genome, arch, given):
        found = invented(genome, arch, given)
        if found.cores > 60:
            return Measured(arch, genome.to_json(), cores=found.cores, rejected=True)
        run.append(arch)
        return found

    monkeypatch.setattr(pool, "evaluate", structured)
    for algorithm in ALL:
        run.clear()
        study = search(config(search={"algorithm": algorithm}, budget={"cores": 60}))
        assert len(study.trials()) == len(run) == 32
        assert all(trial.measured.cores <= 60 for trial in study.trials())


def test_where_next_to_nothing_fits_the_nearest_networks_begin(config, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.require_possible", lambda config, given: None)
    monkeypatch.setattr("msenas_hw.search.engine.UNFIT_MOST", 3)
    invented = pool.evaluate
    asked = []

    def structured(genome, arch, given):
        found = invented(genome, arch, given)
        asked.append(found.cores)
        return replace(found, rejected=found.cores > 20)

    monkeypatch.setattr(pool, "evaluate", structured)
    limits = {"search": {"generations": 2, "infeasible_generations": 2}, "budget": {"cores": 20}}
    study = search(config(space={"widths": [4, 8, 16]}, **limits))
    first = [trial.measured.cores for trial in study.trials()[:8]]
    assert max(first) > 20
    assert max(first) < np.mean(asked[:24])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"search": {"objectives": ["fitness", "fitness"]}}, "search.objectives: found"),
        ({"search": {"objectives": ["speed"]}}, "search.objectives.0: found 'speed'"),
        (
            {"search": {"algorithm": "nsga3", "population": 4, "objectives": FIVE}},
            "search.population: found 4, allowed at least 5",
        ),
        ({"baselines": {"algorithms": ["nsga2"]}}, "baselines.algorithms: found 'nsga2'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(config, section, message):
    with pytest.raises(ConfigError) as caught:
        config(**section)
    assert message in str(caught.value)
