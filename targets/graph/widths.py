"""Widths of stored weights that a graph names itself: `weight_bits` in the metadata of a population.

The width is of every weight into the population. It is an architecture's choice, so it travels with the
graph, and a lowering or a fit check that is told no width takes it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph

_KEY = "weight_bits"
_ALLOWED = range(1, 9)


def weight_bits_of(graph: SpikingGraph) -> dict[str, int]:
    """`{population: bits of the weights into it}`, of the populations that name them.

    Raises:
        GraphError: a population names no whole number from 1 to 8.
    """
    found = {}
    for name in graph.populations:
        metadata = graph.nodes[name].metadata
        if _KEY in metadata:
            bits = metadata[_KEY]
            if bits not in _ALLOWED:
                raise GraphError(f"node {name!r}: metadata {_KEY} is {bits!r}, allowed 1 to 8")
            found[name] = int(bits)
    return found


def with_weight_bits(graph: SpikingGraph, bits: Mapping[str, int]) -> SpikingGraph:
    """A copy of `graph` whose populations in `bits` name that width."""
    nodes = dict(graph.nodes)
    for name, width in bits.items():
        nodes[name] = copy.copy(nodes[name])
        nodes[name].metadata = {**nodes[name].metadata, _KEY: width}
    return graph.replace(nodes=nodes)
