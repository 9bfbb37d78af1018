"""Provider logic against the real GPU wheel, on a machine without a GPU.

`MSENAS_GPU_PYTHON` names the Python of an environment with onnxruntime-gpu and what the graph needs:
pip install onnxruntime-gpu==1.31.1 numpy nir h5py onnx scipy. Without it these tests skip.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys, nir, numpy as np, onnxruntime, targets
ones = np.ones(3)
nodes = {
    "in": nir.Input({"input": np.array([2])}), "fc": nir.Linear(np.arange(6).reshape(3, 2) / 4),
    "n": nir.IF(r=ones * 1e3, v_threshold=ones, v_reset=ones * 0),
    "out": nir.Output({"output": np.array([3])}),
}
graph = targets.SpikingGraph.build(nodes, [("in", "fc"), ("fc", "n"), ("n", "out")], {"dt": 1e-3})
assert "CUDAExecutionProvider" in onnxruntime.get_available_providers()
options = eval(sys.argv[1])
try:
    executable = targets.compile(graph, "onnx", **options)
except targets.TargetUnavailableError as error:
    print("refused", error)
    sys.exit(1)
print(executable.run(np.ones((4, 2, 2))).ran_on, list(executable.placement()))
"""
GPU_FORM = {"form": "gpu", "steps": 2, "batch": 2}


@pytest.fixture
def python() -> str:
    found = os.environ.get("MSENAS_GPU_PYTHON")
    if not found:
        pytest.skip("MSENAS_GPU_PYTHON names no environment with onnxruntime-gpu")
    return found


def ran(python: str, options: dict[str, object], *path: Path) -> tuple[int, str]:
    places = os.pathsep.join(map(str, (ROOT, *path)))
    done = subprocess.run(
        [python, "-c", PROGRAM, repr(options)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": places},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("form", [{}, GPU_FORM])
@pytest.mark.parametrize(
    ("provider", "asked"), [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_a_library_that_does_not_load_is_named(
    python: str, provider: str, asked: str, form: dict[str, object]
) -> None:
    code, said = ran(python, {"provider": provider, **form})
    assert code == 1
    assert f"asked for {asked}, onnxruntime would run on CPUExecutionProvider: lib" in said
    assert "cannot open shared object file" in said


def test_the_cpu_runs_where_told_to_and_says_why(python: str) -> None:
    code, said = ran(python, {"provider": "cuda", "fallback": True, **GPU_FORM})
    assert code == 0
    assert "CPU, fallback (onnx: asked for CUDAExecutionProvider" in said
    assert said.strip().endswith("['CPUExecutionProvider']")


def test_both_wheels_at_once_are_named(python: str, tmp_path: Path) -> None:
    """The second wheel's record is enough: nothing tells which one wrote the files last."""
    record = tmp_path / "onnxruntime-1.31.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.31.1\n")
    code, said = ran(python, {"provider": "cuda"}, tmp_path)
    assert code == 1
    assert "onnxruntime and onnxruntime-gpu are both installed" in said
    assert ran(python, {}, tmp_path)[0] == 0
