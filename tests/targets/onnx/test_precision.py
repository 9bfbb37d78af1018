"""Cheaper products against float32, against numpy, and on weights that lose nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import pytest

import targets
from targets.errors import DataError, GraphError
from targets.graph.graph import SpikingGraph
from targets.onnx.executable import OnnxExecutable
from targets.onnx.flips import flips
from targets.onnx.importer import load_graph
from targets.onnx.options import OnnxOptions
from targets.onnx.precision import PRECISIONS, largest, short, tensor_cores

DT = 2.0**-10
CHEAP = PRECISIONS[1:]


def image_graph(grid: float | None) -> SpikingGraph:
    """Convolution, sum pooling, two dense layers and a loop; weights on `grid`, or any."""
    rng = np.random.default_rng(3)

    def weights(scale: float, *shape: int) -> np.ndarray:
        values = rng.normal(size=shape) * scale
        return values if grid is None else np.round(values / grid) * grid

    def lif(*shape: int) -> nir.LIF:
        one = np.ones(shape)
        return nir.LIF(tau=one * 4 * DT, r=one * 4, v_leak=one * 0, v_threshold=one, v_reset=one * 0)

    nodes = {
        "in": nir.Input({"input": np.array([2, 8, 8])}),
        "conv": nir.Conv2d((8, 8), weights(0.2, 4, 2, 3, 3), 1, 1, 1, 1, weights(0.1, 4)),
        "a": lif(4, 8, 8),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1),
        "fc": nir.Affine(weights(0.1, 20, 64), weights(0.1, 20)),
        "b": lif(20),
        "last": nir.Linear(weights(0.3, 5, 20)),
        "c": lif(5),
        "out": nir.Output({"output": np.array([5])}),
    }
    edges = list(pairwise(nodes))
    nodes |= {"back": nir.Linear(weights(0.1, 20, 20)), "wait": nir.Delay(np.full(20, DT))}
    return SpikingGraph.build(nodes, [*edges, ("b", "wait"), ("wait", "back"), ("back", "b")], {"dt": DT})


def events(steps: int = 20, samples: int = 6) -> np.ndarray:
    return (np.random.default_rng(steps).random((steps, samples, 2, 8, 8)) < 0.3).astype(np.float32)


def compiled(graph: SpikingGraph, precision: str, **more: Any) -> OnnxExecutable:
    calibration = {"calibration": events(10)} if precision == "int8" else {}
    return OnnxExecutable(graph, OnnxOptions(precision=precision, **calibration, **more))


@pytest.mark.parametrize("precision", ["tf32x2", "float16", "bfloat16"])
@pytest.mark.parametrize("form", [{}, {"form": "gpu", "steps": 4, "batch": 3}])
def test_no_flip_with_weights_that_it_holds(precision: str, form: dict[str, Any]) -> None:
    """Multiples of 2^-8 below 2^3 fit 11 bits of significand, and below 1 also 8."""
    graph = image_graph(2.0**-8)
    assert max(np.abs(node.weight).max() for node in graph.nodes.values() if hasattr(node, "weight")) < 1
    found = flips(graph, compiled(graph, precision, **form), events())
    assert found.compared == 20 * 6 * (4 * 64 + 20 + 5)
    assert found.changed == {"a": 0, "b": 0, "c": 0}


def test_two_terms_keep_random_weights() -> None:
    graph = image_graph(None)
    assert flips(graph, compiled(graph, "tf32x2"), events()).rate == 0


@pytest.mark.parametrize("precision", CHEAP)
def test_the_file_is_checked_imported_and_says_its_precision(tmp_path: Path, precision: str) -> None:
    graph = image_graph(None)
    executable = compiled(graph, precision)
    executable.save(tmp_path / "model.onnx", {"note": "measured"})
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    model = onnx.load(tmp_path / "model.onnx")
    said = {item.key: item.value for item in model.metadata_props}
    assert (said["precision"], said["note"]) == (precision, "measured")
    found = load_graph(tmp_path / "model.onnx")
    for name, node in executable.graph.nodes.items():
        if hasattr(node, "weight"):
            assert np.array_equal(found.nodes[name].weight, node.weight), name
    # Importing and compiling again is the same network.
    if precision != "int8":
        x = events()
        again = compiled(found, precision).run(x, ["a", "b", "c"])
        assert all(np.array_equal(again.spikes[n], executable.run(x, [n]).spikes[n]) for n in "abc")


def test_narrow_weights_make_a_smaller_file() -> None:
    rng = np.random.default_rng(0)
    nodes = {"in": nir.Input({"input": np.array([300])})}
    nodes["fc"] = nir.Linear(rng.normal(size=(400, 300)).astype(np.float32))
    nodes["out"] = nir.Output({"output": np.array([400])})
    graph = SpikingGraph.build(nodes, list(pairwise(nodes)))
    sizes = {p: compiled_any(graph, p).model.ByteSize() / (4 * 400 * 300) for p in PRECISIONS}
    assert sizes["float32"] == pytest.approx(1, abs=0.05)
    assert sizes["float16"] == pytest.approx(0.5, abs=0.05)
    assert sizes["bfloat16"] == pytest.approx(0.5, abs=0.05)
    assert sizes["tf32x2"] == pytest.approx(2, abs=0.05)
    assert sizes["int8"] == pytest.approx(0.25, abs=0.05)


def compiled_any(graph: SpikingGraph, precision: str) -> OnnxExecutable:
    shape = (2, 1, *graph.shapes[graph.inputs[0]])
    given = {"calibration": np.ones(shape)} if precision == "int8" else {}
    return OnnxExecutable(graph, OnnxOptions(precision=precision, **given))


@pytest.mark.parametrize(("precision", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_equal_to_the_reference_with_rounded_weights(precision: str, bits: int) -> None:
    """Rounded by numpy's and ml_dtypes' own casts; the reference then runs float32."""
    import ml_dtypes

    graph = image_graph(None)
    dtype = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[precision]
    nodes = dict(graph.nodes)
    for name, node in nodes.items():
        if hasattr(node, "weight"):
            fields = {key: getattr(node, key) for key in node.__dataclass_fields__ if key != "weight"}
            fields = {k: v for k, v in fields.items() if node.__dataclass_fields__[k].init}
            narrow = node.weight.astype(np.float32).astype(dtype).astype(np.float32)
            nodes[name] = type(node)(**fields, weight=narrow)
    x = events()
    expected = targets.compile(graph.replace(nodes=nodes), "reference").run(x, ["a", "b", "c"])
    run = compiled(graph, precision).run(x, ["a", "b", "c"])
    for name in "abc":
        assert np.array_equal(run.spikes[name], expected.spikes[name])


@pytest.mark.parametrize("bits", [7, 10])
def test_rounding_is_to_nearest_even(bits: int) -> None:
    import ml_dtypes

    rng = np.random.default_rng(bits)
    values = (rng.normal(size=2000) * 2.0 ** rng.integers(-8, 8, 2000)).astype(np.float32)
    values = values[np.abs(values) > 2.0**-14]  # float16 has fewer bits below
    values[:3] = [1 + 2.0**-8, 1 + 3 * 2.0**-8, 0]
    values[3:5] = [1 + 2.0**-11, 1 + 3 * 2.0**-11]
    dtype = {7: ml_dtypes.bfloat16, 10: np.float16}[bits]
    assert np.array_equal(short(values, bits), values.astype(dtype).astype(np.float32))


def test_int8_against_numpy() -> None:
    """The dense layer's integer product is exact; the convolution's sums have 255 steps."""
    graph = image_graph(None)
    x = events()
    executable = compiled(graph, "int8")
    run = executable.run(x, ["conv", "pool", "fc", "a", "b"])
    held, spikes = executable.graph.nodes, run.spikes
    flat = spikes["pool"].reshape(*x.shape[:2], -1).astype(np.float64)
    expected = flat @ held["fc"].weight.T.astype(np.float64) + held["fc"].bias
    np.testing.assert_allclose(spikes["fc"], expected, rtol=1e-5, atol=1e-5)
    whole = OnnxExecutable(graph, OnnxOptions()).run(x, ["conv"]).spikes["conv"]
    step = (whole.max() - whole.min()) / 255
    assert np.abs(spikes["conv"] - whole).max() < 8 * step
    assert len(np.unique(spikes["conv"])) <= 256
    kinds = {
        n.op_type for n in executable.model.graph.node if n.op_type == "Scan" for n in n.attribute[0].g.node
    }
    assert {"QLinearConv", "MatMulInteger"} <= kinds
    changed = flips(graph, executable, x)
    assert 0 < changed.rate < 0.1


def test_int8_of_one_axis_and_of_groups() -> None:
    rng = np.random.default_rng(1)
    ones = np.ones((4, 9))
    nodes = {
        "in": nir.Input({"input": np.array([2, 9])}),
        "conv": nir.Conv1d(9, rng.normal(size=(4, 1, 3)), 1, 1, 1, 2, np.zeros(4)),
        "a": nir.IF(r=ones / DT, v_threshold=ones, v_reset=0 * ones),
        "out": nir.Output({"output": np.array([4, 9])}),
    }
    graph = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": DT})
    x = (rng.random((12, 3, 2, 9)) < 0.4).astype(np.float32)
    executable = OnnxExecutable(graph, OnnxOptions(precision="int8", calibration=x))
    ours = executable.run(x, ["conv"]).spikes["conv"]
    whole = OnnxExecutable(graph, OnnxOptions()).run(x, ["conv"]).spikes["conv"]
    assert np.abs(ours - whole).max() < 0.05 * np.abs(whole).max()


def test_accuracy_is_counted_by_label() -> None:
    graph = image_graph(None)
    x = events(20, 11)
    exact, cheap = OnnxExecutable(graph, OnnxOptions()), compiled(graph, "int8")
    labels = exact.run(x).classes()
    found = flips(graph, cheap, x, labels)
    assert (found.samples, found.accuracy_float32) == (11, 1.0)
    assert found.accuracy == np.mean(cheap.run(x).classes() == labels)
    assert flips(graph, cheap, x).accuracy is None


def test_whole_numbers_are_followed_through_the_graph() -> None:
    found = largest(image_graph(None), 100)
    assert (found["in"], found["a"], found["pool"], found["flat"], found["wait"]) == (100, 1, 4, 4, 1)
    assert found["conv"] == found["fc"] == np.inf


def test_tensor_cores_only_where_everything_that_arrives_is_whole() -> None:
    graph = image_graph(None)
    assert tensor_cores(graph, "tf32x2")
    assert not tensor_cores(graph, "float32")
    assert not tensor_cores(graph, "int8")
    many = graph.replace(profile={"dt": DT, "spikes_per_step": "many"})
    assert not tensor_cores(many, "float16")
    nodes = {**graph.nodes, "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))}
    assert not tensor_cores(graph.replace(nodes=nodes), "float16")
    # int8 then leaves the layer behind the average in float32.
    mixed = compiled(graph.replace(nodes=nodes), "int8")
    stored = {
        i.name: i.data_type for n in mixed.model.graph.node for a in n.attribute for i in a.g.initializer
    }
    assert stored["fc/weight"] == onnx.TensorProto.FLOAT
    assert stored["last/weight"] == onnx.TensorProto.INT8


def test_int8_takes_small_whole_inputs_only() -> None:
    executable = compiled(image_graph(None), "int8")
    for value, words in ((0.5, "no integers"), (-1, "from 0 on"), (256, "up to 255")):
        with pytest.raises(DataError, match=words):
            executable.run(np.full((2, 1, 2, 8, 8), value))


def test_weights_beyond_float16_are_refused() -> None:
    graph = image_graph(None)
    node = graph.nodes["last"]
    large = graph.replace(nodes={**graph.nodes, "last": nir.Linear(node.weight * 1e6)})
    with pytest.raises(GraphError, match=r"'last': weight .* up to 65504 in float16; use precision bfloat16"):
        compiled(large, "float16")


@pytest.mark.parametrize("loop", [("wait", "back"), ("back", "wait")])
@pytest.mark.parametrize("precision", CHEAP)
def test_a_loop_right_behind_the_input(precision: str, loop: tuple[str, str]) -> None:
    one = np.ones(6)
    nodes = {
        "in": nir.Input(np.array([6])),
        "cells": nir.IF(one / DT, one, one * 0),
        "wait": nir.Delay(one * DT),
        "back": nir.Linear(np.random.default_rng(5).integers(-3, 3, (6, 6)) / 4),
        "out": nir.Output(np.array([6])),
    }
    edges = [("in", "cells"), *pairwise(["cells", *loop, "cells"]), ("cells", "out")]
    graph = SpikingGraph.build(nodes, edges, {"dt": DT})
    x = (np.random.default_rng(6).random((8, 2, 6)) < 0.4).astype(np.float32)
    given: dict[str, Any] = {"precision": precision} | ({"calibration": x} if precision == "int8" else {})
    expected = targets.compile(graph, "reference").run(x).output
    portable = OnnxExecutable(graph, OnnxOptions(**given))
    gpu = OnnxExecutable(graph, OnnxOptions(**given, form="gpu", steps=4, batch=2))
    onnx.checker.check_model(gpu.model, full_check=True)
    assert 0 < expected.mean() < 1
    for found in (portable.run(x).output, gpu.run(x).output, np.stack([portable.step(f)["out"] for f in x])):
        np.testing.assert_array_equal(found, expected)
