"""Hops: what lies between two populations, folded into one sparse matrix.

A chip knows populations and the synapses between them. Every path of stateless nodes and delays
from one population (or Input) to the next is one hop; parallel paths of equal delay add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from targets.errors import GraphError
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import LINEAR, POPULATION, kind


@dataclass(frozen=True)
class Hop:
    """One folded connection between two populations.

    Attributes:
        source, target: population (or Input / Output) names.
        delay: whole steps of all Delay nodes on the way.
        matrix: float64 [target neurons, source neurons], C order of the shapes, no stored zeros.
        path: the nodes folded, in order; empty where several parallel paths were added.
    """

    source: str
    target: str
    delay: int
    matrix: csr_matrix
    path: tuple[str, ...]


@dataclass(frozen=True)
class Bias:
    """Constant input of a population: `value` [neurons] in every step from `onset` on."""

    onset: int
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Folding:
    """A graph as a chip sees it.

    Attributes:
        hops: between populations, and from Input nodes to populations.
        biases: `{population: what affine nodes before it add every step}`.
        readouts: hops into Output nodes.
    """

    hops: tuple[Hop, ...]
    biases: dict[str, tuple[Bias, ...]]
    readouts: tuple[Hop, ...]


@lru_cache(maxsize=8)
def fold_graph(graph: SpikingGraph) -> Folding:
    """Fold every chain of stateless nodes and delays of `graph`.

    Raises:
        GraphError: stateless nodes form a cycle without a population, or one of them is not linear.
    """
    hops: list[Hop] = []
    readouts: list[Hop] = []
    biases: dict[str, list[Bias]] = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, POPULATION) and name not in graph.outputs:
            continue
        found: dict[tuple[str, int], list[Hop]] = {}
        for path in _paths_into(graph, name):
            hop, bias = _fold_path(graph, path, name)
            if hop is not None:
                found.setdefault((hop.source, hop.delay), []).append(hop)
            if bias is not None:
                biases.setdefault(name, []).append(bias)
        into = readouts if name in graph.outputs else hops
        into.extend(_merged(group) for group in found.values())
    return Folding(tuple(hops), {name: _by_onset(found) for name, found in biases.items()}, tuple(readouts))


def _paths_into(graph: SpikingGraph, target: str) -> list[tuple[str, ...]]:
    """Every path of stateless nodes into `target`, each beginning with a population or Input.

    A suffix of each path whose head is affine is also listed once by its head, so that a bias is
    counted once however many sources the affine node has.
    """
    paths: list[tuple[str, ...]] = []
    stack: list[tuple[str, ...]] = [(source,) for source in reversed(graph.predecessors[target])]
    while stack:
        path = stack.pop()
        head = path[0]
        if isinstance(graph.nodes[head], (*POPULATION, nir.Input)):
            paths.append(path)
            continue
        if not isinstance(graph.nodes[head], (*LINEAR, nir.Delay)):
            where = f"node {head!r} ({kind(graph.nodes[head])})"
            raise GraphError(f"{where}: is not linear, so no synapse of a chip can hold it")
        if _has_bias(graph.nodes[head]):
            paths.append(("", *path))
        for source in reversed(graph.predecessors[head]):
            if source in path:
                raise GraphError(f"node {source!r}: a cycle of stateless nodes holds no population")
            stack.append((source, *path))
    return paths


def _has_bias(node: nir.NIRNode) -> bool:
    return isinstance(node, nir.Affine | nir.Conv1d | nir.Conv2d) and bool(np.any(node.bias))


def _fold_path(graph: SpikingGraph, path: tuple[str, ...], target: str) -> tuple[Hop | None, Bias | None]:
    head, chain = path[0], path[1:]
    delay = sum(graph.delay_steps(n) for n in chain if isinstance(graph.nodes[n], nir.Delay))
    linear = [n for n in chain if not isinstance(graph.nodes[n], nir.Delay)]
    if not head:
        _, value = fold(graph.nodes[linear[0]], graph.input_shape(linear[0]))
        for name in linear[1:]:
            value = fold(graph.nodes[name], graph.input_shape(name))[0] @ value
        return None, Bias(delay, np.asarray(value))
    matrix = csr_matrix(identity(int(np.prod(graph.shapes[head]))))
    for name in linear:
        matrix = fold(graph.nodes[name], graph.input_shape(name))[0] @ matrix
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return Hop(head, target, delay, csr_matrix(matrix), chain), None


def _merged(group: list[Hop]) -> Hop:
    if len(group) == 1:
        return group[0]
    matrix = csr_matrix(sum(hop.matrix for hop in group))
    matrix.eliminate_zeros()
    return Hop(group[0].source, group[0].target, group[0].delay, matrix, ())


def _by_onset(found: list[Bias]) -> tuple[Bias, ...]:
    total: dict[int, NDArray[np.float64]] = {}
    for bias in found:
        total[bias.onset] = total.get(bias.onset, 0) + bias.value
    return tuple(Bias(onset, total[onset]) for onset in sorted(total))
