"""What is refused before the first generation, against exhaustive and random networks."""

from __future__ import annotations

import numpy as np
import pytest

import cost_models
from msenas_hw.search import bounds, evaluate, search, setting
from msenas_hw.search.devices import parameters
from msenas_hw.space import arch_id, decode, mutate, sample
from targets.errors import BudgetError

SPACES = {
    "two sizes": {"cells": [1, 2], "widths": [2, 3], "kernels": [3]},
    "no lateral": {"cells": [2, 2], "widths": [2], "motifs": ["feedback_inhibition", "mutual_inhibition"]},
    "wide": {"cells": [1, 3], "widths": [12], "max_halvings": 1, "kernels": [5]},
}


@pytest.mark.parametrize("name", SPACES)
def test_no_network_has_fewer_parameters_than_proven(config, name):
    experiment = config(space=SPACES[name])
    given = setting(experiment)
    bound = bounds.least_parameters(experiment.space, given.task)
    attained = [parameters(decode(one, given.task)) for one in bounds.smallest(experiment.space, given.task)]
    assert min(attained) == bound
    rng = np.random.default_rng(1)
    genome = sample(rng, experiment.space, given.task)
    for _ in range(40):  # downhill, so that the walk comes near the bound
        child = mutate(genome, rng, experiment.space, given.task)
        fewer = parameters(decode(child, given.task))
        assert fewer >= bound
        genome = child if fewer <= parameters(decode(genome, given.task)) else genome


def test_limits_just_below_and_at_the_least_value(config):
    space = SPACES["two sizes"]
    fewest = bounds.least_parameters(config(space=space).space, setting(config(space=space)).task)
    for allowed, passes in ((fewest, True), (fewest - 1, False)):
        experiment = config(space=space, budget={"parameters": allowed})
        if passes:
            bounds.require_possible(experiment, setting(experiment))
            continue
        with pytest.raises(BudgetError, match=rf"parameters binds: found {fewest}, .*proven") as caught:
            bounds.require_possible(experiment, setting(experiment))
        assert f"allowed {allowed} " in str(caught.value)


@pytest.mark.parametrize(
    ("resource", "label"),
    [("cores", "exact"), ("memory", "exact"), ("energy_j", "lower bound"), ("latency_s", "lower bound")],
)
def test_what_the_smallest_networks_exceed_is_refused_with_the_best_value(config, resource, label):
    space = {"cells": [1, 1], "widths": [2], "kernels": [3], "models": ["if"]}
    least = {"cores": 1, "memory": 1, "energy_j": 1e-15, "latency_s": 1e-12}[resource]
    experiment = config(space=space, budget={resource: least})
    with pytest.raises(BudgetError, match=f"{resource} binds.*{label}") as caught:
        bounds.require_possible(experiment, setting(experiment))
    found = float(str(caught.value).partition("found ")[2].partition(",")[0])
    given = setting(config(space=space))
    rng = np.random.default_rng(3)
    for _ in range(4):
        genome = sample(rng, experiment.space, given.task)
        measured = evaluate(genome, arch_id(genome, given.task), given)
        assert getattr(measured, resource) >= found * (1 - 1e-5) or not measured.alive


def test_no_spike_means_no_operation(config):
    experiment = config()
    given = setting(experiment)
    genome = next(bounds.smallest(experiment.space, given.task))
    graph = decode(genome, given.task)
    run = bounds._without_spikes(graph, given.task.steps)
    assert cost_models.estimate(graph, run, "loihi1-sanafe").as_json()["synops"] == 0


def test_a_search_refuses_before_it_evaluates(config, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.engine.Engine.run", None)
    with pytest.raises(BudgetError, match="parameters binds"):
        search(config(budget={"parameters": 3}))
