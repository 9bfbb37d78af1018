"""Sums that no order of summation changes."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np

import targets
from targets import SpikingGraph
from targets.graph.exact import exact_sums
from targets.graph.kinds import SYNAPSE


def randomised(graph: SpikingGraph, seed: int) -> SpikingGraph:
    """Weights off any grid."""
    rng = np.random.default_rng(seed)
    for node in graph.nodes.values():
        if isinstance(node, SYNAPSE):
            node.weight = rng.normal(size=node.weight.shape).astype(np.float32) * 0.4
    return graph


def test_every_order_of_summation_agrees(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = randomised(recurrent_graph(), 1)
    weight = exact_sums(graph).nodes["c2"].weight.reshape(4, -1)
    rng = np.random.default_rng(2)
    loose = graph.nodes["c2"].weight.reshape(4, -1)

    def sums(rows: np.ndarray) -> set[bytes]:
        orders = [rng.permutation(rows.shape[1]) for _ in range(20)]
        return {np.add.accumulate(rows[:, order], axis=1)[:, -1].tobytes() for order in orders}

    assert len(sums(weight)) == 1
    assert len(sums(loose)) > 1
    np.testing.assert_allclose(weight, loose, atol=1e-5)


def test_synapses_are_found_through_other_nodes(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    assert graph.synapses_into("l3") == ("dense",)
    assert graph.synapses_into("l1") == ("c1", "back")
    assert isinstance(graph.nodes["back_delay"], nir.Delay)


def test_onnxruntime_then_equals_torch(
    recurrent_graph: Callable[..., SpikingGraph], spikes: Callable[..., np.ndarray]
) -> None:
    for seed in range(4):
        graph = exact_sums(randomised(recurrent_graph(seed), seed))
        found = targets.verify(graph, spikes(seed, 12, 16, 1, 8, 8), ["reference", "onnx"])
        assert found.agree
        assert found.pairs[0].compared > 0
