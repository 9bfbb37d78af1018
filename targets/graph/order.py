"""Order of a directed graph: components, topological order, longest-path levels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

Edges = Sequence[tuple[str, str]]


def topological(names: Iterable[str], edges: Edges) -> list[str] | None:
    """Names so that every edge points forward, ties in the given order; None where a cycle exists."""
    names = list(names)
    waiting = dict.fromkeys(names, 0)
    after: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        waiting[target] += 1
        after[source].append(target)
    ready = deque(name for name in names if waiting[name] == 0)
    done: list[str] = []
    while ready:
        name = ready.popleft()
        done.append(name)
        for target in after[name]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return done if len(done) == len(names) else None


def components(names: Sequence[str], edges: Edges) -> list[list[str]]:
    """Strongly connected components in topological order; members keep the order of `names`."""
    if not names:
        return []
    index = {name: i for i, name in enumerate(names)}
    rows = [index[source] for source, _ in edges]
    columns = [index[target] for _, target in edges]
    matrix = csr_matrix(([1] * len(rows), (rows, columns)), shape=(len(names), len(names)))
    _, labels = connected_components(matrix, connection="strong")
    groups: dict[str, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(str(label), []).append(name)
    of = {name: label for label, members in groups.items() for name in members}
    between = [(of[a], of[b]) for a, b in edges if of[a] != of[b]]
    order = topological(groups, between)
    assert order is not None, "a condensation has no cycle"
    return [groups[label] for label in order]


def levels(names: Sequence[str], edges: Edges) -> Mapping[str, int]:
    """Longest path, in edges, from any root to each name; the edges must hold no cycle."""
    order = topological(names, edges)
    if order is None:
        raise ValueError("levels need a graph without cycles")
    level = dict.fromkeys(names, 0)
    after: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        after[source].append(target)
    for name in order:
        for target in after[name]:
            level[target] = max(level[target], level[name] + 1)
    return level
