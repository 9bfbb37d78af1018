"""Soft reset, a reset value other than zero and exponential decays, against the float reference.

Weights, thresholds and decays lie on the grid of the core, so that rounding changes nothing and one
differing spike is an error.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph, UnsupportedNodeError
from targets.loihi.lower import lower


def network(neuron: nir.NIRNode, seed: int, bias: float = 0.0, **profile: Any) -> SpikingGraph:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (6, 8)) / 128
    weight[0, 0] = 127 / 128
    nodes = {
        "in": nir.Input(np.array([8])),
        "w": nir.Affine(weight, np.full(6, bias)),
        "n": neuron,
        "out": nir.Output(np.array([6])),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0, **profile})


def neurons(model: str, v_reset: float) -> nir.NIRNode:
    one = np.ones(6)
    if model == "if":
        return nir.IF(one, one, v_reset * one)
    return nir.LIF(8 * one, 8 * one, 0.25 * one, one, v_reset * one)


@pytest.mark.parametrize("model", ["if", "lif"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("reset", "v_reset"), [("subtract", 0.0), ("subtract", 0.5), ("to_value", 0.5), ("to_value", -1.0)]
)
def test_resets_equal_the_float_reference(model: str, seed: int, reset: str, v_reset: float) -> None:
    graph = network(neurons(model, v_reset), seed, 0.125, reset=reset)
    x = (np.random.default_rng([seed, 1]).random((40, 5, 8)) < 0.4).astype(np.float32)
    fixed = targets.compile(graph, "loihi").run(x)
    floating = targets.compile(graph, "reference").run(x)
    assert 0.02 < floating.output.mean() < 0.9
    # The leak truncates: a spike may move by a step, rarely.
    allowed = 0 if model == "if" else 0.02
    assert (fixed.output != floating.output).mean() <= allowed


def test_a_soft_reset_keeps_what_is_above_the_threshold() -> None:
    """3/4 each step against 1: v is 0.75, 1.5 - 1, 1.25 - 1, 1.0 (which does not exceed 1), 1.75 - 1."""
    nodes = {
        "in": nir.Input(np.array([1])),
        "w": nir.Linear(np.array([[0.75]])),
        "n": nir.IF(np.ones(1), np.ones(1), np.zeros(1)),
        "out": nir.Output(np.array([1])),
    }
    x = np.ones((5, 1, 1))
    for reset, expected in (("subtract", [0, 1, 1, 0, 1]), ("to_value", [0, 1, 0, 1, 0])):
        graph = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0, "reset": reset})
        program = lower(graph)
        assert program.populations[0].subtract == (reset == "subtract")
        run = targets.compile(graph, "loihi", program=program).run(x, states=True)
        assert run.output.ravel().tolist() == expected
    assert run.states["n"]["v"].ravel().tolist()[1] == 0


def test_exponential_decays_are_other_fields() -> None:
    graph = network(neurons("lif", 0.0), 0, integrator="exponential")
    (population,) = lower(graph).populations
    assert population.dv == round((1 - np.exp(-1 / 8)) * 4096)
    assert lower(network(neurons("lif", 0.0), 0)).populations[0].dv == 512


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"comparison": ">="}, "comparison='>=', allowed '>'"),
        ({"spikes_per_step": "many"}, "spikes_per_step='many', allowed 'one'"),
        ({"reset": "subtract_late"}, "reset='subtract_late', allowed 'to_value', 'subtract'"),
        ({"clip": 0.0}, "clip=0.0, allowed None"),
    ],
)
@pytest.mark.parametrize("target", ["loihi", "lava"])
def test_other_profiles_are_refused_by_name(profile: dict[str, Any], reason: str, target: str) -> None:
    with pytest.raises(UnsupportedNodeError) as caught:
        targets.compile(network(neurons("if", 0.0), 0, **profile), target)
    assert reason in str(caught.value)
