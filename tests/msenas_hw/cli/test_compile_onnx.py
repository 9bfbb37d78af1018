"""`msenas` and ONNX: what a file says, what a precision costs, and every way in which it can go wrong."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import targets


def network(width: int = 16) -> targets.SpikingGraph:
    """Digits to `width` to 10 neurons, random weights."""
    rng = np.random.default_rng(0)

    def neurons(count: int) -> nir.IF:
        return nir.IF(r=np.full(count, 1000.0), v_threshold=np.ones(count), v_reset=np.zeros(count))

    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "conv": nir.Conv2d((8, 8), rng.normal(size=(2, 1, 3, 3)) / 3, 1, 1, 1, 1, np.zeros(2)),
        "a": nir.IF(
            r=np.full((2, 8, 8), 1000.0), v_threshold=np.ones((2, 8, 8)), v_reset=np.zeros((2, 8, 8))
        ),
        "flat": nir.Flatten({"input": np.array([2, 8, 8])}, start_dim=0, end_dim=-1),
        "w1": nir.Linear(rng.normal(size=(width, 128)) / 8),
        "b": neurons(width),
        "w2": nir.Linear(rng.normal(size=(10, width)) / 2),
        "c": neurons(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    return targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    targets.save(network(), tmp_path / "model.nir")
    return tmp_path / "model.nir"


DIGITS = ("--data", "digits", "--data-steps", 8, "--samples", 12)


def properties(path: Path) -> dict[str, str]:
    return {item.key: item.value for item in onnx.load(path).metadata_props}


@pytest.mark.parametrize("precision", ["tf32x2", "float16", "bfloat16", "int8"])
def test_flips_and_accuracy_are_told_before_the_file(run, model, tmp_path, precision):
    out = tmp_path / "model.onnx"
    code, said, talk = run(
        "compile", model, "--target", "onnx", "--precision", precision, *DIGITS, "-o", out, "--format", "json"
    )
    assert code == 0
    found = json.loads(said)["precision.measured"]
    assert found["neuron_steps"] == 8 * 12 * (128 + 16 + 10)
    assert set(found["changed"]) == {"a", "b", "c"}
    assert 0 <= found["accuracy"] <= 1
    assert 0 <= found["accuracy_float32"] <= 1
    assert "against float32: " in talk
    assert "flip_rate" in talk
    assert json.loads(properties(out)["precision.measured"]) == found
    assert properties(out)["precision"] == precision
    if precision == "tf32x2":
        assert found["flip_rate"] == 0


def test_a_cheaper_precision_needs_data_and_writes_nothing_without(run, model, tmp_path):
    code, _, err = run("compile", model, "--target", "onnx", "--precision", "int8", "-o", tmp_path / "a.onnx")
    assert code == 2
    assert "--data" in err
    assert not (tmp_path / "a.onnx").exists()


def test_missing_steps_name_the_option_of_the_verb(run, model, tmp_path):
    """Other verbs call the steps of the data --steps, which is a call's here."""
    target = ("--target", "onnx", "--precision", "int8", "-o", tmp_path / "a.onnx")
    for given in (("--data", "digits"), ()):
        code, _, err = run("compile", model, *target, *given)
        assert code == 2
        assert re.search(r"(needs|and) --data-steps", err)
        code, _, err = run("bench", model, *given)
        assert code == 2
        assert re.search(r"(needs|and) --steps", err)


def test_a_file_carries_device_estimates_profile_and_version(run, model, tmp_path):
    out = tmp_path / "model.onnx"
    devices = ("--device", "loihi1-davies2018")
    code, _, _ = run("compile", model, "--target", "onnx", *devices, *DIGITS, "-o", out)
    assert code == 0
    found = properties(out)
    assert json.loads(found["device.loihi1-davies2018"])["energy_j"] > 0
    assert found["msenas_hw"]
    assert (found["profile.dt"], found["profile.reset"]) == ("0.001", "to_value")
    assert json.loads(found["nir.kinds"])["conv"] == "Conv2d"
    onnx.checker.check_model(out, full_check=True)


@pytest.mark.parametrize("options", [(), ("--arithmetic", "fixed"), ("--opset", 18)])
def test_show_reads_a_file_of_ours_back(run, model, tmp_path, options):
    out = tmp_path / "model.onnx"
    assert run("compile", model, "--target", "onnx", *options, "-o", out)[0] == 0
    code, shown, _ = run("show", out, "--format", "json")
    assert code == 0
    assert json.loads(shown) == json.loads(run("show", model, "--format", "json")[1])
    assert targets.load(out, {"dt": 2e-3}).profile.dt == 2e-3


