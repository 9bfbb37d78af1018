"""What a search costs besides its evaluations, and whether its memory grows.

    python tests/benchmarks/bench_search.py [--candidates 1000] [--trials 10000] [--format json]

Evaluations are replaced by a fake that gives figures of the genome at once: what is left is the search's own
work, with its database on disk. It is compared with real evaluations of the same space, digits on Loihi 1,
of which a few are timed. All times are of this process's CPU, so that a busy machine does not count.
`overhead` is the search's own time as a share of both at `--candidates`; `growth` is the resident memory
after `--trials` over that after a tenth of them.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from msenas_hw.config import Config, parse_config
from msenas_hw.search import Measured, Progress, Setting, Store, evaluate, setting
from msenas_hw.search import engine as engine_module
from msenas_hw.search.pool import Alone
from msenas_hw.space import Genome, arch_id, sample

PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_OVERHEAD, MOST_GROWTH = 0.05, 1.1


class Fake(Alone):
    """Invented figures, on two scales that trade off, so that the front is large."""

    def measure(self, jobs: Any) -> Any:
        for index, (key, genome) in enumerate(jobs):
            yield index, invented(genome, key)


def invented(genome: Genome, arch: str) -> Measured:
    text = genome.to_json()
    chance = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    size = sum(cell.width * len(cell.nodes) for cell in genome.cells)
    return Measured(
        arch, text, fitness=size**0.5 + chance, per_draw=(chance, chance), alive=True, energy_j=size * 1e-8,
        latency_s=len(genome.cells) * 1e-5 + chance * 1e-5, spikes=10.0, synops=100.0, cores=size,
        parameters=size * 9, motifs=tuple(cell.motif for cell in genome.cells),
    )  # fmt: skip


def experiment(population: int, generations: int, algorithm: str) -> Config:
    return parse_config(
        {
            "data": {"steps": 8, "samples": 64},
            "space": {"cells": [2, 3], "widths": [12, 16, 24], "max_halvings": 1},
            "search": {"population": population, "generations": generations, "algorithm": algorithm},
        },
        "bench",
    )


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def searched(count: int, algorithm: str) -> tuple[float, dict[int, int]]:
    """CPU seconds of a search of `count` fakes, and its memory at a tenth of them and at the end."""
    population = min(50, max(4, count // 10))
    config = experiment(population, count // population, algorithm)
    given, memory = setting(config), dict[int, int]()

    def report(progress: Progress) -> None:
        if progress.finished and progress.evaluated in (count // 10, count):
            memory[progress.evaluated] = resident()

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "study.sqlite")
        engine_module.pool = lambda *_: Fake(given)  # type: ignore[assignment]
        begin = time.process_time()
        engine_module.Engine(config, given, store, report).run()
        seconds = time.process_time() - begin
        store.close()
    return seconds, memory


def real_seconds(given: Setting, config: Config, count: int = 12) -> float:
    """CPU seconds of a real evaluation, the mean of `count` random networks after one to warm up."""
    rng = np.random.default_rng(0)
    spent = []
    for _ in range(count + 1):
        genome = sample(rng, config.space, given.task)
        arch = arch_id(genome, given.task)
        begin = time.process_time()
        evaluate(genome, arch, given)
        spent.append(time.process_time() - begin)
    return float(np.mean(spent[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=10000)
    parser.add_argument("--algorithms", nargs="+", default=["nsga2", "nsga3", "random", "regularised"])
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    config = experiment(4, 1, "nsga2")
    real = real_seconds(setting(config), config)
    cases = []
    for algorithm in options.algorithms:
        seconds, _ = searched(options.candidates, algorithm)
        own = seconds / options.candidates
        cases.append({"name": f"overhead {algorithm}", "own_ms": 1e3 * own, "evaluation_ms": 1e3 * real,
                      "limits": {"overhead": own / (own + real), "allowed": MOST_OVERHEAD}})  # fmt: skip
    if options.trials:
        seconds, memory = searched(options.trials, options.algorithms[0])
        first, last = memory[options.trials // 10], memory[options.trials]
        cases.append({"name": f"memory {options.algorithms[0]}", "trials": options.trials,
                      "own_ms": 1e3 * seconds / options.trials, "resident_mb": [first / 2**20, last / 2**20],
                      "limits": {"growth": last / first, "allowed": MOST_GROWTH}})  # fmt: skip
    if options.format == "json":
        print(json.dumps({"cases": cases}))
    for case in cases if options.format == "table" else ():
        print(case)


if __name__ == "__main__":
    main()
