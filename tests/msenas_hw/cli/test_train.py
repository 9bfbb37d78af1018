"""`msenas train MODEL.nir`: retraining any network, kills, budgets and usage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import targets
from msenas_hw.training.checkpoint import Checkpoint, Saved

QUICK = ("--set", "training.batch=256", "--set", "data.samples=8")

Run = Callable[..., tuple[int, str, str]]


def affine(rng: np.random.Generator, rows: int, columns: int) -> nir.Affine:
    weight = rng.normal(0.5, 1.0, (rows, columns)).astype(np.float32)
    return nir.Affine(weight * np.float32(6 / columns), np.zeros(rows, np.float32))


def lif(count: int) -> nir.LIF:
    one = np.ones(count, np.float32)
    return nir.LIF(one * 4e-3, one * 4, one * 0, one, one * 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """64 - 16 - 10 for the digits."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([64])}),
        "up": affine(rng, 16, 64),
        "hidden": lif(16),
        "down": affine(rng, 10, 16),
        "readout": lif(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    path = tmp_path_factory.mktemp("model") / "dense.nir"
    targets.save(targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3}), path)
    return path


@pytest.fixture
def run(run: Run) -> Run:
    """`msenas train`."""
    return partial(run, "train")


def results(folder: Path) -> tuple[list, dict]:
    """Rows of train.json, and the parameters of model.nir."""
    graph = targets.load(folder / "model.nir")
    found = {
        f"{name}.{key}": getattr(node, key)
        for name, node in graph.nodes.items()
        for key in ("weight", "bias", "tau", "r", "v_threshold")
        if hasattr(node, key)
    }
    return json.loads((folder / "train.json").read_text())["runs"], found


def test_a_model_is_retrained(run, model, tmp_path):
    code, out, err = run(model, "--data", "digits", "--set", "training.epochs=4", "--seeds", 2,
                         "--output", tmp_path / "o", "--format", "json")  # fmt: skip
    assert code == 0, err
    table = json.loads(out)
    assert table == json.loads((tmp_path / "o" / "train.json").read_text())
    assert [row["seed"] for row in table["runs"]] == [0, 1]
    assert table["data"]["encoding"] == "rate"
    for row in table["runs"]:
        assert row["validation_accuracy"] > table["validation_accuracy_before"] + 0.2
        assert abs(row["accuracy_fixed"] - row["test_accuracy"]) < 0.15
        assert row["energy_j"] > 0
        assert row["within_budget"] is None
    _, found = results(tmp_path / "o")
    before = targets.load(model)
    for key in ("tau", "r", "v_threshold"):
        assert np.array_equal(found[f"hidden.{key}"], getattr(before.nodes["hidden"], key))
    lines = [json.loads(line) for line in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["epoch"]) for line in lines] == [(s, e) for s in (0, 1) for e in range(4)]
    wanted = {"seed", "epoch", "loss", "validation_accuracy", "spikes", "energy_share", "penalty", "seconds"}
    assert all(set(line) == wanted for line in lines)
    assert not (tmp_path / "o" / "checkpoints").exists()
    assert sum(line.startswith("seed ") for line in err.splitlines()) == 8


def test_killed_and_run_again_gives_the_same_to_the_last_bit(run, model, tmp_path):
    given = [model, "--data", "digits", "--set", "training.batch=32", "--set", "training.epochs=6",
             "--set", "training.seeds=[4]"]  # fmt: skip
    code, _, _ = run(*given, "--output", tmp_path / "whole")
    assert code == 0
    arguments = ["train", *map(str, given), "--output", str(tmp_path / "cut")]
    script = f"from msenas_hw.cli.app import main; main({arguments!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    file = tmp_path / "cut" / "checkpoints" / "seed4.safetensors"
    while not file.exists() and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert file.exists()
    assert not (tmp_path / "cut" / "train.json").exists()
    code, _, err = run(*given, "--output", tmp_path / "cut")
    assert code == 0
    assert "seed 4: continues after epoch " in err
    cut, whole = results(tmp_path / "cut"), results(tmp_path / "whole")
    assert cut[0] == whole[0]
    assert all(np.array_equal(cut[1][key], whole[1][key]) for key in whole[1])
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(6))


