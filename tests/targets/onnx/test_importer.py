"""A written file gives its graph back, bit for bit; any other file is refused."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import targets
from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.onnx.importer import imported, load_graph
from targets.onnx.sidefile import initializers


def assert_identical(found: Any, expected: Any, where: str) -> None:
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for key in expected:
            assert_identical(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for i, item in enumerate(expected):
            assert_identical(found[i], item, f"{where}/{i}")
    elif isinstance(expected, np.ndarray | np.generic):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        assert found.tobytes() == expected.tobytes(), where
    else:
        assert found == expected, where


def assert_same_graph(found: SpikingGraph, expected: SpikingGraph) -> None:
    assert list(found.nodes) == list(expected.nodes)
    for name, node in expected.nodes.items():
        assert type(found.nodes[name]) is type(node)
        for field in fields(node):
            mine, theirs = getattr(found.nodes[name], field.name), getattr(node, field.name)
            assert_identical(mine, theirs, f"{name}.{field.name}")
    assert found.edges == expected.edges
    assert found.profile == expected.profile
    assert found.assumptions == expected.assumptions
    assert_identical(dict(found.metadata), dict(expected.metadata), "metadata")


def small_graph() -> SpikingGraph:
    rng = np.random.default_rng(0)
    ones = np.ones(3)
    nodes = {
        "in": nir.Input({"input": np.array([2])}),
        "fc": nir.Affine(rng.normal(size=(3, 2)).astype("f4"), rng.normal(size=3)),
        "lif": nir.LIF(tau=ones * 4e-3, r=ones * 4, v_leak=ones * 0, v_threshold=ones, v_reset=-0.0 * ones),
        "out": nir.Output({"output": np.array([3])}),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "out")]
    notes = {
        "note": "\N{GREEK SMALL LETTER TAU}",
        "sizes": np.arange(3),
        "nested": {"of": (1, 2.5, None, True)},
    }
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3, "clip": -1.0}, ["a sentence"], notes)


FORMS = [{}, {"form": "gpu", "steps": 2, "batch": 3}]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gives_its_graph_back(tmp_path: Path, form: dict[str, Any]) -> None:
    graph = small_graph()
    targets.compile(graph, "onnx", **form).save(tmp_path / "model.onnx")
    found = load_graph(tmp_path / "model.onnx")
    assert_same_graph(found, graph)
    x = np.ones((4, 3, 2), np.float32)
    ours, theirs = (targets.compile(g, "onnx").run(x).output for g in (found, graph))
    assert np.array_equal(ours, theirs)


def test_a_fixed_point_file_holds_the_graph_it_was_lowered_from() -> None:
    graph = small_graph().replace(profile=targets.Profile(dt=1e-3))
    assert_same_graph(imported(targets.compile(graph, "onnx", arithmetic="fixed").model), graph)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(random_graph: Callable[[int], SpikingGraph], seed: int) -> None:
    graph = random_graph(seed)
    assert_same_graph(imported(targets.compile(graph, "onnx", **FORMS[seed % 2]).model), graph)


def test_weights_are_stored_once() -> None:
    weight = np.random.default_rng(0).normal(size=(300, 200)).astype("f4")
    nodes = {"in": nir.Input({"input": np.array([200])}), "fc": nir.Linear(weight)}
    nodes["out"] = nir.Output({"output": np.array([300])})
    graph = SpikingGraph.build(nodes, [("in", "fc"), ("fc", "out")])
    assert targets.compile(graph, "onnx").model.ByteSize() < 1.05 * weight.nbytes


def described(change: Callable[[str], str]) -> onnx.ModelProto:
    """A model with a changed description, and its checksum as if it were written so."""
    model = targets.compile(small_graph(), "onnx").model
    found = {item.key: item for item in model.metadata_props}
    text = found["nir.graph"].value = change(found["nir.graph"].value)
    sums = json.loads(found["crc32"].value) | {"nir.graph": zlib.crc32(text.encode())}
    found["crc32"].value = json.dumps(sums)
    return model


def changed(change: Callable[[dict[str, Any]], None]) -> onnx.ModelProto:
    def rewritten(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return described(rewritten)


def array(**stored: Any) -> dict[str, Any]:
    return {"array": {"dtype": "<f8", "shape": [3], "scalar": False, **stored}}


BOMB = base64.b64encode(zlib.compress(bytes(10**7))).decode()
BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda c: c.update(format=9), "format 9, allowed 1"),
    "nodes": (lambda c: c.update(nodes=[1]), "AttributeError"),
    "edges": (lambda c: c.update(edges=[["in"]]), "ValueError"),
    "missing": (lambda c: c.pop("profile"), "KeyError"),
    "profile": (lambda c: c["profile"].update(reset="never"), "reset"),
    "kind": (lambda c: c["nodes"]["lif"].update(kind="Popen"), "kind 'Popen', allowed"),
    "field": (lambda c: c["nodes"]["lif"]["fields"].update(extra=1), "extra"),
    "lost": (lambda c: c["nodes"]["lif"]["fields"].pop("tau"), "tau"),
    "object": (
        lambda c: c["nodes"]["lif"]["fields"].update(tau=array(dtype="|O", fill="AA==")),
        "ValueError",
    ),
    "bomb": (lambda c: c["nodes"]["lif"]["fields"].update(tau=array(deflated=BOMB)), "allowed 24"),
    "vast": (
        lambda c: c["nodes"]["lif"]["fields"].update(tau=array(shape=[2**40], fill="AAAAAAAA8D8=")),
        "allowed 2147483648",
    ),
    "nan": (lambda c: c["nodes"]["lif"]["fields"].update(tau=array(fill="AAAAAAAA+H8=")), "NaN|finite"),
    "unknown": (
        lambda c: c["nodes"]["lif"]["fields"].update(tau=array(initializer="gone", transposed=False)),
        "gone",
    ),
    "shape": (
        lambda c: c["nodes"]["lif"]["fields"].update(tau=array(initializer="fc/weight", transposed=True)),
        r"\(3, 2\), allowed \(3,\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_changed_descriptions_are_refused(name: str) -> None:
    change, words = BAD[name]
    with pytest.raises(GraphError, match=words):
        imported(changed(change))


@pytest.mark.parametrize("key", [b"nir.graph", b"crc32"])
def test_text_that_is_none_any_more_is_refused(tmp_path: Path, key: bytes) -> None:
    path = tmp_path / "model.onnx"
    targets.compile(small_graph(), "onnx").save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"{", content.index(key)) + 1] = 0xFF
    path.write_bytes(content)
    with pytest.raises(GraphError, match="crc32"):
        load_graph(path)


def test_deep_nesting_is_refused() -> None:
    model = described(lambda text: "[" * 200_000)
    with pytest.raises(GraphError, match="description"):
        imported(model)


def test_a_changed_number_in_a_description_is_refused() -> None:
    model = targets.compile(small_graph(), "onnx").model
    (entry,) = [item for item in model.metadata_props if item.key == "nir.graph"]
    entry.value = entry.value.replace('"times": 1.0', '"times": 2.0')
    with pytest.raises(GraphError, match="changed since the file was written"):
        imported(model)


def test_a_changed_coefficient_is_refused() -> None:
    model = targets.compile(small_graph(), "onnx").model
    (decay,) = [tensor for tensor in initializers(model) if tensor.name == "lif/decay"]
    decay.raw_data = (np.frombuffer(decay.raw_data, "f4") / 2).tobytes()
    with pytest.raises(GraphError, match="'lif/decay' changed since"):
        imported(model)


@pytest.mark.parametrize("content", [None, "", "[1]", "7"])
def test_files_without_checksums_are_refused(content: str | None) -> None:
    model = targets.compile(small_graph(), "onnx").model
    (entry,) = [item for item in model.metadata_props if item.key == "crc32"]
    if content is None:
        model.metadata_props.remove(entry)
    else:
        entry.value = content
    with pytest.raises(GraphError, match="earlier version" if content is None else "crc32"):
        imported(model)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("precision", ["float32", "float16", "tf32x2"])
def test_changed_weights_are_refused(tmp_path: Path, precision: str, beside: bool) -> None:
    path = tmp_path / "model.onnx"
    more = {"inline_bytes": 0} if beside else {}
    weight = np.random.default_rng(0).normal(size=(30, 40)).astype("f4")
    nodes = {"in": nir.Input(np.array([40])), "fc": nir.Linear(weight), "out": nir.Output(np.array([30]))}
    graph = SpikingGraph.build(nodes, [("in", "fc"), ("fc", "out")])
    executable = targets.compile(graph, "onnx", precision=precision, **more)
    executable.save(path)
    assert_same_graph(load_graph(path), executable.graph)
    (file,) = tmp_path.glob("*.weights") if beside else [path]
    content = bytearray(file.read_bytes())
    (held,) = [t for t in initializers(onnx.load_model(path)) if t.name == "fc/weight"]
    at = content.index(held.raw_data)
    content[at + 5] ^= 0x10
    file.write_bytes(content)
    with pytest.raises(GraphError, match="'fc/weight' changed since the file was written"):
        load_graph(path)


def foreign() -> bytes:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "ab"]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", values[:1], values[1:])
    return bytes(helper.make_model(graph, producer_name="pytorch").SerializeToString())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (foreign(), "was written by pytorch and holds no 'nir.graph'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is no ONNX file or was cut"),
        (b"", "was written by an unknown program"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=words):
        load_graph(path)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    targets.compile(small_graph(), "onnx").save(path)
    whole = path.read_bytes()
    for length in range(1, len(whole), len(whole) // 25):
        path.write_bytes(whole[:length])
        with pytest.raises(GraphError, match=r"model\.onnx"):
            load_graph(path)
    with pytest.raises(GraphError, match="No such file"):
        load_graph(tmp_path / "none.onnx")
