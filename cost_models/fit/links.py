"""Which population feeds which, through which nodes: the hops of a graph before any matrix is built.

A fit check of a large convolution needs its shape and its kernel, never its matrix of synapses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import LINEAR, POPULATION


@dataclass(frozen=True)
class Link:
    """One path of stateless nodes and delays between two populations.

    Attributes:
        source: population or Input; for a bias the affine node that adds it.
        delay: whole steps of all Delay nodes on the way.
        path: the nodes between, in order (for a bias from the affine node on).
    """

    source: str
    target: str
    delay: int
    path: tuple[str, ...]


@dataclass(frozen=True)
class Links:
    """All paths of a graph.

    Attributes:
        hops: into populations. readouts: into Outputs.
        biases: constant input of populations, one path for each affine node with a bias.
        nonlinear: nodes between populations that no synapse can hold.
    """

    hops: tuple[Link, ...]
    readouts: tuple[Link, ...]
    biases: tuple[Link, ...]
    nonlinear: tuple[str, ...]


def find_links(graph: SpikingGraph) -> Links:
    """Every path between populations, in the order of the graph's nodes and edges.

    Raises:
        GraphError: stateless nodes form a cycle without a population.
    """
    hops: list[Link] = []
    readouts: list[Link] = []
    biases: list[Link] = []
    nonlinear: dict[str, None] = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, POPULATION) and name not in graph.outputs:
            continue
        into = readouts if name in graph.outputs else hops
        for path in _paths(graph, name):
            head = graph.nodes[path[0]]
            if isinstance(head, (*POPULATION, nir.Input)):
                into.append(Link(path[0], name, _delay(graph, path), path[1:]))
            elif not isinstance(head, (*LINEAR, nir.Delay)):
                nonlinear[path[0]] = None
            elif into is hops:
                biases.append(Link(path[0], name, _delay(graph, path), path))
    return Links(tuple(hops), tuple(readouts), tuple(biases), tuple(nonlinear))


def weights_of(graph: SpikingGraph, link: Link) -> tuple[nir.NIRNode, ...]:
    """The nodes of a path without its delays."""
    nodes = (graph.nodes[name] for name in link.path)
    return tuple(node for node in nodes if not isinstance(node, nir.Delay))


def _paths(graph: SpikingGraph, target: str) -> Iterator[tuple[str, ...]]:
    """Paths that end before `target`: whole ones, parts from an affine node with a bias, and parts from a
    node that is not linear, behind which nothing is followed."""
    stack: list[tuple[str, ...]] = [(source,) for source in reversed(graph.predecessors[target])]
    while stack:
        path = stack.pop()
        head = graph.nodes[path[0]]
        whole = isinstance(head, (*POPULATION, nir.Input))
        linear = isinstance(head, (*LINEAR, nir.Delay))
        if whole or not linear or _has_bias(head):
            yield path
        if whole or not linear:
            continue
        for source in reversed(graph.predecessors[path[0]]):
            if source in path:
                raise GraphError(f"node {source!r}: a cycle of stateless nodes holds no population")
            stack.append((source, *path))


def _has_bias(node: nir.NIRNode) -> bool:
    return isinstance(node, nir.Affine | nir.Conv1d | nir.Conv2d) and bool(np.any(node.bias))


def _delay(graph: SpikingGraph, path: tuple[str, ...]) -> int:
    return sum(graph.delay_steps(name) for name in path if isinstance(graph.nodes[name], nir.Delay))