def test_a_damaged_or_foreign_checkpoint_is_refused_until_restart(run, model, tmp_path):
    file = tmp_path / "o" / "checkpoints" / "seed0.safetensors"
    file.parent.mkdir(parents=True)
    given = [model, "--data", "digits", *QUICK, "--set", "training.epochs=1", "--output", tmp_path / "o"]
    file.write_bytes(b"nothing")
    code, _, err = run(*given)
    assert code == 1
    assert f"{file}: a damaged checkpoint" in err
    file.unlink()
    Checkpoint(file, {"seed": 1}).write(Saved({}, {}))
    code, _, err = run(*given)
    assert code == 2
    assert f"{file}: an unfinished training under other settings: " in err
    assert "--restart" in err
    code, _, _ = run(*given, "--restart")
    assert code == 0


def test_a_budget_binds_only_where_it_is_given(run, model, tmp_path):
    code, out, err = run(
        model, "--data", "digits", *QUICK, "--set", "training.epochs=1", "--set", "budget.energy_j=1e-12",
        "--output", tmp_path / "o", "--format", "json",
    )  # fmt: skip
    assert code == 3
    assert json.loads(out)["runs"][0]["within_budget"] is False
    assert "energy_j found" in err
    share = json.loads((tmp_path / "o" / "metrics.jsonl").read_text())["energy_share"]
    assert share > 1
    assert (tmp_path / "o" / "model.nir").exists()


def test_from_scratch_draws_weights_by_seed(run, model, tmp_path):
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        code, out, _ = run(model, "--data", "digits", *QUICK, "--set", "training.epochs=1", "--from-scratch",
                           "--set", f"training.seeds=[{seed}]", "--output", tmp_path / name,
                           "--format", "json")  # fmt: skip
        assert code == 0
        assert json.loads(out)["runs"][0]["draw"] % 100 == seed
        assert "validation_accuracy_before" not in json.loads(out)
        found.append(results(tmp_path / name)[1])
    assert np.array_equal(found[0]["up.weight"], found[1]["up.weight"])
    assert not np.allclose(found[0]["up.weight"], found[2]["up.weight"], atol=0.01)
    assert np.array_equal(found[0]["hidden.tau"], targets.load(model).nodes["hidden"].tau)


def test_recordings_say_their_encoding_and_steps(run, model, tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = (rng.random((60, 7, 64)) < 0.1 + 0.2 * y[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    code, out, _ = run(model, "--data", tmp_path / "own.npz", *QUICK, "--set", "training.epochs=1",
                       "--output", tmp_path / "o", "--format", "json")  # fmt: skip
    assert code == 0
    assert (json.loads(out)["data"]["encoding"], json.loads(out)["data"]["steps"]) == ("events", 7)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["MODEL"], 2, "give --data NAME|FILE.npz"),
        (["MODEL", "--data", "digits", "--arch", "x"], 2, "--arch: not for a NIR file"),
        (["MODEL", "--data", "digits", "--set", "training.epoch=1"], 2, "did you mean 'epochs'"),
        (["MODEL", "--data", "digits", "--set", "training.rules.hiden=fa"], 2, "'hiden' is no population"),
        (["MODEL", "--data", "nothing"], 1, "no such set"),
        (["MODEL", "--data", "digits", "--encoding", "x"], 2, "data.encoding: found 'x'"),
        (["missing.nir", "--data", "digits"], 1, "missing.nir: no such file"),
        (["FOLDER", "--data", "digits"], 2, "--data: not for a run folder"),
        (["FOLDER", "--arch", "chosen"], 2, "no run folder"),
    ],
)
def test_usage(run, model, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    given = [{"MODEL": model, "FOLDER": tmp_path}.get(word, word) for word in arguments]
    found, _, err = run(*given)
    assert found == code
    assert words in err


def test_the_model_is_not_replaced(run, model):
    before = model.read_bytes()
    twin = model.parent / "model.nir"
    twin.write_bytes(before)
    code, _, err = run(twin, "--data", "digits", "--output", model.parent)
    assert code == 2
    assert "would replace" in err
    assert twin.read_bytes() == before
