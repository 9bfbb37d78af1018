"""search, resume, front, train and report on a tiny real run."""

from __future__ import annotations

import json

import numpy as np
import pytest

import targets
from msenas_hw.cli.app import main
from msenas_hw.search import Study

CONFIG = """
[data]
steps = 4
samples = 4
[space]
cells = [1, 2]
widths = [2, 3]
kernels = [3]
[budget]
energy_j = {energy}
[search]
population = 6
generations = 2
seed = 1
[training]
epochs = 1
batch = 256
"""
FRONT = (
    "arch", "fitness", "energy_j", "latency_s", "spikes", "synops", "cores", "memory", "parameters", "motifs"
)  # fmt: skip


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(CONFIG.format(energy=1.0))
    with pytest.raises(SystemExit) as ended:
        main(["search", str(folder / "tiny.toml"), "--run", str(folder / "run")])
    assert not ended.value.code
    return folder / "run"


def test_progress_is_a_line_a_generation(run, capsys):
    code, out, err = call(capsys, "resume", run)
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("generation ")]
    assert [line.partition(",")[0] for line in lines] == ["generation 1/2", "generation 2/2"]
    for word in (
        "evaluated 12/12",
        "cached 12",
        "front",
        "hypervolume",
        "best fitness",
        "least energy",
        "left",
    ):
        assert word in lines[-1]
    assert "arch" in out


def test_front_has_the_keys_of_the_contract(run, capsys):
    code, out, _ = call(capsys, "front", run, "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert all(tuple(row) == FRONT for row in rows)
    fitness = [row["fitness"] for row in rows]
    assert fitness == sorted(fitness, reverse=True)


def test_search_does_not_overwrite(run, capsys):
    code, _, err = call(capsys, "search", run.parent / "tiny.toml", "--run", run)
    assert code == 2
    assert f"msenas resume {run}" in err


def test_train_writes_model_and_figures(run, capsys):
    code, out, _ = call(capsys, "train", run, "--arch", "chosen", "--seeds", "2", "--format", "json")
    report = json.loads(out)
    place = run / "artifacts" / report["arch"]
    assert code == 0
    assert report == json.loads((place / "train.json").read_text())
    keys = {"seed", "validation_accuracy", "test_accuracy", "energy_j", "latency_s", "within_budget"}
    assert all(keys <= set(row) for row in report["runs"])
    assert [row["seed"] for row in report["runs"]] == [0, 1]
    assert all(row["draw"] % 100 == row["seed"] for row in report["runs"])
    assert report["arch"] == Study.open(run).chosen
    assert targets.load(place / "model.nir").outputs == ("output",)
    code, out, _ = call(capsys, "cost", place / "model.nir", "--device", "loihi1-sanafe", "--samples", "500",
                        "--format", "json")  # fmt: skip
    kept = next(row for row in report["runs"] if row["seed"] == report["kept"])
    assert code == 0
    assert json.loads(out)[0]["energy_j"] == pytest.approx(kept["energy_j"], rel=1e-9)


def test_over_budget_after_training_is_3_and_still_written(run, capsys):
    arch = Study.open(run).chosen
    text = (run / "run.toml").read_text()
    (run / "run.toml").write_text(text.replace("energy_j = 1.0", "energy_j = 1e-12"))
    try:
        code, out, err = call(capsys, "train", run, "--arch", arch, "--format", "json")
    finally:
        (run / "run.toml").write_text(text)
    assert code == 3
    assert "over budget" in err
    assert "allowed 1e-12" in err
    assert json.loads(out)["runs"][0]["within_budget"] is False
    assert (run / "artifacts" / arch / "model.nir").exists()


def test_an_unknown_architecture_is_refused(run, capsys):
    code, _, err = call(capsys, "train", run, "--arch", "zzz")
    assert code == 2
    assert "'zzz'" in err


def test_report_is_written(run, capsys):
    code, out, _ = call(capsys, "report", run, "--format", "json")
    assert code == 0
    assert json.loads(out)["report"] == str(run / "report.html")


def test_an_infeasible_budget_is_3(tmp_path, capsys):
    (tmp_path / "poor.toml").write_text(CONFIG.format(energy=1e-12))
    code, _, err = call(capsys, "search", tmp_path / "poor.toml", "--run", tmp_path / "run")
    assert code == 3
    assert "energy_j binds" in err
    assert "allowed 1e-12" in err
    code, out, err = call(capsys, "front", tmp_path / "run", "--format", "json")
    assert (code, json.loads(out)) == (0, [])
    assert "inside the budget" in err


def test_dry_run_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("msenas_hw.search.preview.SAMPLES", 4)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(CONFIG.format(energy=1.0))
    code, out, err = call(capsys, "search", "tiny.toml", "--dry-run", "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["space_size"] > 1000
    assert 0 <= report["feasible_fraction"] <= report["fits_fraction"] <= 1
    assert 0 <= report["alive_fraction"] <= 1
    assert report["evaluations"] == 12
    assert report["estimated_seconds"] > 0
    assert "would take about" in err
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.toml"]


def test_data_without_a_test_part_are_refused_before_training(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "own.npz", x=rng.random((40, 8, 8)), y=np.arange(40) % 3, split=["train"] * 40)
    (tmp_path / "tiny.toml").write_text(CONFIG.format(energy=1.0))
    code, _, _ = call(capsys, "search", tmp_path / "tiny.toml", "--run", tmp_path / "run", "--set",
                      f"data.name={tmp_path / 'own.npz'}", "--set", "search.generations=1")  # fmt: skip
    assert code == 0
    code, _, err = call(capsys, "train", tmp_path / "run", "--arch", "chosen")
    assert code == 1
    assert "the test part has no samples" in err
    assert "epoch" not in err
    assert not (tmp_path / "run" / "artifacts").exists()


def test_a_transfer_that_does_not_fit_is_refused_and_leaves_nothing(run, tmp_path, capsys):
    """Of 160 x 160 pixels, halved twice at most, the readout reads more neurons than a core has in-axons."""
    arch = Study.open(run).chosen
    parts = ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    x = np.random.default_rng(0).random((20, 160, 160))
    np.savez(tmp_path / "large.npz", x=x, y=np.arange(20) % 3, split=parts)
    code, _, err = call(capsys, "train", run, "--arch", arch, "--set", f"data.name={tmp_path / 'large.npz'}")
    assert code == 3
    assert f"architecture {arch} on data" in err
    assert "allowed 4096" in err
    assert not (run / "artifacts" / arch / "on-large").exists()
