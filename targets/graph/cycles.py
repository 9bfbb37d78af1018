"""Cycles of foreign graphs: NIR states no delay on them, so one step is put on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nir
import numpy as np

from targets.graph.graph import Edge, SpikingGraph


def delay_cycles(
    nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge], dt: float | None
) -> tuple[dict[str, nir.NIRNode], list[Edge], list[str]]:
    """Give every cycle without a Delay one step, on the edge that closes it.

    The walk starts at the Inputs, depth first; the edge that leads back closes the cycle. In a
    recurrent population that is the last edge into it, after the recurrent affine node, whose bias
    is therefore absent in the first step. Without dt the graph stays as it is.

    Returns:
        nodes and edges with the Delay nodes inserted, and one sentence for each.
    """
    nodes, edges = dict(nodes), list(edges)
    if dt is None:
        return nodes, edges, []
    said = []
    for source, target in _closing_edges(nodes, edges):
        name = f"{source}_delay_{target}"
        graph = SpikingGraph(nodes, tuple(edges))
        nodes[name] = nir.Delay(np.full(graph.shapes[source], dt))
        at = edges.index((source, target))
        edges[at : at + 1] = [(source, name), (name, target)]
        said.append(
            f"the cycle closed by {source!r} -> {target!r} has no Delay; one step was put on that edge"
        )
    return nodes, edges, said


def _closing_edges(nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge]) -> list[Edge]:
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        # A path through a Delay needs no second one, so the walk ends there.
        if target in after and source in after and not isinstance(nodes[target], nir.Delay):
            after[source].append(target)
    roots = [n for n, node in nodes.items() if isinstance(node, nir.Input)] + list(nodes)
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
