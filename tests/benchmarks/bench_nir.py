"""Load time of `.nir` files: ours against `nir.read`, in one process, alternating.

    python tests/benchmarks/bench_nir.py [--nodes 2000] [--repeats 5]

Both read the file and infer the shapes of every node. Prints JSON; `ratios` above 1 mean ours is
faster, `limits` holds our time over the limit of 0.2 s.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np

import targets

LIMIT_S = 0.2
WIDTH = 4


def chain(nodes: int) -> nir.NIRGraph:
    """Input, then Affine and LIF in turn, then Output: `nodes` in all."""
    rng = np.random.default_rng(0)
    one = np.ones(WIDTH, np.float32)
    ends = {"in": nir.Input(np.array([WIDTH])), "out": nir.Output(np.array([WIDTH]))}
    middle: dict[str, nir.NIRNode] = {}
    for i in range(nodes - 2):
        weight = rng.normal(size=(WIDTH, WIDTH)).astype(np.float32)
        middle[f"n{i}"] = nir.LIF(one, one, one, one) if i % 2 else nir.Affine(weight, one)
    return nir.NIRGraph(
        {**ends, **middle}, list(itertools.pairwise(["in", *middle, "out"])), type_check=False
    )


def medians(
    readers: dict[str, Callable[[Path], Any]], path: Path, repeats: int
) -> dict[str, dict[str, float]]:
    """Median seconds of each reader, by the clock and of the processor, taking turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(repeats):
        for name, read in readers.items():
            started, used = time.perf_counter(), time.process_time()
            read(path)
            found[name].append((time.perf_counter() - started, time.process_time() - used))
    return {
        name: {
            "wall_s": statistics.median(wall for wall, _ in times),
            "cpu_s": statistics.median(cpu for _, cpu in times),
        }
        for name, times in found.items()
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.nir"
        nir.write(path, chain(options.nodes), compression=None)
        readers: dict[str, Callable[[Path], Any]] = {"ours": targets.load, "nir": nir.read}
        times = medians(readers, path, options.repeats)
    case = {
        "name": f"chain of {options.nodes} nodes",
        "phase": "load",
        "seconds": times,
        "ratios": {"nir": times["nir"]["wall_s"] / times["ours"]["wall_s"]},
        "limits": {"0.2 s": times["ours"]["wall_s"] / LIMIT_S},
    }
    json.dump({"cases": [case]}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
