"""Whatever happens to the worker, it ends, says why, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nir
import numpy as np
import pytest

from targets.errors import TargetUnavailableError
from targets.graph.graph import SpikingGraph
from targets.lava import environment
from targets.lava.child import run_group
from targets.lava.environment import WORKER, interpreter
from targets.lava.job import write_job
from targets.lava.target import LavaOptions, LavaTarget

SHARED_MEMORY = Path("/dev/shm")


needs_lava = pytest.mark.usefixtures("lava_environment")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look for processes")


def running(text):
    """Command lines of live processes that hold `text`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in line and state not in "ZX":
            found.append(line)
    return found


def waited_for(condition, seconds=8):
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def small_graph():
    nodes = {
        "in": nir.Input(np.array([2])),
        "w": nir.Linear(np.ones((2, 2))),
        "n": nir.IF(r=np.full(2, 500.0), v_threshold=np.ones(2), v_reset=np.zeros(2)),
        "out": nir.Output(np.array([2])),
    }
    return SpikingGraph.build(nodes, [("in", "w"), ("w", "n"), ("n", "out")], {"dt": 1e-3})


@needs_lava
@needs_proc
def test_a_time_out_leaves_no_process_and_no_shared_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(SHARED_MEMORY.iterdir())
    executable = LavaTarget().compile(small_graph(), LavaOptions(timeout_s=1.5))
    began = time.monotonic()
    with pytest.raises(TargetUnavailableError, match=r"not done after 1\.5 s"):
        executable.run(np.ones((200_000, 1, 2), dtype=np.uint8))
    assert time.monotonic() - began < 8
    assert running(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    left = set(SHARED_MEMORY.iterdir()) - before
    assert waited_for(lambda: not left & set(SHARED_MEMORY.iterdir()))


@needs_lava
@needs_proc
def test_a_killed_caller_takes_the_worker_with_it(tmp_path):
    executable = LavaTarget().compile(small_graph(), LavaOptions())
    train = np.ones((200_000, 1, 2), dtype=np.uint8)
    write_job(executable.job, tmp_path / "job.npz", {"in": train}, {"n": ["s"]})
    caller = (
        "import sys; from pathlib import Path; from targets.lava.child import run_group; "
        "run_group([sys.argv[1], '-E', '-s', sys.argv[2], sys.argv[3]], 60, Path(sys.argv[3]) / 'log.txt')"
    )
    worker = [str(interpreter().absolute()), str(WORKER / "main.py"), str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", caller, *worker]) as process:
        assert waited_for(lambda: (tmp_path / "0.s.npy").exists())
        process.kill()
    assert running(str(tmp_path))
    assert waited_for(lambda: not running(str(tmp_path)))


@needs_lava
@needs_proc
def test_an_error_inside_lava_ends_the_worker_and_shows_its_traceback(tmp_path):
    """A bias table of the wrong width fails in the child process of a neuron, on its first step."""
    spec = {
        "arithmetic": "float64",
        "inputs": 0,
        "populations": [
            {"neurons": 2, "offset": 0, "record": ["s"], "sends_membrane": False, "subtract": False}
        ],
        "hops": [],
        "steps": 3,
        "samples": 1,
        "period": 3,
        "total_steps": 3,
    }
    vectors = {f"population.0.{name}": np.ones(2) for name in ("du", "dv", "vth", "gain", "leak", "reset")}
    job = {"spec": np.array(json.dumps(spec)), "population.0.bias": np.ones((1, 5)), **vectors}
    np.savez(tmp_path / "job.npz", **job)
    log = tmp_path / "log.txt"
    command = [str(interpreter()), "-E", "-s", str(WORKER / "main.py"), str(tmp_path)]
    code = run_group(command, 30, log)
    assert code not in (0, None)
    assert "operands could not be broadcast" in log.read_text()
    assert not (tmp_path / "done.json").exists()
    assert running(str(tmp_path)) == []


@needs_proc
def test_a_group_that_ignores_the_request_to_end_is_killed(tmp_path):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('up', flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-c', {stubborn!r}, sys.argv[1]]); time.sleep(60)"
    )
    began = time.monotonic()
    assert run_group([sys.executable, "-c", parent, str(tmp_path)], 1.0, tmp_path / "log.txt") is None
    assert time.monotonic() - began < 6
    assert (tmp_path / "log.txt").read_text() == "up\n"
    assert running(str(tmp_path)) == []


@needs_proc
def test_children_that_outlive_the_command_are_ended(tmp_path):
    parent = (
        "import subprocess, sys; "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]])"
    )
    assert run_group([sys.executable, "-c", parent, str(tmp_path)], 20.0, tmp_path / "log.txt") == 0
    assert running(str(tmp_path)) == []


def test_python_variables_of_the_caller_do_not_reach_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    show = (
        "import os; print([k for k in os.environ if k.startswith('PYTHON')], os.environ['OMP_NUM_THREADS'])"
    )
    assert run_group([sys.executable, "-c", show], 20.0, tmp_path / "log.txt") == 0
    assert (tmp_path / "log.txt").read_text().strip() == "[] 1"


def test_an_interpreter_without_lava_is_reported_with_its_traceback(monkeypatch):
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    executable = LavaTarget().compile(small_graph(), LavaOptions())
    with pytest.raises(TargetUnavailableError, match=r"(?s)install-lava.*No module named 'lava'"):
        executable.run(np.ones((2, 1, 2)))
