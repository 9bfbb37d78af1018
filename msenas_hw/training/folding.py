"""A trained network back to a plain SpikingGraph: normalisers folded into weights and biases."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import nir
import numpy as np
import torch
from numpy.typing import NDArray

import targets
from msenas_hw.training.constraints import check
from msenas_hw.training.normaliser import CurrentNormaliser
from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SYNAPSE
from targets.reference.network import ReferenceNetwork

# Folding rounds each weight once; a spike may move only where the membrane meets the threshold.
_SHARE_MOVED = 1e-3


@torch.no_grad()
def fold(network: ReferenceNetwork, x: NDArray[np.generic]) -> SpikingGraph:
    """The graph that computes what `network` computes in evaluation.

    Args:
        network: trained, its transforms `CurrentNormaliser`s.
        x: [T, B, *input], on which both must give the same outputs.

    Raises:
        GraphError: a sign constraint is broken, a population has no node to carry the shift, or
            the outputs differ.
    """
    graph = network.graph
    nodes = dict(graph.nodes)
    for name in network.weights:
        nodes[name] = copy.copy(nodes[name])
        nodes[name].weight = network.weights[name].numpy().copy()
        if name in network.biases:
            nodes[name].bias = network.biases[name].numpy().copy()
    for population, transform in network.transforms.items():
        assert isinstance(transform, CurrentNormaliser)
        factor, addend = (value.numpy() for value in transform.folded())
        _fold_population(graph, nodes, population, factor, addend)
    folded = graph.replace(nodes=nodes)
    check(folded)
    _check_outputs(network, folded, x)
    return folded


def _fold_population(
    graph: SpikingGraph,
    nodes: dict[str, nir.NIRNode],
    population: str,
    factor: NDArray[np.float32],
    addend: NDArray[np.float32],
) -> None:
    synapses = [n for n in synapses_into(graph, population) if isinstance(nodes[n], SYNAPSE)]
    for name in synapses:
        node = nodes[name]
        node.weight = node.weight * factor.reshape(-1, *[1] * (node.weight.ndim - 1))
        if hasattr(node, "bias"):
            node.bias = node.bias * factor
    if not addend.any():
        return
    carriers = [n for n in synapses if hasattr(nodes[n], "bias") and nodes[n].metadata.get("bias", True)]
    if not carriers:
        raise GraphError(f"population {population!r}: no incoming node has a bias to carry the shift")
    nodes[carriers[0]].bias = nodes[carriers[0]].bias + addend


def synapses_into(graph: SpikingGraph, population: str) -> list[str]:
    """The nodes directly before `population`, looking through Delay nodes."""
    found: list[str] = []
    for name in graph.predecessors[population]:
        through = isinstance(graph.nodes[name], nir.Delay)
        found.extend(graph.predecessors[name] if through else [name])
    return found


def _check_outputs(network: ReferenceNetwork, folded: SpikingGraph, x: NDArray[np.generic]) -> None:
    network.eval()
    before = network(_fed(network.graph, x)).outputs
    after = targets.compile(folded, "reference").run(x, record=folded.populations).spikes
    for name in folded.populations:
        moved = float((before[name].numpy() != after[name]).mean())
        if moved > _SHARE_MOVED:
            raise GraphError(
                f"population {name!r}: folding moved {moved:.2g} of its spikes, allowed {_SHARE_MOVED}"
            )


def _fed(graph: SpikingGraph, x: NDArray[np.generic]) -> Mapping[str, torch.Tensor]:
    return {graph.inputs[0]: torch.from_numpy(np.asarray(x))}
