"""Load time of `.nir` files: ours against `nir.read`, in one process, alternating.

    python tests/benchmarks/bench_nir.py [--nodes 2000] [--repeats 5] [--largest 100000]

Both read the file and infer the shapes of every node. Then ours alone reads plain chains (of Scale) up
to `--largest` nodes: the time for a node must not grow. Prints JSON; `ratios` above 1 mean ours is
faster, `limits` holds our time over the limit of 0.2 s, or per node over that of the shortest plain
chain. h5py takes minutes to write the longest.
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


def plain(nodes: int) -> nir.NIRGraph:
    """Input, Scales, Output: `nodes` in all."""
    names = ["in", *(f"n{i}" for i in range(nodes - 2)), "out"]
    found: dict[str, nir.NIRNode] = {name: nir.Scale(np.ones(WIDTH, np.float32)) for name in names}
    found |= {"in": nir.Input(np.array([WIDTH])), "out": nir.Output(np.array([WIDTH]))}
    return nir.NIRGraph(found, list(itertools.pairwise(names)), type_check=False)


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


def measured(
    graph: nir.NIRGraph, readers: dict[str, Callable[[Path], Any]], repeats: int
) -> dict[str, dict[str, float]]:
    """`medians` of the file of `graph`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.nir"
        nir.write(path, graph, compression=None)
        return medians(readers, path, repeats)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=100_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    times = measured(chain(options.nodes), {"ours": targets.load, "nir": nir.read}, options.repeats)
    ours = times["ours"]["wall_s"]
    case = {"name": f"chain of {options.nodes} nodes", "phase": "load", "seconds": times}
    cases = [{**case, "ratios": {"nir": times["nir"]["wall_s"] / ours}, "limits": {"0.2 s": ours / LIMIT_S}}]
    shortest = 0.0
    for nodes in (options.nodes, options.largest // 10, options.largest):
        times = measured(plain(nodes), {"ours": targets.load}, 1)
        each = times["ours"]["cpu_s"] / nodes
        shortest = shortest or each
        case = {"name": f"plain chain of {nodes} nodes", "phase": "load", "seconds": times}
        cases.append({**case, "limits": {"linear": each / shortest}})
    json.dump({"cases": cases}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
