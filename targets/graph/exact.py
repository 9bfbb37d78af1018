"""Weights on a grid on which every order of summation gives the same float32 number.

Spikes are 0 or 1, so a summed input is a sum of weights. Where all weights into a population are
multiples of one power of two g, and their magnitudes add up to less than 2^24 g, each partial sum is
a float32 number: convolution libraries that add in different orders then agree to the last bit.
"""

from __future__ import annotations

import copy
import math

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph

_EXACT_BITS = 24


def exact_sums(graph: SpikingGraph) -> SpikingGraph:
    """A copy of `graph` with weights and biases rounded, per population, to the finest such grid.

    A weight moves by at most half of the largest sum / 2^24. Holds for spiking input and for
    synapses that no pooling or Scale separates from their population.
    """
    nodes = dict(graph.nodes)
    for name in graph.populations:
        synapses = graph.synapses_into(name)
        total = largest_sum(graph, name)
        if total == 0:
            continue
        grid = 2.0 ** (math.ceil(math.log2(total)) + 1 - _EXACT_BITS)
        for synapse in synapses:
            node = copy.copy(nodes[synapse])
            node.weight = _rounded(node.weight, grid)
            if hasattr(node, "bias"):
                node.bias = _rounded(node.bias, grid)
            nodes[synapse] = node
    return graph.replace(nodes=nodes)


def largest_sum(graph: SpikingGraph, population: str) -> float:
    """Bound on the magnitude of what a population can get in one step, all sources firing."""
    return sum(_largest_sum(graph.nodes[name]) for name in graph.synapses_into(population))


def _largest_sum(node: nir.NIRNode) -> float:
    weight = np.abs(np.asarray(node.weight, dtype=np.float64))
    sums = weight.sum(axis=tuple(range(1, weight.ndim)))
    if hasattr(node, "bias"):
        sums = sums + np.abs(np.asarray(node.bias, dtype=np.float64))
    return float(sums.max(initial=0.0))


def _rounded(values: NDArray[np.generic], grid: float) -> NDArray[np.float32]:
    return (np.rint(np.asarray(values, dtype=np.float64) / grid) * grid).astype(np.float32)
