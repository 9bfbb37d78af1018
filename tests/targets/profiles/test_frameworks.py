"""Files that other frameworks wrote, against the spikes of their own run: 0 differences.

`tests/golden/<framework>` holds models and spikes recorded by `generate.py` beside them, from seeds:
Sinabs 3.1.3, SpikingJelly 2.0.0, Norse 1.1.0, snnTorch 1.0.0 and Rockpool 3.1.0 with torch 2.13.0 on
a CPU. To record again and compare, make one environment for each framework (some need nir <= 1.0.4;
the first lines of `generate.py` say what to install), as `PEERS/<framework>/bin/python`, and run

    MSENAS_PEERS=PEERS pytest tests/targets/profiles
"""

from __future__ import annotations

import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import targets

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NORM, ROCKPOOL = "sinabs-norm-input", {"writer": "rockpool", "dt": 1e-3}
CASES: list[tuple[str, str, Any]] = [
    ("norse", "box", "norse"),
    ("norse", "currents", "norse"),
    ("norse", "integrating", "norse"),
    ("rockpool", "currents", ROCKPOOL),
    ("rockpool", "leaky", ROCKPOOL),
    ("sinabs", "leaky", "sinabs"),
    ("sinabs", "normalised", NORM),
    ("sinabs", "integrating", "sinabs"),
    ("sinabs", "unclipped", {"writer": "sinabs", "clip": None}),
    ("snntorch", "late", "snntorch"),
    ("snntorch", "zero", {"writer": "snntorch", "reset": "to_value"}),
    ("snntorch", "immediate", {"writer": "snntorch", "reset": "subtract"}),
    ("snntorch", "currents", "snntorch"),
    ("snntorch", "recurrent", "snntorch"),
    ("spikingjelly", "leaky", "spikingjelly"),
    ("spikingjelly", "currents", "spikingjelly"),
    ("spikingjelly", "convolution", "spikingjelly"),
]


def load(path: Path, profile: Any) -> targets.SpikingGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        return targets.load(path, profile=profile)


def mismatches(graph: targets.SpikingGraph, x: np.ndarray, recorded: np.ndarray, arithmetic: str) -> int:
    run = targets.compile(graph, "reference", arithmetic=arithmetic).run(x.astype(np.float32))
    (found,) = run.outputs.values()
    return int((found.reshape(recorded.shape) != recorded).sum())


@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
@pytest.mark.parametrize(("framework", "model", "profile"), CASES)
def test_equals_the_run_of_its_writer(framework: str, model: str, profile: Any, arithmetic: str) -> None:
    """800 or 1,000 cells each: 100 steps, 2 samples."""
    graph = load(GOLDEN / framework / f"{model}.nir", profile)
    with np.load(GOLDEN / framework / f"{model}.npz") as stored:
        assert stored["output"].astype(int).sum() >= 30
        assert mismatches(graph, stored["x"], stored["output"], arithmetic) == 0


@pytest.mark.parametrize(
    ("framework", "profile"),
    [("norse", "norse"), ("rockpool", ROCKPOOL), ("sinabs", {"writer": "sinabs", "clip": None})],
)
def test_readouts_follow_the_run_of_their_writer(framework: str, profile: Any) -> None:
    """Membranes of LI behind a layer that fires: 800 values each, within float32's rounding."""
    graph = load(GOLDEN / framework / "readout.nir", profile)
    with np.load(GOLDEN / framework / "readout.npz") as stored:
        x, recorded = stored["x"].astype(np.float32), stored["output"]
    (found,) = targets.compile(graph, "reference").run(x).outputs.values()
    assert np.abs(recorded).max() > 0.1
    np.testing.assert_allclose(found, recorded, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("framework", "model", "dt"),
    [("norse", "currents", 1e-3), ("sinabs", "leaky", 1.0), ("snntorch", "late", 1e-4)],
)
def test_without_the_writers_profile_the_spikes_differ(framework: str, model: str, dt: float) -> None:
    graph = load(GOLDEN / framework / f"{model}.nir", {"dt": dt})
    with np.load(GOLDEN / framework / f"{model}.npz") as stored:
        assert mismatches(graph, stored["x"], stored["output"], "float32") > 20


@pytest.mark.parametrize(("recording", "profile"), [("sinabs", "sinabs"), ("spikingjelly", {"dt": 1.0})])
def test_scnn_equals_its_framework(shared: Path, recording: str, profile: Any) -> None:
    """The SCNN of the NIR paper, all five IF layers, 717,600 cells: the Sinabs and the house profile.

    SpikingJelly steps by Euler, resets to v_reset and fires once; its >= never meets a tie here.
    """
    graph = load(shared / "nir/scnn_sinabs.nir", profile)
    x = (np.random.default_rng(11).random((40, 2, 2, 34, 34)) < 0.05).astype(np.float32)
    with np.load(GOLDEN / "scnn" / f"{recording}.npz") as stored:
        layers = dict(stored)
    run = targets.compile(graph, "reference").run(x, record=list(layers))
    assert sum(values.size for values in layers.values()) == 717_600
    for name, recorded in layers.items():
        assert recorded.astype(int).sum() > 0
        assert (run.spikes[name] != recorded).sum() == 0, name
    assert (max(v.max() for v in layers.values()) > 1) == (recording == "sinabs")


def record(framework: str, script: Path, *arguments: Path) -> None:
    """Run `script` in the framework's own environment; the test skips where there is none."""
    python = Path(os.environ.get("MSENAS_PEERS", "/nonexistent")) / framework / "bin/python"
    if not python.exists():
        pytest.skip(f"no environment for {framework}: set MSENAS_PEERS, as this file's first lines say")
    done = subprocess.run([python, script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("framework", sorted({case[0] for case in CASES}))
def test_recordings_are_reproduced_by_the_framework(framework: str, tmp_path: Path) -> None:
    record(framework, GOLDEN / framework / "generate.py", tmp_path)
    for model in (model for name, model, _ in CASES if name == framework):
        with np.load(tmp_path / f"{model}.npz") as new, np.load(GOLDEN / framework / f"{model}.npz") as kept:
            for key in ("x", "output"):
                np.testing.assert_array_equal(new[key], kept[key])


@pytest.mark.parametrize("framework", ["sinabs", "spikingjelly"])
def test_scnn_recordings_are_reproduced(framework: str, shared: Path, tmp_path: Path) -> None:
    script = GOLDEN / "scnn" / f"generate_{framework}.py"
    record(framework, script, shared / "nir/scnn_sinabs.nir", tmp_path)
    kept = GOLDEN / "scnn" / f"{framework}.npz"
    with np.load(tmp_path / kept.name) as new, np.load(kept) as old:
        assert sorted(new) == sorted(old)
        for key in old:
            np.testing.assert_array_equal(new[key], old[key])
