from __future__ import annotations

import sqlite3
import sys

import pytest

from msenas_hw.cli.app import main
from msenas_hw.report.optuna_storage import write_storage
from msenas_hw.search import Study
from targets.errors import MsenasError


def test_optuna_reads_the_same_front(run, tmp_path):
    optuna = pytest.importorskip("optuna")
    study = Study.open(run)
    assert write_storage(study, "run", tmp_path / "out.db") == 5
    found = optuna.load_study(study_name="run", storage=f"sqlite:///{tmp_path / 'out.db'}")
    assert found.metric_names == ["fitness", "energy_j", "latency_s"]
    assert [direction.name for direction in found.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert {trial.user_attrs["arch"] for trial in found.best_trials} == {"slow", "lean"}
    states = {trial.user_attrs["arch"]: trial.state.name for trial in found.trials}
    assert states == {
        "slow": "COMPLETE", "lean": "COMPLETE", "poor<b>": "COMPLETE", "dead": "FAIL", "wide": "FAIL",
    }  # fmt: skip
    first = found.trials[0]
    assert first.values == [0.3, 3e-6, 1e-4]
    assert first.params["cell1.motif"] == "lateral_inhibition"
    assert (first.params["cell1.width"], first.params["cell1.E.tau"]) == (4, 4.0)
    assert max(first.constraints.values() if hasattr(first, "constraints") else [0]) <= 0
    assert first.duration.total_seconds() == pytest.approx(0.5)
    assert "silent" in found.trials[3].user_attrs["why_not"]


def test_the_verb_names_the_command_that_opens_it(run, tmp_path, capsys):
    pytest.importorskip("optuna")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run), "--to", "optuna", str(tmp_path / "out.db")])
    captured = capsys.readouterr()
    assert not ended.value.code
    assert f"optuna-dashboard sqlite:///{tmp_path / 'out.db'}" in captured.err
    with sqlite3.connect(tmp_path / "out.db") as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (5,)
    database.close()


def test_without_optuna_the_command_to_install_it_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MsenasError, match=r"pip install 'msenas-hw\[optuna\]'"):
        write_storage(Study.open(run), "run", tmp_path / "out.db")
    assert not (tmp_path / "out.db").exists()
