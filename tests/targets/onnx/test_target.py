"""The ONNX target's verbs: refusals, bad input, saving, providers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import onnxruntime
import pytest

import targets
from targets.errors import ConfigError, DataError, TargetUnavailableError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.onnx.body import OPSETS
from targets.onnx.target import OnnxOptions, OnnxTarget


def small_graph(profile: dict[str, Any] | None = None) -> SpikingGraph:
    ones = np.ones(3)
    nodes = {
        "in": nir.Input({"input": np.array([2])}),
        "fc": nir.Linear(np.arange(6).reshape(3, 2) / 4),
        "lif": nir.LIF(tau=ones * 4e-3, r=ones * 4, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0),
        "out": nir.Output({"output": np.array([3])}),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "out")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3} if profile is None else profile)


def large_graph() -> SpikingGraph:
    """Two dense layers of 16 kB each."""
    rng = np.random.default_rng(0)
    ones = np.ones(64)
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input({"input": np.array([64])})}
    for name in "ab":
        nodes[f"to {name}"] = nir.Linear(rng.integers(-64, 129, (64, 64)).astype(np.float32) / 256)
        nodes[name] = nir.IF(r=ones * 1e3, v_threshold=ones, v_reset=ones * 0)
    nodes["out"] = nir.Output({"output": np.array([64])})
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def test_entry_point_finds_the_target() -> None:
    executable = targets.compile(small_graph(), "onnx")
    run = executable.run(np.ones((4, 2, 2)))
    assert run.ran_on == f"onnxruntime {onnxruntime.__version__} CPU, C kernels"
    assert run.seconds > 0
    assert run.output.sum(0).tolist() == [[0, 4, 4]] * 2
    assert run.classes().tolist() == [1, 1]
    assert OnnxTarget().unavailable() is None


def test_every_refusal_at_once() -> None:
    graph = small_graph()
    nodes = {
        **graph.nodes,
        "late": nir.Delay(np.full(3, 1.5e-3)),
        "second": nir.Input({"input": np.array([3])}),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "late"), ("second", "late"), ("late", "out")]
    graph = SpikingGraph.build(nodes, edges, {"dt": 1e-3})
    assert [refusal.node for refusal in OnnxTarget().check(graph)] == ["late", "second"]
    with pytest.raises(UnsupportedNodeError, match=r"(?s)'late'.*1.5 steps.*2 Input nodes"):
        targets.compile(graph, "onnx")
    with pytest.raises(UnsupportedNodeError, match="dt is missing"):
        targets.compile(small_graph({}), "onnx")


def test_a_profile_that_no_chip_has_is_refused_in_fixed_point() -> None:
    graph = small_graph({"dt": 1e-3, "spikes_per_step": "many"})
    assert targets.compile(graph, "onnx").run(np.ones((2, 1, 2))).output.any()
    with pytest.raises(UnsupportedNodeError, match="spikes_per_step='many'"):
        targets.compile(graph, "onnx", arithmetic="fixed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arithmetic": "float16"}, "arithmetic is 'float16', allowed float32, fixed"),
        ({"provider": "tpu"}, "provider is 'tpu', allowed cpu, cuda, tensorrt"),
        ({"form": "tiny"}, "form is 'tiny', allowed portable, gpu"),
        ({"steps": 4}, "portable form takes any"),
        ({"form": "gpu", "steps": 4}, "batch is None, allowed a whole number"),
        ({"form": "gpu", "steps": 0, "batch": 1}, "steps is 0, allowed a whole number"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": 1.5}, "workers is 1.5, allowed a whole number >= 1"),
        ({"workers": True}, "workers is True, allowed a whole number"),
        ({"inline_bytes": "a"}, "inline_bytes is 'a', allowed a whole number >= 0"),
        ({"inline_bytes": -1}, "inline_bytes is -1, allowed a whole number >= 0"),
        ({"form": "gpu", "steps": True, "batch": 1}, "steps is True, allowed a whole number"),
        (
            {"form": "gpu", "steps": 2**14, "batch": 2**10 + 1},
            "is 16793600, allowed up to 16777216 with counts",
        ),
        ({"opset": 20.0}, "opset is 20.0, allowed 18, 19, 20, 21"),
        ({"program": 3, "arithmetic": "fixed"}, "program is a int, allowed a targets.loihi Program"),
        ({"opset": 17}, "opset is 17, allowed 18, 19, 20, 21"),
        ({"precision": "int4"}, "precision is 'int4', allowed float32, tf32x2"),
        ({"precision": "int8"}, "'int8' without calibration"),
        ({"precision": "float16", "arithmetic": "fixed"}, "integers have none"),
        ({"speed": 1}, "speed"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        targets.compile(small_graph(), "onnx", **options)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones((4, 2, 3)), r"found shape \(4, 2, 3\), allowed \(T >= 1, B >= 1, 2\)"),
        (np.ones((0, 2, 2)), r"found shape \(0, 2, 2\)"),
        (np.ones((4, 0, 2)), r"found shape \(4, 0, 2\)"),
        (np.ones(2), r"found shape \(2,\)"),
        (np.full((4, 1, 2), "a"), "found dtype <U1"),
        (np.full((4, 1, 2), 1j), "found dtype complex128, allowed bool, integers and floats"),
        (np.full((4, 1, 2), np.timedelta64(1, "s")), "found dtype timedelta64"),
        (np.full((4, 1, 2), 1, object), "found dtype object"),
        (np.full((4, 1, 2), np.nan), "NaN"),
        (np.full((4, 1, 2), np.inf), "infinite"),
    ],
)
@pytest.mark.parametrize("arithmetic", OnnxTarget.arithmetics)
def test_wrong_input(x: np.ndarray, words: str, arithmetic: str) -> None:
    executable = targets.compile(small_graph(), "onnx", arithmetic=arithmetic)
    with pytest.raises(DataError, match=words):
        executable.run(x)


def test_unknown_record_names_the_nodes() -> None:
    with pytest.raises(DataError, match=r"'lifo' does not exist, allowed in, fc, lif, out"):
        targets.compile(small_graph(), "onnx").run(np.ones((1, 1, 2)), ["lifo"])


def test_input_beyond_float32_is_refused() -> None:
    with pytest.raises(DataError, match=r"holds 1e\+39, allowed up to 3.40282e\+38"):
        targets.compile(small_graph(), "onnx").run(np.full((1, 1, 2), 1e39))


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000, reason="longdouble is float64 here")
@pytest.mark.parametrize("options", [{}, {"arithmetic": "fixed"}])
def test_longdouble_beyond_float32_is_refused(options: dict[str, Any]) -> None:
    executable = targets.compile(small_graph(), "onnx", **options)
    x = np.ones((2, 1, 2), np.longdouble)
    assert np.array_equal(executable.run(x).output, executable.run(x.astype(np.float32)).output)
    x[1, 0, 1] = -(np.longdouble(10) ** 400)
    with pytest.raises(DataError, match=r"holds -1e\+400, allowed up to 3.40282e\+38"):
        executable.run(x)


def test_calibration_beyond_float32_is_refused() -> None:
    with pytest.raises(DataError, match=r"holds 1e\+39, allowed up to 3.40282e\+38"):
        targets.compile(small_graph(), "onnx", precision="int8", calibration=np.full((1, 1, 2), 1e39))


def test_counts_limit_a_call_of_the_gpu_form() -> None:
    """At the limit, or without counts, nothing is refused."""
    assert OnnxOptions(form="gpu", steps=2**14, batch=2**10).counts
    assert not OnnxOptions(form="gpu", steps=2**14, batch=2**11, counts=False).counts


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
)
def test_a_missing_provider_is_an_error_and_says_why() -> None:
    with pytest.raises(TargetUnavailableError, match=r"no CUDAExecutionProvider.*onnxruntime-gpu"):
        targets.compile(small_graph(), "onnx", provider="cuda")


def test_a_silent_fallback_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU build lists CUDA also where its libraries do not load, and then runs on the CPU."""
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.raises(
        TargetUnavailableError, match=r"asked for CUDA.*would run on CPUExecutionProvider: \S+"
    ):
        targets.compile(small_graph(), "onnx", provider="cuda")


