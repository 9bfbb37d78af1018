"""The ONNX target against plain torch, snnTorch, SpikingJelly and Norse, in one process on one thread.

    python tests/benchmarks/bench_onnx.py [--net ff fb searched] [--steps 4 10 20 200] [--batch 1 64]
        [--peers ...] [--rounds 7] [--format json]

`ff` and `fb` are those of `executor_networks.py`; `searched` has motifs, feedback and three neuron models
(`onnx_searched.py`), which only plain torch runs beside us.

In each round every variant runs once, in turn; a ratio is the median over rounds of the peer's processor
time over ours. `torch-compile` takes minutes to compile and runs only where `--peers` names it. Ours is
`targets.compile(graph, "onnx").run(x)` in the portable form, and the counts of every neuron's spikes read,
with our operators in C for populations and for convolutions over spikes; `plain` is onnxruntime without them.
`counting` is the time of a call over that of one without counts, `reading` the same where all counts are
read, `gpu_form` the time of the unrolled form on the CPU over ours (chunks of at most 10 steps, blocks of at
most 4 samples), `build_ms` how long our session takes to open, `limits` our time over that of the dense
network at this core's peak (`executor_limits.py`), `two_workers` the wall time of one worker over that of
two, where there are several blocks, and `two_threads` what two threads of matrix products reach in between.
`differing` are spikes of all populations in which a peer, either other form or the reference differs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from executor_limits import Core, alternately, cpu_s
from executor_networks import NETWORKS, DenseCost, events
from executor_peers import PEERS, available
from onnx_searched import Loop, searched
from torch import Tensor, nn

import targets
from targets.graph.graph import SpikingGraph
from targets.onnx.executable import OnnxExecutable
from targets.onnx.options import OnnxOptions

OURS = "ours"
DEFAULT_PEERS = [name for name in PEERS if name != "torch-compile"]
# Calls shorter than this are repeated inside a round.
LEAST_S = 0.03
CHUNK, BLOCK = 10, 4
GRAPHS: Mapping[str, Callable[[], SpikingGraph]] = {**NETWORKS, "searched": searched}


class Variants:
    """One network through this target, in every way that is timed."""

    def __init__(self, net: str, steps: int, batch: int) -> None:
        self.graph = GRAPHS[net]()
        self.x = events(steps, batch)
        size = {"steps": min(steps, CHUNK), "batch": min(batch, BLOCK)}
        self.portable = OnnxExecutable(self.graph, OnnxOptions())
        self.bare = targets.compile(self.graph, "onnx", counts=False)
        self.gpu = targets.compile(self.graph, "onnx", form="gpu", **size)
        self.two = targets.compile(self.graph, "onnx", workers=2)
        with patch.dict(os.environ, MSENAS_KERNELS="torch"):
            self.plain = targets.compile(self.graph, "onnx")

    def calls(self) -> dict[str, Callable[[], object]]:
        """What runs in a round."""
        return {
            OURS: lambda: self.portable.run(self.x).spike_counts,
            "gpu": lambda: self.gpu.run(self.x),
            "plain": lambda: self.plain.run(self.x),
        }

    def build_s(self) -> float:
        """Seconds to open the session that compiling opens."""
        (key, *_) = self.portable._sessions
        made = self.portable._compiler.model(key)
        started = time.process_time()
        self.portable._open(key, made)
        return time.process_time() - started


@torch.no_grad()
def differing(ours: Variants, peers: Mapping[str, nn.Module]) -> dict[str, int]:
    """Spikes of all populations in which each other way and we differ."""
    names = ours.graph.populations
    own = ours.portable.run(ours.x, names).spikes
    others = {"reference": targets.compile(ours.graph, "reference"), "gpu": ours.gpu, "plain": ours.plain}
    runs = {name: other.run(ours.x, names).spikes for name, other in others.items()}
    for name, module in peers.items():
        record: dict[str, list[Tensor]] = {}
        module(torch.from_numpy(ours.x), *([] if name == "torch-compile" else [record]))
        runs[name] = {population: torch.stack(spikes).numpy() for population, spikes in record.items()}
    return {name: sum(int(np.sum(run[p] != own[p])) for p in run) for name, run in runs.items()}


def measured(
    net: str, size: tuple[int, int], peers: Mapping[str, nn.Module], core: Core, rounds: int
) -> dict[str, Any]:
    """One case of the report."""
    # A compiled module falls back to plain torch once it has met too many shapes.
    torch.compiler.reset()
    ours = Variants(net, *size)
    x = torch.from_numpy(ours.x)

    @torch.no_grad()
    def forward(module: nn.Module) -> Tensor:
        return module(x)  # type: ignore[no-any-return]

    run = ours.calls() | {name: lambda m=m: forward(m) for name, m in peers.items()}
    found, cost = differing(ours, peers), DenseCost.of(ours.graph)
    repeats = {name: _repeats(call) for name, call in run.items()}
    times: dict[str, list[float]] = {name: [] for name in (*run, "dense", "build")}
    counting: list[float] = []
    reading: list[float] = []
    for number in range(rounds):
        gc.collect()
        core.measure()
        times["dense"].append(core.dense_s(cost, False, size[0] * size[1]))
        times["build"].append(ours.build_s())
        for name in sorted(run, reverse=bool(number % 2)):
            times[name].append(cpu_s(run[name], repeats[name]))
        for taken, call in ((counting, lambda: ours.portable.run(ours.x)), (reading, run[OURS])):
            taken.append(alternately(call, lambda: ours.bare.run(ours.x), repeats[OURS]))
    more = {"counting": statistics.median(counting), "reading": statistics.median(reading)}
    return _row(net, size, found, times) | more | two_workers(ours, core, rounds)


def two_workers(ours: Variants, core: Core, rounds: int) -> dict[str, float | None]:
    """Wall time of one worker over that of two, and of one thread of products over two; medians of rounds.

    Nothing for one block.
    """
    if ours.x.shape[1] <= BLOCK:
        return {"two_workers": None, "two_threads": None}
    workers, threads = [], []
    for _ in range(rounds):
        one, two = (executable.run(ours.x).seconds for executable in (ours.portable, ours.two))
        workers.append(one / two)
        threads.append(core.two_threads(one))
    return {"two_workers": statistics.median(workers), "two_threads": statistics.median(threads)}


def _repeats(call: Callable[[], object]) -> int:
    """Warm up, and say how many calls are long enough to time."""
    if cpu_s(call) > 10 * LEAST_S:
        return 1
    return max(1, round(LEAST_S / cpu_s(call)))


def _row(
    net: str, size: tuple[int, int], found: dict[str, int], times: dict[str, list[float]]
) -> dict[str, Any]:
    def over(numerator: str, denominator: str) -> float:
        pairs = zip(times[numerator], times[denominator], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "name": net,
        "phase": "forward",
        "batch": size[1],
        "steps": size[0],
        "differing": sum(found.values()),
        "differing_from": found,
        "ratios": {name: over(name, OURS) for name in times if name in PEERS},
        "limits": {"dense": over(OURS, "dense")},
        "plain": over("plain", OURS),
        "gpu_form": over("gpu", OURS),
        "build_ms": 1e3 * statistics.median(times["build"]),
        "cpu_s": {name: statistics.median(values) for name, values in times.items()},
    }


def _peers(net: str, wanted: list[str]) -> tuple[dict[str, nn.Module], dict[str, str]]:
    if net in NETWORKS:
        return available(net, wanted)
    graph = GRAPHS[net]()
    peers: dict[str, nn.Module] = {"torch-eager": Loop(graph), "torch-compile": Loop(graph)}
    peers["torch-compile"].compile(dynamic=False)
    return {name: peer for name, peer in peers.items() if name in wanted}, {}


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Every case asked for."""
    core, cases, missing = Core(), [], {}
    for net in options.net:
        peers, absent = _peers(net, options.peers)
        missing.update(absent)
        for steps in options.steps:
            for batch in options.batch:
                print(f"{net} T={steps} B={batch}", file=sys.stderr)
                cases.append(measured(net, (steps, batch), peers, core, options.rounds))
    return {"cases": cases, "absent": missing}


