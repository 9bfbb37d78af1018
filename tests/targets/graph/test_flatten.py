"""Nested graphs made flat, and the repairs that are stated."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import targets
from targets import AssumptionWarning, GraphError, SpikingGraph
from targets.graph.flatten import Nested, flatten

ONE = np.ones(3)
DT = {"dt": 1e-4}


def port(cls: type[nir.NIRNode], width: int = 3) -> nir.NIRNode:
    return cls({"input" if cls is nir.Input else "output": np.array([width])})


def quiet(path: Path) -> SpikingGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        return targets.load(path, DT)


def outer(inner: Nested, edges: list[tuple[str, str]], **more: nir.NIRNode | Nested) -> Nested:
    return Nested({"in": port(nir.Input), "sub": inner, "out": port(nir.Output), **more}, edges)


TWO_PORTS = Nested(
    {
        "a": port(nir.Input),
        "b": port(nir.Input),
        "w": nir.Scale(ONE),
        "lif": nir.LIF(ONE, ONE, ONE, ONE),
        "out": port(nir.Output),
    },
    [("a", "w"), ("w", "lif"), ("b", "lif"), ("lif", "lif"), ("lif", "out")],
)


def test_several_ports_by_dotted_names() -> None:
    edges = [("in", "sub.b"), ("in", "sub.a"), ("sub", "out")]
    flat = flatten(outer(TWO_PORTS, edges))
    assert list(flat.nodes) == ["in", "out", "sub.w", "sub.lif"]
    expected = {("in", "sub.w"), ("sub.w", "sub.lif"), ("in", "sub.lif"), ("sub.lif", "sub.lif")}
    assert set(flat.edges) == expected | {("sub.lif", "out")}
    # The order of the sum into the neuron is that of the edges inside.
    assert [a for a, b in flat.edges if b == "sub.lif"] == ["sub.w", "in", "sub.lif"]


def test_an_edge_must_say_which_port() -> None:
    with pytest.raises(GraphError, match=r"'in' -> 'sub'.*has 2 Input nodes \(sub\.a, sub\.b\)"):
        flatten(outer(TWO_PORTS, [("in", "sub"), ("sub", "out")]))


def test_graphs_in_graphs_in_any_order() -> None:
    level: Nested = Nested(
        {"in": port(nir.Input), "s": nir.Scale(ONE), "out": port(nir.Output)}, [("in", "s"), ("s", "out")]
    )
    for _ in range(3):
        level = Nested(
            {"out": port(nir.Output), "sub": level, "in": port(nir.Input)}, [("sub", "out"), ("in", "sub")]
        )
    for order in itertools.permutations(level.nodes):
        flat = flatten(Nested({name: level.nodes[name] for name in order}, level.edges))
        assert set(flat.edges) == {("in", "sub.sub.sub.s"), ("sub.sub.sub.s", "out")}
        assert len(flat.ports) == 6


def test_a_port_passes_the_sum_of_its_sources_to_all_targets() -> None:
    inner = Nested(
        {"in": port(nir.Input), "x": nir.Scale(ONE), "y": nir.Scale(ONE), "out": port(nir.Output)},
        [("in", "x"), ("in", "y"), ("x", "out"), ("y", "out")],
    )
    other = nir.Scale(ONE)
    flat = flatten(outer(inner, [("in", "sub"), ("in", "p"), ("p", "sub"), ("sub", "out")], p=other))
    assert set(flat.edges) == {
        ("in", "p"), ("in", "sub.x"), ("p", "sub.x"), ("in", "sub.y"), ("p", "sub.y"),
        ("sub.x", "out"), ("sub.y", "out"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (outer(TWO_PORTS, [("in", "sub.c")]), "node 'sub.c' does not exist"),
        (outer(TWO_PORTS, [("in", "sub.a")], **{"sub.w": nir.Scale(ONE)}), "'sub.w' stands twice"),
        (outer(Nested({"out": port(nir.Output)}, []), [("in", "sub")]), r"0 Input nodes \(none\)"),
    ],
)
def test_refusals_name_the_subgraph(graph: Nested, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        flatten(graph)


def test_ports_in_a_circle_and_fans_are_bounded() -> None:
    through = Nested({"in": port(nir.Input), "out": port(nir.Output)}, [("in", "out")])
    with pytest.raises(GraphError, match="cycle without a node"):
        flatten(outer(through, [("sub", "sub"), ("sub", "out")]))
    nodes: dict[str, nir.NIRNode | Nested] = {f"n{i}": nir.Scale(ONE) for i in range(400)}
    edges = [(f"n{i}", "sub") for i in range(200)] + [("sub", f"n{i}") for i in range(200, 400)]
    with pytest.raises(GraphError, match="multiply the edges"):
        flatten(outer(through, edges, **nodes))


def test_names_that_hold_dots_take_no_time() -> None:
    level = Nested({"in": port(nir.Input), "a": nir.Scale(ONE)}, [])
    for _ in range(30):
        level = Nested({"a" + ".a" * i: level for i in range(4)}, [])
    with pytest.raises(GraphError, match="does not exist"):
        flatten(Nested({"in": port(nir.Input), "a": level.nodes["a"]}, [("in", "a" + ".a" * 200 + ".b")]))
    with pytest.raises(GraphError, match="does not exist"):
        flatten(Nested({"in": port(nir.Input)}, [("in", "." * 10**6)]))


def test_the_nested_braille_network_is_the_flat_one(shared: Path) -> None:
    x = np.load(shared / "nir/ref/rnn_input_sample0_from_pdf.npy")[:, None]
    recorded = np.load(shared / "nir/ref/rnn_norse_activity_noDelay_bias_zero.npy")
    for name in ("braille_zero_subgraph", "braille_zero_subgraph_unreadable"):
        graph = quiet(shared / f"nir/{name}.nir")
        run = targets.compile(graph, "reference").run(x.astype(np.float32), record=["lif1.lif1"])
        spikes = run.spikes["lif1.lif1"][:, 0]
        assert int((spikes != recorded).sum()) == 0
        assert spikes.size == 9728


def test_a_wrong_name_is_repaired_only_where_it_can_mean_one_node(shared: Path, tmp_path: Path) -> None:
    source = shared / "nir/braille_zero_subgraph_unreadable.nir"
    said = "subgraph 'lif1' name 'lif', which does not exist, and none names 'lif1'"
    assert any(said in text for text in quiet(source).assumptions)
    copy = tmp_path / "m.nir"
    copy.write_bytes(source.read_bytes())
    with h5py.File(copy, "r+") as file:
        file.copy("node/nodes/fc1", "node/nodes/lif1/nodes/spare")
    with pytest.raises(GraphError, match=r"m\.nir: edge 'input' -> 'lif': node 'lif1\.lif' does not exist"):
        quiet(copy)


def test_a_port_that_declares_another_shape_is_named(shared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.nir"
    copy.write_bytes((shared / "nir/braille_zero_subgraph.nir").read_bytes())
    with h5py.File(copy, "r+") as file:
        file["node/nodes/lif1/nodes/input/shape"][...] = 12
        file["node/nodes/output/shape"][...] = 1
    said = quiet(copy).assumptions
    port_fault = "'lif1.input': a port of a subgraph declares (12,), but gets (38,) from 'fc1'"
    assert any(port_fault in s for s in said)
    assert any("'output' (Output): declares (1,), but gets (7,)" in s for s in said)
