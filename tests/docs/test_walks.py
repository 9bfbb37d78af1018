"""The walk of the documentation on a small file: each fold of its own, figures and proof as in the runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.config import load_config

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONFIG = """
[data]
name = "bars.npz"
steps = 4
folds = 2
validation = 20
samples = 16
[space]
cells = [1, 1]
widths = [8]
[budget]
device = "loihi1-sanafe"
[search]
population = 4
generations = 1
[training]
epochs = 4
batch = 16
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = np.zeros((120, 6, 6))
    for i, lying in enumerate(y):
        x[(i, rng.integers(6)) if lying else (i, slice(None), rng.integers(6))] = 1
    np.savez(folder / "bars.npz", x=x, y=y)
    (folder / "walk.toml").write_text(CONFIG)
    words = ["walk.toml", "--run", "run", "--target", "reference", "--target", "onnx", "--target", "loihi"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "walk.py"), *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return folder


def test_every_fold_is_searched_trained_exported_and_verified(walked: Path) -> None:
    told = json.loads((walked / "run" / "walk.json").read_text())
    assert [row["run"] for row in told["folds"]] == ["run/fold-0", "run/fold-1"]
    for row in told["folds"]:
        place = walked / row["run"] / "artifacts" / row["arch"]
        assert {"model.nir", "model.onnx", "program.npz", "train.json"} <= {
            file.name for file in place.iterdir()
        }
        assert (
            row["test_accuracy"] == json.loads((place / "train.json").read_text())["runs"][0]["test_accuracy"]
        )
        # Two pairs share an arithmetic; 20 test samples of 4 steps.
        assert (row["pairs"], row["differing"]) == (2, 0)
        assert row["compared"] >= 2 * 20 * 4
    for key, (mean, error) in told["mean_and_standard_error"].items():
        found = [row[key] for row in told["folds"]]
        assert mean == pytest.approx(np.mean(found))
        assert error == pytest.approx(np.std(found, ddof=1) / np.sqrt(2))


def test_no_run_holds_other_data_than_its_fold_s(walked: Path) -> None:
    for fold in range(2):
        section = tomllib.loads((walked / "run" / f"fold-{fold}" / "run.toml").read_text())["config"]["data"]
        assert (section["folds"], section["fold"]) == (2, fold)


@pytest.mark.parametrize("name", ["nmnist", "fashion-mnist", "quickstart"])
def test_the_configurations_are_read(name: str) -> None:
    config = load_config(EXAMPLES / f"{name}.toml")
    assert config.search.population >= 6
