"""Step alignment: the smallest offsets, and cycles that no offset serves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from targets import GraphError, SpikingGraph
from targets.graph.hops import Folding, Hop, fold_graph
from targets.loihi.align import align
from targets.loihi.program import FixedHop


def folding(hops: list[tuple[str, str, int]]) -> Folding:
    one = csr_matrix(np.ones((1, 1)))
    return Folding(tuple(Hop(a, b, w, one, ()) for a, b, w in hops), {}, ())


def test_offsets_of_a_known_graph(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    found = align(fold_graph(graph), graph.inputs)
    assert found.offsets == {"input": 0, "l1": 1, "l2": 2, "l3": 3}
    assert found.drain == 3 + 2
    extra = {
        (h.source, h.target): d for h, d in zip(fold_graph(graph).hops, found.axonal_delays, strict=True)
    }
    assert extra[("input", "l2")] == 1
    assert extra[("l2", "l1")] == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(0, 4)),
        min_size=1,
        max_size=14,
        unique=True,
    )
)
def test_offsets_are_feasible_and_least(edges: list[tuple[int, int, int]]) -> None:
    """Against a linear program: minimise the sum of offsets under the same constraints."""
    hops = [(f"n{a}", f"n{b}", w) for a, b, w in edges]
    names = sorted({n for a, b, _ in hops for n in (a, b)} | {"n0"})
    rows = np.zeros((len(hops), len(names)))
    for row, (a, b, _) in zip(rows, hops, strict=True):
        row[names.index(a)] += 1
        row[names.index(b)] -= 1
    bound = [w - 1 for _, _, w in hops]
    solved = linprog(np.ones(len(names)), A_ub=rows, b_ub=bound, bounds=[(0, None)] * len(names))
    if not solved.success:
        with pytest.raises(GraphError, match="cycle"):
            align(folding(hops), [])
        return
    found = align(folding(hops), [])
    assert sum(found.offsets.values()) == pytest.approx(solved.fun)
    assert all(w + found.offsets[b] - found.offsets[a] == 1 + d
               for (a, b, w), d in zip(hops, found.axonal_delays, strict=True) if d >= 0)  # fmt: skip
    assert min(found.axonal_delays) >= 0


def test_a_short_cycle_is_named() -> None:
    with pytest.raises(GraphError, match=r"cycle .*takes 3 hops on the chip and holds 2 steps.*add 1 steps"):
        align(folding([("in", "a", 0), ("a", "b", 0), ("b", "c", 1), ("c", "a", 1)]), ["in"])


def test_a_self_loop_needs_a_step() -> None:
    with pytest.raises(GraphError, match="a -> a takes 1 hops"):
        align(folding([("in", "a", 0), ("a", "a", 0)]), ["in"])


def test_delay_beyond_the_axon_passes_relays() -> None:
    """From 63 steps of axonal delay on, one relay neuron for every 63."""
    one = csr_matrix(np.ones((1, 1)))
    found = [FixedHop("a", "b", one, 0, 0, delay, "mixed").relays for delay in (0, 62, 63, 125, 126, 189)]
    assert found == [0, 0, 1, 1, 2, 3]
