"""A search that is killed again and again against one that ran through: the same rows?

    python tests/benchmarks/study_kills.py [--kills 20] [--workers 1 2] [--what search workers node]

For each number of workers: the whole search killed (`kill -9`) again and again and resumed, then one search
whose worker processes are killed, one at a time; with `node`, also a search on a Ray cluster of two nodes,
of which one is killed. A kill falls into an evaluation: a random time after a random number of evaluations
was stored since the last start or kill. All are compared with one search in one process that nobody
disturbed, table by table of `study.sqlite`, the time that an evaluation took aside. One JSON line for each;
exit code 1 where a row differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONFIG = """
[data]
steps = 8
samples = 16
[space]
cells = [1, 2]
widths = [4, 6, 8]
kernels = [3]
[search]
population = 8
generations = 5
seed = 1
"""
WHAT = ["search", "workers", "node"]
PROGRAM = "from msenas_hw.cli.app import main; main()"
TABLES = {
    "evaluations": "SELECT key, setting, record FROM evaluations ORDER BY key, setting",
    "trials": "SELECT * FROM trials ORDER BY number",
    "generations": "SELECT * FROM generations ORDER BY generation",
}
Rows = dict[str, list[tuple[Any, ...]]]
# Evaluations to wait for before a kill, at most, and seconds after them: about as long as one takes.
MOST_STORED, LATEST_S = 3, 0.5
POLL_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=WHAT[:2], help=f"one or more of {WHAT}")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "small.toml").write_text(CONFIG)
        begin = time.monotonic()
        finish(start(folder / "whole", 1))
        seconds = time.monotonic() - begin
        whole, same = rows(folder / "whole"), []
        told(same, whole, whole, killed="nothing", workers=1, seconds=round(seconds, 1))
        for workers in options.workers:
            found: dict[Path, list[int]] = {}
            if "search" in options.what:
                found |= kill_drivers(folder, workers, options.kills, rng)
            if "workers" in options.what:
                run = folder / f"workers{workers}"
                found[run] = kill_workers(run, workers, options.kills, rng)
            for run, moments in found.items():
                what = run.name.rstrip("-0123456789")
                told(same, whole, rows(run), killed=what, workers=workers, evaluated_at_kill=moments)
        if "node" in options.what:
            moments = kill_node(folder / "ray")
            told(same, whole, rows(folder / "ray"), killed="node", workers=2, evaluated_at_kill=moments)
    sys.exit(not all(same))


def told(same: list[bool], whole: Rows, found: Rows, **what: Any) -> None:
    """Print one comparison."""
    same.append(found == whole)
    counts = {name: len(one) for name, one in found.items()}
    if "evaluated_at_kill" in what:
        what["kills"] = len(what["evaluated_at_kill"])
    print(json.dumps({**what, "rows": counts, "same_rows": same[-1]}), flush=True)


def start(run: Path, workers: int, *more: str) -> subprocess.Popen[bytes]:
    """Begin a search, or resume it where it has begun."""
    begun = (run / "run.toml").exists()
    what = ["resume", str(run)] if begun else ["search", str(run.parent / "small.toml"), "--run", str(run)]
    command = [sys.executable, "-c", PROGRAM, *what, "--workers", str(workers), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        sys.exit(f"the search ended with exit code {process.returncode}")


def disturbed(process: subprocess.Popen[bytes], run: Path, rng: random.Random) -> bool:
    """Wait for the moment of a kill; False where the search ends before it."""
    wanted = evaluated(run) + rng.randint(1, MOST_STORED)
    while evaluated(run) < wanted and process.poll() is None:
        time.sleep(POLL_S)
    time.sleep(rng.uniform(0, LATEST_S))
    return process.poll() is None


def kill_drivers(folder: Path, workers: int, kills: int, rng: random.Random) -> dict[Path, list[int]]:
    """Kill a search and resume it until it is through; then begin another, until there were `kills` kills.

    Returns:
        For each search, the evaluations in its study at each kill.
    """
    runs: dict[Path, list[int]] = {}
    while (left := kills - sum(map(len, runs.values()))) > 0:
        run = folder / f"search{workers}-{len(runs)}"
        runs[run] = []
        process = start(run, workers)
        while len(runs[run]) < left and disturbed(process, run, rng):
            process.kill()
            process.wait()
            runs[run].append(evaluated(run))
            process = start(run, workers)
        finish(process)
    return runs


def kill_workers(run: Path, workers: int, kills: int, rng: random.Random) -> list[int]:
    """Kill processes below one search, up to `kills`, one at a time: a worker, or the template of all."""
    process, moments = start(run, workers), list[int]()
    while len(moments) < kills and disturbed(process, run, rng):
        if below := descendants(process.pid):
            os.kill(rng.choice(below), signal.SIGKILL)
            moments.append(evaluated(run))
    finish(process)
    return moments


def kill_node(run: Path) -> list[int]:
    """Search on two Ray nodes of one CPU each, and kill one of them after a quarter of the search."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    process, moments = start(run, 2, "--ray", cluster.address), list[int]()
    while process.poll() is None:
        time.sleep(POLL_S)
        if not moments and evaluated(run) >= 10:
            cluster.remove_node(node, allow_graceful=False)
            moments.append(evaluated(run))
    finish(process)
    cluster.shutdown()
    return moments


def descendants(parent: int) -> list[int]:
    """Processes below one, by their numbers: of a search the template, and the workers that it forks."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, below = [], [parent]
    while below:
        below = [process for process, above in parents.items() if above in below]
        found.extend(below)
    return found


def query(run: Path, text: str) -> Sequence[tuple[Any, ...]]:
    # What a killed search left half written can only be taken back by one who may write.
    database = sqlite3.connect(f"file:{run / 'study.sqlite'}?mode=rw", uri=True, timeout=30.0)
    try:
        return database.execute(text).fetchall()
    finally:
        database.close()


def evaluated(run: Path) -> int:
    try:
        return int(query(run, "SELECT count(*) FROM evaluations")[0][0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def rows(run: Path) -> Rows:
    """All tables without the times."""
    return {name: list(query(run, text)) for name, text in TABLES.items()}


if __name__ == "__main__":
    main()