def test_a_fallback_that_was_asked_for_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    executable = targets.compile(small_graph(), "onnx", provider="cuda", fallback=True)
    run = executable.run(np.ones((4, 2, 2)))
    assert run.output.sum(0).tolist() == [[0, 4, 4]] * 2
    assert " CPU, fallback (onnx: asked for CUDAExecutionProvider" in run.ran_on


def test_two_wheels_at_once_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr("targets.onnx.session._installed", lambda package: True)
    with pytest.raises(TargetUnavailableError, match="both installed and overwrite each other"):
        targets.compile(small_graph(), "onnx", provider="tensorrt")


def test_placement_counts_the_nodes_that_run() -> None:
    found = targets.compile(small_graph(), "onnx").placement()
    assert set(found) == {"CPUExecutionProvider"}
    assert found["CPUExecutionProvider"]["Scan"] == 1
    # Of the body: the product, and the population as one operator of ours.
    assert {"MatMul", "PopulationCounted"} <= set(found["CPUExecutionProvider"])


@pytest.mark.parametrize("arithmetic", OnnxTarget.arithmetics)
def test_a_saved_model_runs_anywhere(tmp_path: Path, arithmetic: str) -> None:
    executable = OnnxTarget().compile(small_graph(), OnnxOptions(arithmetic=arithmetic))
    path = tmp_path / "model.onnx"
    executable.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(path, full_check=True)
    x = (np.random.default_rng(0).random((9, 3, 2)) < 0.5).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    run = executable.run(x)
    assert run.output.any()
    found = dict(zip(["out", "lif/count"], session.run(["out", "lif/count"], {"in": x}), strict=True))
    assert np.array_equal(found["out"], run.output)
    assert np.array_equal(found["lif/count"], run.spike_counts["lif"])


