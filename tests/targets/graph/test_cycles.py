"""The rule for cycles without a Delay."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from targets import GraphError
from targets.graph.cycles import delay_cycles

ONE = np.ones(2)
NODES = {
    "in": nir.Input(np.array([2])),
    **{name: nir.LIF(ONE, ONE, ONE, ONE) for name in "abc"},
    "w": nir.Affine(np.eye(2), ONE),
    "out": nir.Output(np.array([2])),
}


def delayed(edges: list[tuple[str, str]], **more: nir.NIRNode) -> set[tuple[str, str]]:
    """The edges that got a delay."""
    used = {end for edge in edges for end in edge}
    old = {name: node for name, node in {**NODES, **more}.items() if name in used}
    nodes, changed, said = delay_cycles(old, edges, 1e-3)
    new = {name for name in nodes if name not in NODES and name not in more}
    assert len(new) == len(said)
    into = {target: source for source, target in changed if target in new}
    return {(into[source], target) for source, target in changed if source in new}


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([("in", "a"), ("a", "b")], set()),
        ([("in", "a"), ("a", "a")], {("a", "a")}),
        # After the recurrent affine node, on the last edge into the population.
        ([("w", "a"), ("a", "w"), ("in", "a")], {("w", "a")}),
        # Nested and crossing loops: one for each edge that leads back.
        ([("in", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")], {("c", "a"), ("b", "a")}),
        # A loop that no Input reaches.
        ([("in", "out"), ("a", "b"), ("b", "a")], {("b", "a")}),
    ],
)
def test_one_step_on_each_edge_that_leads_back(
    edges: list[tuple[str, str]], expected: set[tuple[str, str]]
) -> None:
    assert delayed(edges) == expected


def test_a_delay_on_the_loop_is_enough_unless_it_is_zero() -> None:
    edges = [("in", "a"), ("a", "d"), ("d", "a")]
    assert delayed(edges, d=nir.Delay(ONE * 1e-3)) == set()
    assert delayed(edges, d=nir.Delay(ONE * 0)) == {("d", "a")}


def test_new_names_do_not_clash() -> None:
    taken = {name: nir.LIF(ONE, ONE, ONE, ONE) for name in ("a", "a_delay_a")}
    nodes, edges, _ = delay_cycles(taken, [("a", "a"), ("a", "a_delay_a")], 1e-3)
    assert ("a_delay_a_", "a") in edges
    assert isinstance(nodes["a_delay_a"], nir.LIF)


def test_an_edge_to_nowhere_is_named() -> None:
    with pytest.raises(GraphError, match="edge 'a' -> 'x': node 'x' does not exist"):
        delay_cycles(NODES, [("a", "x")], 1e-3)
