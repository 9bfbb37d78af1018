"""A search killed at a random moment and resumed has the trials of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from msenas_hw.config import load_config
from msenas_hw.search import resume, search

CONFIG = """
[data]
steps = 4
samples = 4
[space]
cells = [1, 2]
widths = [2, 3]
kernels = [3]
[search]
population = 6
generations = 3
seed = 1
"""


def _study() -> Any:
    """The study of many kills, whose ways to watch a search these tests share."""
    path = Path(__file__).parents[2] / "benchmarks" / "study_kills.py"
    spec = spec_from_file_location("study_kills", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


kills = _study()


def alive(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed(run: Path) -> None:
    """Start a search of two workers and kill it, as power cut does, once it has some evaluations."""
    process = kills.start(run, 2)
    wanted = random.randint(1, 8)
    limit = time.monotonic() + 300
    while kills.evaluated(run) < wanted and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    workers = kills.descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    limit = time.monotonic() + 20
    while any(alive(worker) for worker in workers) and time.monotonic() < limit:
        time.sleep(0.02)
    assert len(workers) == 3
    assert not [worker for worker in workers if alive(worker)], "workers outlive the search"


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    file = tmp_path / "small.toml"  # as `kills.start` calls it
    file.write_text(CONFIG)
    killed(tmp_path / "killed")
    before = kills.evaluated(tmp_path / "killed")
    cached: list[int] = []
    resumed = resume(tmp_path / "killed", report=lambda progress: cached.append(progress.cached))
    whole = search(load_config(file))

    def table(study):
        return [(t.number, t.generation, t.key, t.measured.to_json()) for t in study.trials()]

    assert table(resumed) == table(whole)
    assert resumed.generations() == whole.generations()
    assert resumed.chosen == whole.chosen
    assert not any(trial.measured.failure for trial in whole.trials())
    assert 1 <= before <= 18
    assert max(cached) == before


@pytest.mark.parametrize(
    ("send", "number"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)], ids=["ctrl-c", "end of job"]
)
def test_an_interruption_while_workers_start_is_quiet(tmp_path, send, number):
    """Ctrl-C reaches the whole process group, workers that still import among it."""
    file = tmp_path / "experiment.toml"
    file.write_text(CONFIG)
    run = tmp_path / "run"
    command = [sys.executable, "-c", kills.PROGRAM, "search", str(file), "--run", str(run), "--workers", "2"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    limit = time.monotonic() + 60

    def starting() -> bool:
        # Before the run folder is there, other children come and go.
        return (run / "run.toml").exists() and bool(kills.descendants(process.pid))

    while not starting() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    send(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines() == [f"run folder {run}", f"interrupted; continue with: msenas resume {run}"], err
