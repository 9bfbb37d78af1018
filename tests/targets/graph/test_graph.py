"""What SpikingGraph.build accepts, infers and refuses."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np
import pytest

from targets import GraphError, SpikingGraph
from targets.graph.hops import fold_graph

ONE = np.ones(3)
LIF = nir.LIF(ONE, ONE, ONE * 0, ONE)


def build(nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]]) -> SpikingGraph:
    ends = {"input": nir.Input({"input": np.array([4])}), "output": nir.Output({"output": np.array([3])})}
    return SpikingGraph.build({**ends, **nodes}, edges, {"dt": 1e-3})


LINEAR = nir.Linear(np.ones((3, 4)))
CHAIN = [("input", "w"), ("w", "l"), ("l", "output")]


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ({"w": LINEAR, "l": LIF}, [*CHAIN, ("l", "gone")], "node 'gone' does not exist"),
        ({"w": LINEAR, "l": LIF}, [*CHAIN, CHAIN[0]], "'input' -> 'w' stands twice"),
        ({"w": nir.Linear(np.ones((3, 5))), "l": LIF}, CHAIN, r"node 'w' \(Linear\): input is \(4,\)"),
        ({"w": nir.Linear(np.ones((2, 4))), "l": LIF}, CHAIN, "node 'l'"),
        (
            {"w": nir.Linear(np.full((3, 4), np.nan)), "l": LIF},
            CHAIN,
            "weight holds 12 NaN or infinite of 12 values",
        ),
        ({"w": LINEAR, "l": nir.LIF(-ONE, ONE, ONE * 0, ONE)}, CHAIN, "tau is -1.0, allowed > 0"),
        ({"w": LINEAR, "l": LIF, "lost": LIF}, CHAIN, "node 'lost' has no incoming edge"),
        ({"w": LINEAR, "g": nir.NIRGraph({}, [])}, [("input", "w"), ("w", "g")], "kind NIRGraph is not"),
    ],
)
def test_refusals_name_node_and_reason(
    nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        build(nodes, edges)


def test_order_cycles_and_hops(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    assert graph.populations == ("l1", "l2", "l3")
    assert {"l1", "l2", "back_delay", "loop"} <= graph.cyclic
    assert "l3" not in graph.cyclic
    hops = {(h.source, h.target, h.delay) for h in fold_graph(graph).hops}
    assert hops == {
        ("input", "l1", 0), ("l1", "l2", 0), ("input", "l2", 0),
        ("l2", "l1", 2), ("l2", "l2", 1), ("l2", "l3", 0),
    }  # fmt: skip


def test_a_bias_before_a_delay_starts_late(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    biases = fold_graph(recurrent_graph()).biases
    assert [bias.onset for bias in biases["l1"]] == [0, 2]
    assert [bias.onset for bias in biases["l3"]] == [0]


def test_a_delay_must_be_whole_steps() -> None:
    graph = build(
        {"w": LINEAR, "l": LIF, "d": nir.Delay(ONE * 1.5e-3)}, [*CHAIN[:2], ("l", "d"), ("d", "output")]
    )
    with pytest.raises(GraphError, match=r"1\.5 steps of dt=0\.001"):
        graph.delay_steps("d")
