"""Run a command in a process group of its own, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

GRACE_S = 2.0
_POLL_S = 0.02


def run_group(command: list[str], timeout_s: float, log: Path) -> int | None:
    """Exit code of `command`, or None where it ran longer than `timeout_s`; output goes to `log`.

    Whatever happens, every process of the group is ended: SIGTERM, under which Lava's resource
    tracker frees its shared memory, and SIGKILL after a grace of 2 s.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + GRACE_S
    _signal(process.pid, signal.SIGTERM)
    while process.poll() is None or _alive(process.pid):
        if time.monotonic() > deadline:
            _signal(process.pid, signal.SIGKILL)
            break
        time.sleep(_POLL_S)
    process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _alive(group: int) -> bool:
    """Whether a process of the group runs; one that has ended and only waits to be reaped does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    return not stats or any(_runs_in(stat, group) for stat in stats)


def _runs_in(stat: Path, group: int) -> bool:
    """Whether /proc/<pid>/stat tells of a running process of the group (proc(5): state, ppid, pgrp)."""
    try:
        state, _, found = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return state not in "ZX" and int(found) == group
