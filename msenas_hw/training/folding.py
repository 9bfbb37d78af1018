"""A trained network back to a plain SpikingGraph: normalisers folded into weights and biases."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from msenas_hw.training.constraints import check
from msenas_hw.training.normaliser import CurrentNormaliser
from targets.errors import GraphError
from targets.graph.exact import exact_sums, largest_sum
from targets.graph.graph import SpikingGraph
from targets.reference import stateless
from targets.reference.network import ReferenceNetwork
from targets.reference.values import delayed

# Folding rounds each weight to float32 and to the grid of exact sums; both are shares of 2^-24 of the
# largest sum, and some hundreds of them add up.
_RELATIVE_ERROR = 1e-5


@torch.no_grad()
def fold(network: ReferenceNetwork, x: NDArray[np.generic]) -> SpikingGraph:
    """The graph that computes what `network` computes in evaluation, its sums exact.

    Args:
        network: trained, its transforms `CurrentNormaliser`s.
        x: [T, B, *input], on which both must give every population the same current.

    Raises:
        GraphError: a sign constraint is broken, a population has no node to carry the shift, or
            the currents differ.
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
    folded = exact_sums(graph.replace(nodes=nodes))
    check(folded)
    _check_currents(network, folded, x)
    return folded


def _fold_population(
    graph: SpikingGraph,
    nodes: dict[str, nir.NIRNode],
    population: str,
    factor: NDArray[np.float32],
    addend: NDArray[np.float32],
) -> None:
    synapses = graph.synapses_into(population)
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


def _check_currents(network: ReferenceNetwork, folded: SpikingGraph, x: NDArray[np.generic]) -> None:
    """Each population gets the same summed current as before, for the spikes that `network` emits.

    Compared population by population on the same spikes, since in a recurrent network one spike moved
    by rounding moves others.
    """
    network.eval()
    graph = network.graph
    values = network({graph.inputs[0]: torch.from_numpy(np.asarray(x))}).outputs
    # Pooling and several spikes a step bring more than 1 to a synapse.
    reach = max(1.0, *(float(value.abs().max()) for value in values.values()))
    for population, transform in network.transforms.items():
        assert isinstance(transform, CurrentNormaliser)
        factor, addend = (value.view(transform.view) for value in transform.folded())
        expected = factor * _sum(graph.predecessors[population], values) + addend
        again = {name: _recomputed(folded, name, values) for name in graph.predecessors[population]}
        worst = float((_sum(graph.predecessors[population], again) - expected).abs().max())
        allowed = _RELATIVE_ERROR * largest_sum(folded, population) * reach
        if worst > allowed:
            raise GraphError(
                f"population {population!r}: folding moved its current by {worst:.3g}, allowed {allowed:.3g}"
            )


def _recomputed(folded: SpikingGraph, name: str, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Output [T, B, *shape] of a node before a population, by the folded graph's parameters."""
    node = folded.nodes[name]
    if isinstance(node, nir.Delay):
        (source,) = folded.predecessors[name]
        return delayed(_recomputed(folded, source, values), folded.delay_steps(name))
    total = _sum(folded.predecessors[name], values)
    return stateless.apply(node, total.flatten(0, 1)).reshape(*total.shape[:2], *folded.shapes[name])


def _sum(names: Iterable[str], values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([values[name] for name in names]).sum(0)