@pytest.mark.parametrize("inline_bytes", [2**31, 0])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inline_bytes: int
) -> None:
    """The disk fills up while the model is written, its weights beside it or not."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    opened = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

    executable = OnnxTarget().compile(large_graph(), OnnxOptions(inline_bytes=inline_bytes))
    assert executable.model.graph.node
    monkeypatch.setattr(
        Path, "open", lambda p, *a: Full(opened(p, *a)) if "model.onnx." in p.name else opened(p, *a)
    )
    with pytest.raises(OSError, match="No space left"):
        executable.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_the_float_form_needs_no_torch() -> None:
    code = "import sys, targets.onnx.target; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("options", [{}, {"form": "gpu", "steps": 3, "batch": 2}, {"arithmetic": "fixed"}])
def test_every_opset_gives_the_same_spikes(
    random_graph: Callable[[int], SpikingGraph], opset: int, options: dict[str, Any]
) -> None:
    graphs = [large_graph()] if "arithmetic" in options else [large_graph(), random_graph(3), random_graph(8)]
    for graph in graphs:
        shape = graph.shapes[graph.inputs[0]]
        x = np.random.default_rng(opset).integers(0, 2, (6, 2, *shape)).astype(np.float32)
        names = graph.populations
        plain = targets.compile(graph, "onnx", **options).run(x, names)
        executable = targets.compile(graph, "onnx", opset=opset, **options)
        assert executable.model.opset_import[0].version == opset
        assert {f.opset_import[0].version for f in executable.model.functions} <= {opset}
        onnx.checker.check_model(executable.model, full_check=True)
        run = executable.run(x, names)
        assert all(np.array_equal(run.spikes[name], plain.spikes[name]) for name in names)


@pytest.mark.parametrize("chosen", [None, "0"])
def test_telemetry_is_off_unless_chosen(chosen: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if chosen is None else {"ORT_DISABLE_TELEMETRY": chosen}
    code = "import os, targets.onnx.session; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == (chosen or "1")


def test_notes_do_not_hide_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ConfigError, match="stand in the file already"):
        targets.compile(small_graph(), "onnx").save(path, {"profile.dt": "1", "arithmetic": "x", "mine": "y"})
    assert not path.exists()
