"""Large populations are checked in about a second, and without a matrix where none is needed."""

from __future__ import annotations

import itertools
import time

import nir
import numpy as np
import pytest

import cost_models
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph


def seconds(graph: SpikingGraph, device: str) -> tuple[cost_models.FitReport, float]:
    begin = time.process_time()
    report = cost_models.check(graph, device)
    return report, time.process_time() - begin


@pytest.mark.parametrize(("device", "cores"), [("loihi1", 977), ("loihi2", 245)])
def test_a_million_neurons(mlp, device, cores):
    report, took = seconds(mlp(2, 1_000_000), device)
    assert report.cores == cores
    assert took < 1.5


def test_a_million_neurons_one_to_one(chain, neuron):
    half = np.full(1_000_000, 0.5)
    graph = chain(
        {
            "input": nir.Input({"input": np.array([1_000_000])}),
            "gain": nir.Scale(half),
            "lif": neuron("lif", (1_000_000,)),
            "output": nir.Output({"output": np.array([1_000_000])}),
        }
    )
    report, took = seconds(graph, "loihi1")
    assert report.cores == 977
    assert report.use["lif"]["in_axons"].most == 1024
    assert took < 2.0


def test_a_dense_layer_that_memory_binds_needs_no_matrix(mlp):
    report, took = seconds(mlp(784, 10_000), "loihi1")
    assert report.binding == "synapse_bits"
    # 1,048,576 bits leave 1,337 to each of 784 axons: two blocks of 64 weights (576 bits each) and two words,
    # which hold 14 weights. 142 neurons a core make 71 cores.
    assert report.cores == 71
    assert took < 1.0


def test_convolutions_on_loihi2_are_checked_without_folding_them(convnet):
    """VGG on 224 x 224 pixels begins with 2e9 synapses, which no matrix should hold."""
    fold_graph.cache_clear()
    graph = convnet((3, 224, 224), (64, 3, 1, 1), (64, 3, 1, 1), (128, 3, 2, 1))
    report, took = seconds(graph, "loihi2")
    assert report.cores > 1900
    assert fold_graph.cache_info().misses == 0
    assert took < 1.0


def test_a_large_convolution_before_a_dense_layer_folds_the_dense_layer_alone(neuron):
    """The pruned dense layer needs its matrix, the convolution (4e8 synapses) does not."""
    fold_graph.cache_clear()
    weight = np.ones((64, 32, 3, 3), np.float32)
    pruned = np.ones((4, 64), np.float32)
    pruned[0, 0] = 0
    nodes = {
        "input": nir.Input({"input": np.array([32, 150, 150])}),
        "conv": nir.Conv2d((150, 150), weight, 1, 1, 1, 1, np.zeros(64, np.float32)),
        "a": neuron("lif", (64, 150, 150)),
        "pool": nir.SumPool2d(*(np.array([n, n]) for n in (150, 150, 0))),
        "flatten": nir.Flatten({"input": np.array([64, 1, 1])}, 0, -1),
        "w": nir.Linear(pruned),
        "b": neuron("lif", (4,)),
        "output": nir.Output({"output": np.array([4])}),
    }
    graph = SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": 1e-3})
    report = cost_models.check(graph, "loihi2")
    assert fold_graph.cache_info().misses == 0
    # The neuron that lost a channel still has 63 x 22,500 sources: more than a core's in-axons.
    assert ("fan_in", "b", 64 * 22_500) in [(b.rule, b.node, b.found) for b in report.broken]
