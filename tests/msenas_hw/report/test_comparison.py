from __future__ import annotations

import json
from dataclasses import replace

import pytest

from msenas_hw.cli.app import main
from msenas_hw.report.comparison import compare
from msenas_hw.search import RunFolder
from targets.errors import ConfigError


@pytest.fixture
def other(tmp_path, config, fill, rows):
    """A run with another seed, whose networks cost a tenth less."""
    search = config.search.model_copy(update={"seed": 7})
    path, changed = tmp_path / "other", config.model_copy(update={"search": search})
    path.mkdir()
    RunFolder(path, changed, "complete").write()
    cheaper = tuple(replace(row, arch=f"new-{row.arch}", energy_j=0.9 * row.energy_j) for row in rows)
    fill(changed, path / "study.sqlite", cheaper).store.close()
    return path


def test_the_better_run_has_more_volume_and_the_whole_joint_front(trained, other):
    found = compare([trained, other])
    assert found["config"] == [{"key": "search.seed", str(trained): 0, str(other): 7}]
    first, second = found["runs"]
    assert first["hypervolume"] < second["hypervolume"] <= 1
    assert (first["in_joint_front"], second["in_joint_front"]) == (0, 2)
    assert second["best"]["energy_j"] == {"arch": "new-lean", "value": pytest.approx(0.9e-6)}
    assert first["best"]["fitness"] == {"arch": "slow", "value": 0.3}
    assert [row["arch"] for row in first["front"]] == ["slow", "lean"]
    (accuracy,) = first["accuracy"]
    assert (accuracy["test_accuracy"], accuracy["seeds"]) == (pytest.approx(0.75), [0, 1])
    assert second["accuracy"] == []
    assert found["doubtful"] == {}


def test_a_run_alone_twice_or_missing_is_refused(run, tmp_path):
    for runs in ([run], [run, run / ".." / run.name]):
        with pytest.raises(ConfigError, match="allowed at least 2 different runs"):
            compare(runs)
    with pytest.raises(ConfigError, match="no run folder"):
        compare([run, tmp_path])


def test_figures_that_are_not_measured_alike_are_named(run, tmp_path, config, fill, capsys):
    path = tmp_path / "longer"
    path.mkdir()
    longer = config.model_copy(update={"data": config.data.model_copy(update={"steps": 6})})
    RunFolder(path, longer, "complete").write()
    fill(longer, path / "study.sqlite").store.close()
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(run), str(path), "--format", "json"])
    captured = capsys.readouterr()
    assert not ended.value.code
    found = json.loads(captured.out)
    assert found["doubtful"] == {key: ["data.steps"] for key in ("fitness", "energy_j", "latency_s")}
    assert "warning: fitness is not measured alike: data.steps differ" in captured.err
    assert {run["hypervolume"] for run in found["runs"]} == {found["runs"][0]["hypervolume"]}


def test_the_table_names_runs_and_figures(run, other, capsys):
    with pytest.raises(SystemExit):
        main(["compare", str(run), str(other)])
    out = capsys.readouterr().out
    assert "search.seed" in out
    assert "new-lean" in out
