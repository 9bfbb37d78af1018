"""Cycles of foreign graphs: NIR states no delay on them, so one step is put on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.graph import Edge
from targets.graph.kinds import POPULATION
from targets.graph.shapes import Filler, infer_shapes


def delay_cycles(
    nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge], dt: float | None, fill: Filler | None = None
) -> tuple[dict[str, nir.NIRNode], list[Edge], list[str]]:
    """Give every cycle without a Delay one step, on the edge that closes it.

    The walk starts at the Inputs, then at populations that none of them reaches, depth first; the edge
    that leads back closes the cycle. In a recurrent population that is the last edge into it, after the
    recurrent affine node, whose bias is therefore absent in the first step. Every target runs the graph
    that results. Without dt the graph stays as it is, and no target runs it.

    Returns:
        nodes and edges with the Delay nodes inserted, and one sentence for each.

    Raises:
        GraphError: a cycle, and shapes that do not match.
    """
    closing = closing_edges(nodes, edges)
    if not closing:
        return dict(nodes), list(edges), []
    listed = [f"the cycle closed by {source!r} -> {target!r} has no Delay" for source, target in closing]
    if dt is None:
        later = [f"{said}; it gets one step there once dt is given" for said in listed]
        return dict(nodes), list(edges), later
    shapes = infer_shapes(nodes, edges)
    names, fill = _new_names(nodes, closing), fill or Filler()
    delays = {names[edge]: nir.Delay(fill(edge[0], shapes[edge[0]], dt)) for edge in closing}
    delayed: list[Edge] = []
    for edge in edges:
        name = names.get(edge)
        delayed.extend([edge] if name is None else [(edge[0], name), (name, edge[1])])
    return {**nodes, **delays}, delayed, [f"{said}; one step was put on that edge" for said in listed]


def _new_names(nodes: Mapping[str, nir.NIRNode], closing: Sequence[Edge]) -> dict[Edge, str]:
    taken, names = set(nodes), {}
    for edge in closing:
        name = f"{edge[0]}_delay_{edge[1]}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[edge] = name
    return names


def closing_edges(nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge]) -> list[Edge]:
    """Edges that lead back on a walk from the Inputs, depth first, on cycles without a Delay.

    Raises:
        GraphError: an edge names no node.
    """
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        for end in (source, target):
            if end not in after:
                raise GraphError(f"edge {source!r} -> {target!r}: node {end!r} does not exist")
        # A path through a Delay needs no second one, so the walk ends there.
        if not (type(nodes[target]) is nir.Delay and np.any(np.asarray(nodes[target].delay) > 0)):
            after[source].append(target)
    # Where no Input leads, at a population, so that it is one whose input is late.
    inputs = [name for name, node in nodes.items() if type(node) is nir.Input]
    roots = [*inputs, *(name for name, node in nodes.items() if isinstance(node, POPULATION)), *nodes]
    state: dict[str, str] = {}
    closing = []
    for root in roots:
        stack = [(root, iter(after[root]))] if root not in state else []
        if stack:
            state[root] = "open"
        while stack:
            name, targets = stack[-1]
            following = next(targets, None)
            if following is None:
                state[name] = "closed"
                stack.pop()
            elif following not in state:
                state[following] = "open"
                stack.append((following, iter(after[following])))
            elif state[following] == "open":
                closing.append((name, following))
    return closing