def test_other_targets_have_none_of_these_options(run, model, tmp_path):
    for option, value in (
        ("--precision", "int8"),
        ("--opset", 18),
        ("--device", "loihi1"),
        ("--form", "gpu"),
    ):
        code, _, err = run("compile", model, "--target", "loihi", option, value, "-o", tmp_path / "x")
        assert code == 2
        assert f"{option}: found with --target loihi" in err


def foreign(path: Path) -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "ab"]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, producer_name="pytorch"), path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (foreign, "was written by pytorch"),
        (lambda path: path.write_bytes(b"\x89HDF" + bytes(99)), "is no ONNX file or was cut"),
        (lambda path: None, "no such file"),
    ],
)
def test_foreign_and_corrupt_onnx(run, tmp_path, write, words):
    write(tmp_path / "other.onnx")
    code, out, err = run("show", tmp_path / "other.onnx")
    assert (code, out) == (1, "")
    assert words in err


@pytest.mark.filterwarnings("ignore::targets.AssumptionWarning")
def test_an_unsupported_node_and_nan_weights(run, tmp_path):
    graph = network()
    broken = {**graph.nodes, "w2": nir.Linear(np.where(np.eye(10, 16) > 0, np.nan, 1.0))}
    late = {**graph.nodes, "wait": nir.Delay(np.full(10, 1.5e-3))}
    edges = [edge for edge in graph.edges if edge != ("c", "output")] + [("c", "wait"), ("wait", "output")]
    for nodes, paths, words in ((broken, list(graph.edges), "node 'w2'"), (late, edges, "node 'wait'")):
        nir.write(tmp_path / "bad.nir", nir.NIRGraph(nodes, paths, type_check=False))
        out = tmp_path / "x.onnx"
        given = ("compile", tmp_path / "bad.nir", "--profile", "dt=1e-3", "--target", "onnx", "-o", out)
        code, _, err = run(*given)
        assert code == 1
        assert words in err
        assert not out.exists()


@pytest.mark.parametrize(
    ("x", "steps", "words"),
    [
        (np.ones((4, 6, 3, 9, 9), np.float32), 6, r"samples of shape|\(3, 9, 9\)"),
        (np.full((4, 6, 1, 8, 8), "a"), 6, "<U1"),
        (np.full((4, 6, 1, 8, 8), np.nan), 6, "NaN|finite"),
        (np.ones((4, 6, 1, 8, 8), np.float32), 0, "steps"),
        (np.ones((4, 0, 1, 8, 8), np.float32), 1, "steps|shape"),
    ],
)
def test_wrong_input_shape_dtype_and_no_steps(run, model, tmp_path, x, steps, words):
    np.savez(tmp_path / "x.npz", x=x, y=np.zeros(4, np.int64))
    given = ("--data", tmp_path / "x.npz", "--samples", 2, "--steps", steps, "--encoding", "events")
    code, out, err = run("bench", model, "--target", "onnx", *given)
    assert code in (1, 2)
    assert out == ""
    assert re.search(words, err), err


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
)
def test_a_missing_provider_fails_and_says_why_unless_told_otherwise(run, model):
    given = ("bench", model, "--target", "onnx", "--data", "digits", "--steps", 4, "--samples", 2)
    code, out, err = run(*given, "--provider", "cuda")
    assert (code, out) == (1, "")
    assert "no CUDAExecutionProvider" in err
    code, out, _ = run(*given, "--provider", "cuda", "--fallback", "--format", "json")
    assert code == 0
    (found,) = json.loads(out)["targets"]
    assert "CPU, fallback (onnx: this onnxruntime has no CUDA" in found["ran_on"]
    assert list(found["placement"]) == ["CPUExecutionProvider"]
    assert (
        run("bench", model, "--target", "loihi", "--data", "digits", "--steps", 4, "--provider", "cuda")[0]
        == 2
    )


@pytest.mark.parametrize("limit", [0, 4000])
def test_a_full_disk_leaves_no_half_written_file(model, tmp_path, limit):
    """The kernel refuses to write more than `limit` bytes to a file."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"old")
    program = "import sys; from msenas_hw.cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "compile", str(model), "--target", "onnx"]

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*command, "-o", str(folder / "model.onnx")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small,
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "too large" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    assert (folder / "model.onnx").read_bytes() == b"old"
