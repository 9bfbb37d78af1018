"""Baselines below a run folder, and the curves that compare them."""

from __future__ import annotations

import json

import pytest

from msenas_hw.cli.app import main
from msenas_hw.search import Study, open_run, resume, search
from targets.errors import ConfigError

pytestmark = pytest.mark.usefixtures("quick")
SECTION = {"algorithms": ["random", "regularised"], "seeds": 2}


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_baselines_run_beside_the_search_and_are_compared(tmp_path, config, capsys):
    told = []
    run = tmp_path / "run"
    search(
        config(search={"generations": 2}, baselines=SECTION),
        run,
        report=lambda now: told.append(now.baseline),
    )
    names = ["nsga2-4", "random-3", "random-4", "regularised-3", "regularised-4"]
    assert sorted(path.name for path in (run / "baselines").iterdir()) == names
    assert set(told) == {"", *names}
    assert all(open_run(run / "baselines" / name).status == "complete" for name in names)
    first = {trial.key for trial in Study.open(run).trials()[:8]}
    assert {trial.key for trial in Study.open(run / "baselines" / "random-3").trials()[:8]} == first

    code, out, err = call(
        capsys, "front", run, "--curves", "--plot", tmp_path / "curves.svg", "--format", "json"
    )
    found = json.loads(out)
    assert code == 0
    assert "box from the best to the worst" in err
    assert (found["curves"][0]["algorithm"], found["curves"][0]["seed"]) == ("nsga2", 3)
    for row in found["curves"]:
        assert row["evaluations"][-1] == 16
        assert row["hypervolume"] == sorted(row["hypervolume"])
    seeds = {row["algorithm"]: row["seeds"] for row in found["summary"]}
    assert seeds == {"nsga2": 2, "random": 2, "regularised": 2}
    assert "<svg" in (tmp_path / "curves.svg").read_text()


def test_baselines_that_were_interrupted_are_resumed(tmp_path, config):
    run = tmp_path / "run"

    def stop(progress):
        if progress.baseline == "regularised-3":
            raise KeyboardInterrupt

    experiment = config(search={"generations": 2}, baselines={"algorithms": ["random", "regularised"]})
    with pytest.raises(KeyboardInterrupt):
        search(experiment, run, report=stop)
    assert open_run(run).status == "running"
    resume(run)
    assert open_run(run).status == "complete"
    assert len(Study.open(run / "baselines" / "regularised-3").trials()) == 16


def test_the_command_names_baselines_and_objectives(tmp_path, capsys):
    file = tmp_path / "tiny.toml"
    file.write_text("[data]\nsteps = 4\nsamples = 4\n[search]\npopulation = 4\ngenerations = 2\n")
    code, out, err = call(capsys, "search", file, "--run", tmp_path / "run", "--baselines", "random", "--set",
                          "search.objectives=['parameters','latency_s']", "--format", "json")  # fmt: skip
    assert code == 0
    assert "baseline random-0" in err
    assert "least parameters" in err
    assert "best fitness" not in err
    rows = json.loads(out)
    assert [row["parameters"] for row in rows] == sorted(row["parameters"] for row in rows)


def test_baselines_need_a_folder(config):
    with pytest.raises(ConfigError, match="run folder"):
        search(config(baselines=SECTION))
