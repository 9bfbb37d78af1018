"""Nested NIR graphs made flat: names joined by ".", the ports of subgraphs dissolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir

from targets.errors import GraphError
from targets.graph.graph import Edge
from targets.graph.shapes import Shape, input_shape

_DEPTH = 64
# Letters of an end of an edge.
_LONGEST = 4096


@dataclass(frozen=True)
class Nested:
    """A graph as a file holds it: nodes may be graphs themselves."""

    nodes: Mapping[str, nir.NIRNode | Nested]
    edges: Sequence[Edge]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """A dissolved Input or Output of a subgraph: what it declared, and what it passed on."""

    name: str
    shape: Shape | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Flat:
    """A graph without subgraphs.

    Attributes:
        said: one sentence for each repair.
        metadata: of all graphs and dissolved ports; what stood in "sub" is under "sub.key".
    """

    nodes: dict[str, nir.NIRNode]
    edges: list[Edge]
    ports: tuple[Port, ...]
    said: tuple[str, ...]
    metadata: Mapping[str, Any]


def flatten(graph: Nested) -> Flat:
    """Dissolve the subgraphs of `graph`, in whatever order they stand.

    An edge to a subgraph goes to its Input, one from it leaves its Output; with several of them the
    edge names the port ("sub.a"). The values that a port receives are summed in edge order.

    Raises:
        GraphError: an edge names no node, or not which port it means; names that clash; a subgraph
            nested too deeply, or whose ports multiply the edges beyond all bounds.
    """
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    ports: dict[str, nir.NIRNode] = {}
    said: list[str] = []
    metadata: dict[str, Any] = {}
    for prefix, level in _levels(graph, "", 0):
        local, repaired = _repaired(prefix, level)
        said.extend(repaired)
        _note(metadata, prefix, level.metadata, said)
        for name, node in level.nodes.items():
            if isinstance(node, Nested):
                continue
            full = prefix + name
            if full in nodes or full in ports:
                raise GraphError(f"node {full!r} stands twice: once as such and once in a subgraph")
            inner = bool(prefix) and isinstance(node, nir.Input | nir.Output)
            (ports if inner else nodes)[full] = node
            if inner:
                _note(metadata, f"{full}.", node.metadata, said)
        edges.extend(_resolved(prefix, level, local))
    return _dissolved(nodes, edges, ports, said, metadata)


def _note(metadata: dict[str, Any], prefix: str, found: Mapping[str, Any], said: list[str]) -> None:
    """Add what stands in one graph or port; the outer one wins where names with dots clash."""
    for key, value in found.items():
        if prefix + key in metadata:
            said.append(f"metadata {prefix + key!r} stands twice; the one of a subgraph was left out")
        else:
            metadata[prefix + key] = value


def _levels(graph: Nested, prefix: str, depth: int) -> Iterator[tuple[str, Nested]]:
    if depth > _DEPTH:
        raise GraphError(f"subgraph {prefix[:80]!r} is nested more than {_DEPTH} deep")
    yield prefix, graph
    for name, node in graph.nodes.items():
        if isinstance(node, Nested):
            yield from _levels(node, f"{prefix}{name}.", depth + 1)


def _repaired(prefix: str, graph: Nested) -> tuple[list[Edge], list[str]]:
    """Edges of a subgraph whose one unknown name must mean the one node that no edge names.

    Files of the NIR paper, written by early exporters, hold such subgraphs.
    """
    named = dict.fromkeys(end for edge in graph.edges for end in edge) if prefix else {}
    unknown = [end for end in named if _resolves(graph, end) is None]
    unnamed = [
        name
        for name, node in graph.nodes.items()
        if unknown and name not in named and not isinstance(node, Nested)
    ]
    if len(unknown) != 1 or len(unnamed) != 1:
        return list(graph.edges), []
    old, new = unknown[0], unnamed[0]
    edges = [(new if a == old else a, new if b == old else b) for a, b in graph.edges]
    where = f"the edges of subgraph {prefix[:-1]!r}"
    said = f"{where} name {old!r}, which does not exist, and none names {new!r}"
    return edges, [f"{said}: taken to be the same"]


def _resolves(graph: Nested, end: str) -> Nested | nir.NIRNode | None:
    """What an end of an edge names: a node, or a port "sub.port" of a subgraph."""
    if end in graph.nodes:
        return graph.nodes[end]
    # Names may hold dots, so that every dot may end one; no place is tried twice.
    pending, tried = [(graph, end)], set()
    while pending and len(end) <= _LONGEST:
        inside, rest = pending.pop()
        for at, letter in enumerate(rest):
            inner = inside.nodes.get(rest[:at]) if letter == "." else None
            if not isinstance(inner, Nested) or (id(inner), at - len(rest)) in tried:
                continue
            tried.add((id(inner), at - len(rest)))
            if rest[at + 1 :] in inner.nodes:
                return inner.nodes[rest[at + 1 :]]
            pending.append((inner, rest[at + 1 :]))
    return None


def _resolved(prefix: str, graph: Nested, edges: Sequence[Edge]) -> Iterator[Edge]:
    for source, target in edges:
        for end in (source, target):
            if _resolves(graph, end) is None:
                raise GraphError(f"edge {source!r} -> {target!r}: node {prefix + end!r} does not exist")
        yield (
            prefix + _port(graph, source, nir.Output, (source, target)),
            prefix + _port(graph, target, nir.Input, (source, target)),
        )


def _port(graph: Nested, end: str, cls: type[nir.NIRNode], edge: Edge) -> str:
    found = _resolves(graph, end)
    if not isinstance(found, Nested):
        return end
    names = [name for name, node in found.nodes.items() if isinstance(node, cls)]
    if len(names) != 1:
        listed = ", ".join(f"{end}.{name}" for name in names[:8]) or "none"
        raise GraphError(
            f"edge {edge[0]!r} -> {edge[1]!r}: subgraph {end!r} has {len(names)} {cls.__name__} nodes "
            f"({listed}); name the one that is meant"
        )
    return f"{end}.{names[0]}"


def _dissolved(
    nodes: dict[str, nir.NIRNode],
    edges: list[Edge],
    ports: dict[str, nir.NIRNode],
    said: list[str],
    metadata: Mapping[str, Any],
) -> Flat:
    if not ports:
        return Flat(nodes, edges, (), tuple(said), metadata)
    into: dict[str, list[str]] = {name: [] for name in ports}
    for source, target in edges:
        if target in into:
            into[target].append(source)
    limit = 8 * len(edges) + 1000
    expanded = _expanded(into, limit)
    flat: list[Edge] = []
    for source, target in edges:
        if target not in ports:
            flat.extend((real, target) for real in expanded.get(source, (source,)))
            _bounded(len(flat), limit)
    kept = tuple(Port(name, _declared(node), expanded[name]) for name, node in ports.items())
    return Flat(nodes, flat, kept, tuple(said), metadata)


def _expanded(into: Mapping[str, list[str]], limit: int) -> dict[str, tuple[str, ...]]:
    """`{port: the nodes behind it}`, through all ports before it; `into` holds what each receives."""
    done: dict[str, tuple[str, ...]] = {}
    total = 0
    for first in into:
        stack = [] if first in done else [(first, iter(into[first]))]
        opened = {first}
        while stack:
            name, sources = stack[-1]
            before = next((s for s in sources if s in into and s not in done), None)
            if before is None:
                done[name] = tuple(real for s in into[name] for real in done.get(s, (s,)))
                total += len(done[name])
                _bounded(total, limit)
                stack.pop()
            elif before in opened:
                raise GraphError(f"node {before!r}: the ports of subgraphs form a cycle without a node")
            else:
                opened.add(before)
                stack.append((before, iter(into[before])))
    return done


def _bounded(count: int, limit: int) -> None:
    if count > limit:
        raise GraphError(f"the ports of the subgraphs multiply the edges to more than {limit}")


def _declared(node: nir.NIRNode) -> Shape | None:
    if isinstance(node, nir.Input):
        return input_shape(node)
    declared = node.output_type["output"]
    return None if declared is None else tuple(int(size) for size in declared)
