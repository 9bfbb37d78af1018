"""Xylo Audio 2 against Rockpool's published cycle model, and every rule broken once.

Oracle: cycles_model and est_clock_freq of Rockpool 3 for SYNS61201, run without the chip's library.
"""

from __future__ import annotations

import nir
import numpy as np
import pytest

import cost_models
from cost_models.fit.xylo import Size, cycles_per_step, size_of
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph

XYLO = cost_models.load_device("xylo-a2")


@pytest.mark.parametrize(
    ("size", "rates", "cycles"),
    [
        ((2, 10, 3, 0), (1, 1), 608.0),
        ((2, 10, 3, 0), (0.25, 0.05), 289.5),
        ((2, 10, 3, 0), (0, 0), 258.0),
        ((16, 63, 8, 3969), (1, 1), 37093.0),
        ((16, 63, 8, 3969), (0.25, 0.05), 3983.35),
        ((16, 63, 8, 3969), (0, 0), 1498.0),
        ((16, 1000, 8, 31000), (1, 1), 363112.0),
        ((16, 1000, 8, 31000), (0.25, 0.05), 50362.0),
        ((1, 1, 1, 1), (1, 1), 57.5),
        ((1, 1, 1, 1), (0.25, 0.05), 36.825),
    ],
)
def test_cycles_are_those_of_rockpool(size, rates, cycles):
    assert cycles_per_step(Size(*size), XYLO, *rates) == pytest.approx(cycles, rel=1e-12)


def test_a_packed_network_and_its_clock(mlp):
    """63 hidden neurons in a loop at dt = 1 ms, for which est_clock_freq gives 44,511,600 Hz."""
    one = np.ones((63, 63), np.float32)
    graph = mlp(16, 63, 8, model="cuba")
    nodes = {**graph.nodes, "loop": nir.Linear(one), "later": nir.Delay(np.full(63, 1e-3))}
    edges = [*graph.edges, ("layer0", "loop"), ("loop", "later"), ("later", "layer0")]
    looped = SpikingGraph.build(nodes, edges, graph.profile)
    assert size_of(looped) == Size(16, 63, 8, 63 * 63)
    report = cost_models.check(looped, "xylo-a2")
    assert report.fits
    assert report.figures["worst_cycles_per_step"] == pytest.approx(37093.0)
    assert report.figures["clock_hz"] == pytest.approx(44511600.0)
    assert report.binding == "output_neurons" or report.binding == "input_channels"
    assert {part.core for part in report.placement} == {0}


@pytest.mark.parametrize("rates", [(-0.1, 0), (0, 1.5)])
def test_rates_that_are_no_probabilities_are_refused(rates):
    with pytest.raises(ConfigError, match="allowed 0 to 1"):
        cycles_per_step(Size(1, 1, 1, 1), XYLO, *rates)


def rules(graph: SpikingGraph) -> dict[str, tuple[str, int, int]]:
    report = cost_models.check(graph, "xylo-a2")
    assert not report.fits
    return {b.rule: (b.node, b.found, b.allowed) for b in report.broken}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((17, 10, 2), {"input_channels": ("input", 17, 16)}),
        ((4, 600, 500, 2), {"hidden_neurons": ("layer0", 1100, 1000)}),
        ((4, 10, 9), {"output_neurons": ("layer1", 9, 8)}),
        ((4, 8), {"depth": ("layer0", 1, 2), "input_to_output": ("layer0", 1, 0)}),
    ],
)
def test_every_size(mlp, sizes, expected):
    assert rules(mlp(*sizes, model="cuba")) == expected


def test_neurons_that_the_chip_does_not_have(mlp):
    assert rules(mlp(4, 10, 2, model="if")) == {"neuron": ("layer1", 1, 0)}


def test_biases_feedback_and_skips(neuron):
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "w0": nir.Affine(np.ones((5, 4), np.float32), np.ones(5, np.float32)),
        "a": neuron("cuba", (5,)),
        "w1": nir.Linear(np.ones((3, 5), np.float32)),
        "b": neuron("cuba", (3,)),
        "w2": nir.Linear(np.ones((2, 3), np.float32)),
        "c": neuron("cuba", (2,)),
        "skip": nir.Linear(np.ones((2, 5), np.float32)),
        "back": nir.Linear(np.ones((5, 2), np.float32)),
        "later": nir.Delay(np.full(5, 3e-3)),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [
        ("input", "w0"),
        ("w0", "a"),
        ("a", "w1"),
        ("w1", "b"),
        ("b", "w2"),
        ("w2", "c"),
        ("c", "output"),
    ]
    edges += [("a", "skip"), ("skip", "c"), ("c", "back"), ("back", "later"), ("later", "a")]
    graph = SpikingGraph.build(nodes, edges, {"dt": 1e-3})
    assert rules(graph) == {
        "output_feedback": ("c", 1, 0),
        "axonal_delay": ("c", 1, 0),
        "bias": ("a", 5, 0),
    }
    # The skip connection needs a relay for each of its five neurons.
    assert size_of(graph).hidden == 5 + 3 + 5
