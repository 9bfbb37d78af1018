from __future__ import annotations

import os

import numpy as np
import pytest

from msenas_hw.search import Study, folder, open_run, resume, run_of, search
from targets.errors import BudgetError, ConfigError, DataError, MsenasError

pytestmark = pytest.mark.usefixtures("quick")


def test_a_run_folder_holds_config_versions_and_the_chosen(tmp_path, config):
    experiment = config()
    study = search(experiment, tmp_path / "run")
    found = open_run(tmp_path / "run")
    assert found.config == experiment
    assert (found.status, found.chosen) == ("complete", study.chosen)
    text = (tmp_path / "run" / "run.toml").read_text()
    assert "[versions]" in text
    assert "torch" in text


def test_an_existing_run_is_not_overwritten(tmp_path, config):
    search(config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="msenas resume"):
        search(config(), tmp_path / "run")
    with pytest.raises(ConfigError, match="another configuration"):
        search(config(search={"seed": 9}), tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="not empty"):
        search(config(), tmp_path / "other")


def test_a_resumed_complete_run_is_answered_from_the_store(tmp_path, config, monkeypatch):
    first = search(config(), tmp_path / "run")
    monkeypatch.setattr("msenas_hw.search.pool.evaluate", None)
    again = resume(tmp_path / "run")
    assert [t.key for t in again.trials()] == [t.key for t in first.trials()]
    assert again.generations() == first.generations()


def test_an_infeasible_run_says_so(tmp_path, config):
    with pytest.raises(BudgetError):
        search(config(budget={"cores": 1}), tmp_path / "run")
    assert open_run(tmp_path / "run").status == "infeasible"


def test_two_searches_cannot_share_a_folder(tmp_path, config):
    search(config(), tmp_path / "run")
    with (
        folder.held(open_run(tmp_path / "run")),
        pytest.raises(MsenasError, match=f"another search is writing into it, process {os.getpid()} on"),
    ):
        resume(tmp_path / "run")


def test_what_is_no_run_is_refused(tmp_path, config):
    with pytest.raises(ConfigError, match=r"run\.toml is missing"):
        resume(tmp_path)
    search(config(), tmp_path / "run")
    (tmp_path / "run" / "study.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 9)
    with pytest.raises(DataError, match="not a study"):
        resume(tmp_path / "run")


def test_a_model_finds_its_run(tmp_path, config):
    search(config(), tmp_path / "run")
    model = open_run(tmp_path / "run").artifacts("abc") / "model.nir"
    found = run_of(model)
    assert found is not None
    assert found.config == config()
    assert run_of(tmp_path / "model.nir") is None


def test_reading_a_run_without_a_study_makes_none(tmp_path, config):
    folder.create(tmp_path / "run", config())
    assert Study.open(tmp_path / "run").front() == []
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.toml"]


@pytest.mark.parametrize("device", ["loihi9", "loihi1"])
def test_a_budget_without_cost_model_is_refused_before_anything_is_written(tmp_path, config, device):
    with pytest.raises(ConfigError, match=device):
        search(config(budget={"device": device}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_labels_that_are_no_class_numbers_are_refused(tmp_path, config):
    np.savez(tmp_path / "own.npz", x=np.zeros((10, 8, 8)), y=np.full(10, 10**12))
    data = {"name": str(tmp_path / "own.npz"), "samples": 4, "steps": 4}
    with pytest.raises(DataError, match="number the classes from 0"):
        search(config(data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
