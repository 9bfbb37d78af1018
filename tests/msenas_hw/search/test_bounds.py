"""What is refused before the first generation, against exhaustive and random networks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import cost_models
from msenas_hw.search import bounds, evaluate, search, setting
from msenas_hw.search.devices import fitted, parameters
from msenas_hw.space import MOTIFS, SpaceConfig, Task, arch_id, decode, mutate, sample
from targets.errors import BudgetError

PLAIN = {"models": ("if",), "thresholds": (1.0,), "feedback": False}
SPACES = {
    # every motif; widths and kernels
    "one cell": (
        {"cells": (1, 1), "widths": (2, 3), "motifs": tuple(MOTIFS), "kernels": (3, 5), "max_halvings": 1},
        Task((1, 5, 4), 5, 4),
    ),
    # wiring, and kernels that few pixels make small
    "two cells": (
        {"cells": (2, 2), "widths": (2,), "motifs": ("feed_forward_excitation",), "kernels": (5,),
         "max_halvings": 2, "feedback": True},
        Task((1, 8, 8), 3, 4),
    ),
    # the two motifs of which none holds the other
    "rivals": (
        {"cells": (2, 2), "widths": (2,), "motifs": ("feed_forward_inhibition", "mutual_inhibition"),
         "kernels": (3,), "max_halvings": 0},
        Task((2, 5, 7), 3, 4),
    ),
}  # fmt: skip
DEVICES = ("loihi1", "loihi2", "speck2f")
FIGURES = ("cores", "memory")


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """Chips of a mesh with so few compartments a core that small networks are cut, and all others."""
    folder, own = tmp_path_factory.mktemp("devices"), Path(cost_models.__file__).parent / "devices"
    for name in ("loihi1", "loihi2"):
        head, mark, rest = (own / f"{name}.toml").read_text().partition("[constants.compartments]\nvalue = ")
        assert mark
        (folder / f"{name}-small.toml").write_text(f"{head}{mark}40{rest[4:]}")
    return *DEVICES, *(str(file) for file in sorted(folder.iterdir()))


def least(found):
    fitting = [one for one in found if not one["broken"]]
    return [min((one[key] for one in fitting), default=None) for key in FIGURES]


@pytest.mark.parametrize("name", SPACES)
def test_no_network_of_a_small_space_takes_less_than_the_cheapest(name, every, devices):
    section, task = SPACES[name]
    space = SpaceConfig.model_validate(PLAIN | section)
    graphs = [decode(genome, task) for genome in every(space, task).values()]
    cheapest = [decode(one, task) for one in bounds.candidates(space, task, min(space.widths))]
    assert len(graphs) > 3 * len(cheapest)
    assert bounds.least_parameters(space, task) == min(map(parameters, graphs))
    told = [least([fitted(graph, chip) for graph in cheapest]) for chip in devices]
    assert told == [least([fitted(graph, chip) for graph in graphs]) for chip in devices]
    assert told[0][0] is not None


LARGE = SpaceConfig(cells=(1, 3), widths=(4, 8, 16), kernels=(3, 5), weight_bits=(4, 8))
TASK = Task((1, 8, 8), 10, 6)


@cache
def least_of_large(chip):
    genomes = bounds.candidates(LARGE, TASK, 4)
    return least([fitted(decode(genome, TASK), chip) for genome in genomes])


@settings(max_examples=8, deadline=None)
@drawn(st.integers(0, 2**32 - 1), st.sampled_from(DEVICES[:2]))
def test_no_network_of_a_large_space_takes_less_than_the_cheapest(seed, chip):
    """Random networks, and what walks downhill from them."""
    rng = np.random.default_rng(seed)
    genome = sample(rng, LARGE, TASK)
    for _ in range(4):
        graph = decode(genome, TASK)
        found = fitted(graph, chip)
        assert found["broken"] or all(
            found[key] >= bound for key, bound in zip(FIGURES, least_of_large(chip), strict=True)
        )
        assert parameters(graph) >= bounds.least_parameters(LARGE, TASK)
        child = mutate(genome, rng, LARGE, TASK)
        genome = child if parameters(decode(child, TASK)) <= parameters(graph) else genome


SMALL = {"cells": [1, 2], "widths": [2, 3], "kernels": [3], "models": ["if"]}


@pytest.mark.parametrize(
    ("resource", "claim"), [("parameters", "exact"), ("cores", "exact"), ("memory", "no smaller network")]
)
def test_limits_just_below_and_at_the_least_value(config, resource, claim):
    given = setting(config(space=SMALL))
    space = config(space=SMALL).space
    graphs = [decode(one, given.task) for one in bounds.candidates(space, given.task, 2)]
    fewest = min(
        parameters(one) if resource == "parameters" else fitted(one, "loihi1")[resource] for one in graphs
    )
    possible = config(space=SMALL, budget={resource: fewest})
    bounds.require_possible(possible, setting(possible))
    poor = config(space=SMALL, budget={resource: fewest - 1})
    expected = rf"{resource} binds: found {fewest}, allowed {fewest - 1} \({claim}"
    with pytest.raises(BudgetError, match=expected):
        bounds.require_possible(poor, setting(poor))


def test_what_is_found_of_networks_that_are_cut_is_told_so(config, devices):
    budget = {"devices": {"loihi1-sanafe": {}, devices[-1]: {"memory": 100}}}
    experiment = config(space={**SMALL, "max_halvings": 0}, budget=budget)
    with pytest.raises(
        BudgetError, match=r"memory .*binds.*the least of the \d+ cheapest .* are cut over cores"
    ):
        bounds.require_possible(experiment, setting(experiment))


@pytest.mark.parametrize(("resource", "limit"), [("energy_j", 1e-15), ("latency_s", 1e-12)])
def test_what_no_silent_network_meets_is_refused_with_the_best_value(config, resource, limit):
    space = {"cells": [1, 1], "widths": [2], "kernels": [3], "models": ["if"]}
    experiment = config(space=space, budget={resource: limit})
    with pytest.raises(BudgetError, match=f"{resource} binds.*lower bound") as caught:
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
    genome = next(bounds.candidates(experiment.space, given.task, 8))
    graph = decode(genome, given.task)
    run = bounds._without_spikes(graph, given.task.steps)
    assert cost_models.estimate(graph, run, "loihi1-sanafe").as_json()["synops"] == 0


def test_a_search_refuses_before_it_evaluates(config, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.engine.Engine.run", None)
    with pytest.raises(BudgetError, match="parameters binds"):
        search(config(budget={"parameters": 3}))


def test_a_chip_that_holds_no_network_is_refused_before_the_search(config):
    """Speck has IF neurons alone; the message names the nearest network's rule."""
    experiment = config(space={**SMALL, "models": ["lif"]}, budget={"chip": "speck2f"})
    with pytest.raises(BudgetError, match=r"no network of \[space\] fits speck2f: .* rule neuron on node"):
        bounds.require_possible(experiment, setting(experiment))
    possible = config(space={**SMALL, "motifs": ["feed_forward_excitation"]}, budget={"chip": "speck2f"})
    bounds.require_possible(possible, setting(possible))