def table(found: dict[str, Any]) -> str:
    """The report for a person."""
    names = sorted({name for case in found["cases"] for name in case["ratios"]}, key=list(PEERS).index)
    head = ["net", "T", "B", "ours ms", *names, "plain", "over dense", "counting", "reading"]
    head += ["gpu form", "build ms", "two workers", "two threads", "differing"]
    lines = []
    for case in found["cases"]:
        ratios = [f"{case['ratios'][n]:.2f}x" if n in case["ratios"] else "-" for n in names]
        differ = ", ".join(f"{n} {d}" for n, d in case["differing_from"].items() if d) or "0"
        first = [case["name"], str(case["steps"]), str(case["batch"]), f"{1e3 * case['cpu_s'][OURS]:.2f}"]
        rest = [
            f"{case['plain']:.2f}x",
            f"{case['limits']['dense']:.2f}x",
            *(f"{100 * (case[name] - 1):+.0f} %" for name in ("counting", "reading")),
        ]
        rest += [f"{case['gpu_form']:.2f}x", f"{case['build_ms']:.1f}"]
        two = (case["two_workers"], case["two_threads"])
        rest += [*(f"{ratio:.2f}x" if ratio else "-" for ratio in two), differ]
        lines.append([*first, *ratios, *rest])
    widths = [max(len(row[i]) for row in [head, *lines]) for i in range(len(head))]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, *lines]
    ]
    text += [f"absent: {name} ({reason})" for name, reason in found["absent"].items()]
    return "\n".join(text)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--net", nargs="+", choices=[*GRAPHS], default=[*GRAPHS])
    parser.add_argument("--steps", nargs="+", type=int, default=[10])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--peers", nargs="+", choices=[*PEERS], default=DEFAULT_PEERS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = report(options)
    print(json.dumps(found, indent=2) if options.format == "json" else table(found))


if __name__ == "__main__":
    main()
