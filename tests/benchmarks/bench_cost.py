"""Time of cost estimates after the forward pass, and of counting activity next to the pass itself.

    python tests/benchmarks/bench_cost.py [--estimates 1000] [--device NAME ...]

A search estimates every candidate once, and a trainer the same graph again and again: the graph is
new in `first_s`, known in `wall_s`. Prints JSON; `limits` holds our time over 2 s for 1,000 estimates, and
the time of `activity` and of `layers` over a tenth of the forward pass.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from typing import Any

import nir
import numpy as np

import cost_models
import targets
from targets.graph.graph import SpikingGraph
from targets.run import Run

LIMIT_S_EACH = 2e-3
OVERHEAD = 0.1
WIDTH, STEPS, SAMPLES = 128, 50, 32


def network(nodes: int = 20) -> SpikingGraph:
    """Input, Linear and LIF in turn, Output: `nodes` in all."""
    rng = np.random.default_rng(0)
    one = np.ones(WIDTH, np.float32)
    found: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([WIDTH]))}
    for i in range((nodes - 2) // 2):
        weight = rng.normal(0.02, 0.15, (WIDTH, WIDTH)).astype(np.float32)
        found[f"w{i}"] = nir.Linear(weight)
        found[f"layer{i}"] = nir.LIF(one * 0.01, one, one * 0, one * 0.1, v_reset=one * 0)
    found["output"] = nir.Output(np.array([WIDTH]))
    return SpikingGraph.build(found, list(itertools.pairwise(found)), {"dt": 1e-3})


def runs(graph: SpikingGraph, many: int) -> list[Run]:
    """Runs with spike counts of their own."""
    rng = np.random.default_rng(1)
    names = (*graph.inputs, *graph.populations)
    return [
        Run(
            {},
            {name: rng.integers(0, STEPS, graph.shapes[name]) for name in names},
            {},
            "by hand",
            0.0,
            STEPS,
            1,
        )
        for _ in range(many)
    ]


def estimates(device: str, many: int) -> dict[str, Any]:
    """Seconds of the first estimate of a graph, and of `many` further ones."""
    graph = network()
    given = runs(graph, many)
    started = time.perf_counter()
    cost_models.estimate(graph, given[0], device)
    first = time.perf_counter() - started
    started = time.perf_counter()
    for run in given:
        cost_models.estimate(graph, run, device)
    wall = time.perf_counter() - started
    return {
        "name": f"{many} estimates, {len(graph.nodes)} nodes, {device}",
        "phase": "forward",
        "first_s": first,
        "wall_s": wall,
        "limits": {"2 ms each": wall / many / LIMIT_S_EACH},
    }


def counting(repeats: int = 5) -> dict[str, Any]:
    """Seconds of the forward pass and of counting what it did; medians."""
    graph = network()
    x = (np.random.default_rng(2).random((STEPS, SAMPLES, WIDTH)) < 0.2).astype(np.float32)
    executable = targets.compile(graph, "reference")
    record = [*graph.inputs, *graph.populations]
    executable.run(x, record=record)
    forward, hops, nodes = [], [], []
    for _ in range(repeats):
        started = time.perf_counter()
        run = executable.run(x, record=record)
        done = time.perf_counter()
        cost_models.activity(graph, run)
        counted = time.perf_counter()
        cost_models.layers(graph, run)
        forward.append(done - started)
        hops.append(counted - done)
        nodes.append(time.perf_counter() - counted)
    allowed = OVERHEAD * statistics.median(forward)
    return {
        "name": f"counting, {len(graph.nodes)} nodes",
        "phase": "forward",
        "batch": SAMPLES,
        "steps": STEPS,
        "wall_s": {
            "forward": statistics.median(forward),
            "activity": statistics.median(hops),
            "layers": statistics.median(nodes),
        },
        "limits": {
            "activity, tenth of the pass": statistics.median(hops) / allowed,
            "layers, tenth of the pass": statistics.median(nodes) / allowed,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--estimates", type=int, default=1000)
    parser.add_argument("--device", nargs="*", default=list(cost_models.energy_devices()))
    given = parser.parse_args()
    cases = [*(estimates(device, given.estimates) for device in given.device), counting()]
    json.dump({"cases": cases}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
