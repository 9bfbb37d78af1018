"""Run Lava again and again, and kill its worker at random moments: nothing may stay behind.

    python tests/benchmarks/stress_lava.py --cycles 200 --kills 20 --seconds 480

Every cycle compiles and runs a small network and checks its spikes. Every second kill takes the worker
itself, every other one any process of its group; Lava then waits for ever, so the time-out has to end it.
Prints JSON: cycles and kills done, wrong outputs, processes and files of /dev/shm left, the longest kill
beside the time-out, and the memory of this process after a tenth of the cycles and at the end. Exit code 1
if a limit is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nir
import numpy as np

import targets
from targets.lava.environment import WORKER

TIMEOUT_S = 10.0
# What may pass between the time-out and the error: the grace of a group, on a busy machine.
SLACK_S = 6.0
GROWTH_LIMIT_MB = 8.0
_SHARED_MEMORY = Path("/dev/shm")


def network() -> targets.SpikingGraph:
    """Two neurons that repeat their input."""
    nodes = {
        "in": nir.Input(np.array([2])),
        "w": nir.Linear(2 * np.eye(2)),
        "n": nir.IF(r=np.full(2, 1e3), v_threshold=np.ones(2), v_reset=np.zeros(2)),
        "out": nir.Output(np.array([2])),
    }
    return targets.SpikingGraph.build(nodes, [("in", "w"), ("w", "n"), ("n", "out")], {"dt": 1e-3})


def cycle(seed: int) -> bool:
    """Compile and run once; whether the spikes are right."""
    x = (np.random.default_rng(seed).random((20, 2, 2)) < 0.5).astype(np.float32)
    arithmetic = ("fixed", "float64")[seed % 2]
    executable = targets.compile(network(), "lava", arithmetic=arithmetic, timeout_s=120.0)
    return np.array_equal(executable.run(x).output, x)


def group(worker: int) -> list[int]:
    """Live processes of a process group, its leader first."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, leader = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(leader) == worker and state not in "ZX":
            found.append(int(stat.parent.name))
    return sorted(found, key=lambda pid: pid != worker)


def children() -> list[int]:
    """Workers that this process has started and that live."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found += [int(pid) for pid in (task / "children").read_text().split()]
        except OSError:
            continue
    return [pid for pid in found if group(pid)]


def kill(rng: random.Random, any_process: bool) -> tuple[float, str]:
    """Start a run, kill a process of it, wait for the error: seconds from the kill on, and its first line."""
    executable = targets.compile(network(), "lava", timeout_s=TIMEOUT_S)
    said: list[str] = []

    def run() -> None:
        try:
            executable.run(np.ones((100_000, 1, 2), np.float32))
        except targets.TargetUnavailableError as error:
            said.append(str(error).splitlines()[0])

    thread = threading.Thread(target=run)
    began = time.monotonic()
    thread.start()
    while not children():
        time.sleep(0.01)
    (worker,) = children()
    time.sleep(rng.uniform(0.0, 3.0))
    victims = group(worker)
    if victims:
        os.kill(rng.choice(victims) if any_process else victims[0], signal.SIGKILL)
    thread.join(TIMEOUT_S + 60)
    return time.monotonic() - began, said[0] if said else "no error"


def orphans() -> list[str]:
    """Command lines of live workers of this machine's runs that this process started: none should live."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            tail = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if str(WORKER / "main.py") in line and tail[0] not in "ZX" and int(tail[1]) in (1, os.getpid()):
            found.append(line)
    return found


def settled(found: Any, seconds: float = 20.0) -> list[str]:
    """What `found()` still lists after a while: other runs on the machine come and go."""
    deadline = time.monotonic() + seconds
    left = set(found())
    while left and time.monotonic() < deadline:
        time.sleep(0.2)
        left &= set(found())
    return sorted(left)


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def stress(cycles: int, kills: int, seconds: float, seed: int) -> dict[str, Any]:
    """Kills first, then as many cycles as the time allows."""
    began, rng = time.monotonic(), random.Random(seed)
    before = {path.name for path in _SHARED_MEMORY.iterdir()}
    killed = []
    for i in range(kills):
        killed.append(kill(rng, any_process=i % 2 == 1))
    done = wrong = 0
    early = memory_mb()
    while done < cycles and time.monotonic() - began < seconds:
        wrong += not cycle(done)
        done += 1
        if done == max(1, cycles // 10):
            early = memory_mb()
    shared = lambda: {path.name for path in _SHARED_MEMORY.iterdir()} - before  # noqa: E731
    return {
        "cycles": done,
        "wrong": wrong,
        "kills": len(killed),
        "kills_without_error": sum(said == "no error" for _, said in killed),
        "longest_kill_s": round(max((passed for passed, _ in killed), default=0.0), 1),
        "timeout_s": TIMEOUT_S,
        "processes_left": settled(orphans),
        "shared_memory_left": settled(shared),
        "memory_early_mb": round(early, 1),
        "memory_end_mb": round(memory_mb(), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def broken(found: dict[str, Any]) -> list[str]:
    """Limits that `found` breaks."""
    limits = {
        "wrong outputs": found["wrong"] > 0,
        "a kill without error": found["kills_without_error"] > 0,
        "past the time-out": found["longest_kill_s"] > TIMEOUT_S + SLACK_S,
        "processes left": bool(found["processes_left"]),
        "shared memory left": bool(found["shared_memory_left"]),
        "memory grows": found["memory_end_mb"] - found["memory_early_mb"] > GROWTH_LIMIT_MB,
    }
    return [name for name, is_broken in limits.items() if is_broken]


def main() -> int:
    """Print JSON; 1 if a limit is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=480.0, help="stop the cycles after this time")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = stress(given.cycles, given.kills, given.seconds, given.seed)
    problems = broken(found)
    print(json.dumps({**found, "broken": problems}))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
