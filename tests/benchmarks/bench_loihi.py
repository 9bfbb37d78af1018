"""The Loihi simulator against Lava's fixed point and against the float reference, on one thread.

    python tests/benchmarks/bench_loihi.py [--net dense conv searched] [--batch 1 64] [--rounds 3]
        [--lava-samples 20] [--lava-pairs 3] [--products events dense torch] [--core N] [--format json]

T = 100, input with 10 % spikes. In each round everything runs once, in turn. Ratios of time a sample, medians
over rounds: `lava` runs one sample a run, wall time less that of starting its interpreter and importing it;
`lava-pipelined` runs samples back to back, the time that each further one takes, the median of several
differences between runs of one and of many; with `-processor` the same in processor time of all processes,
which other jobs on the machine change less. Lava keeps more than one core busy, so its wall time is that of
several; `--core` gives it and us the same one. `reference` is the float32 executor with the same batch, in
processor time. `products` are events and dense (C kernels) or torch.
`limits` holds our processor time over that of the dense network at this core's peak (`executor_limits.py`).
`differing` counts spikes, u and v of every neuron and step that differ from Lava's, and spikes that differ
between both products.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from executor_limits import Core
from executor_networks import DenseCost

import targets
from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import SpaceConfig, Task, decode, sample
from targets.lava.environment import probe
from targets.loihi.program import Program

STEPS, RATE, DT_S = 100, 0.1, 1e-3
PRODUCTS = {
    "events": {"kernels": "c"},
    "dense": {"kernels": "c", "products": "dense"},
    "torch": {"kernels": "torch"},
}
# In the order of the table.
PEERS = ("lava", "lava-pipelined", "lava-processor", "lava-pipelined-processor", "reference")
# Samples of which every spike and state is compared with Lava's.
COMPARED = 3


def lif(*shape: int) -> nir.LIF:
    """LIF of 4 steps."""
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=4 * DT_S * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def dense(rng: np.random.Generator, inputs: int, outputs: int, drive: float) -> nir.Affine:
    """Random weights; a tenth of the outputs fire at a `drive` of about 3.3 and a tenth of active inputs."""
    weight = rng.normal(size=(outputs, inputs)) * drive / np.sqrt(RATE * inputs)
    return nir.Affine(weight.astype("f4"), (rng.normal(size=outputs) * 0.1).astype("f4"))


def conv(rng: np.random.Generator, channels: int, out: int, size: int, stride: int) -> nir.Conv2d:
    """3 x 3, as `dense`."""
    weight = rng.normal(size=(out, channels, 3, 3)) * 3.3 / np.sqrt(RATE * 9 * channels)
    return nir.Conv2d(
        (size, size), weight.astype("f4"), stride, 1, 1, 1, (rng.normal(size=out) * 0.1).astype("f4")
    )


def chain(nodes: dict[str, nir.NIRNode]) -> targets.SpikingGraph:
    """Nodes one after the other."""
    return targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": DT_S})


def dense_network() -> targets.SpikingGraph:
    """784-256-10."""
    rng = np.random.default_rng(0)
    return chain(
        {
            "input": nir.Input(np.array([784])),
            "w1": dense(rng, 784, 256, 3.3),
            "l1": lif(256),
            "w2": dense(rng, 256, 10, 3.3),
            "l2": lif(10),
            "output": nir.Output(np.array([10])),
        }
    )


def conv_network() -> targets.SpikingGraph:
    """2 x 32 x 32 - conv 16 - conv 32 / 2 - dense 10; 24,586 neurons."""
    rng = np.random.default_rng(1)
    return chain(
        {
            "input": nir.Input(np.array([2, 32, 32])),
            "c1": conv(rng, 2, 16, 32, 1),
            "l1": lif(16, 32, 32),
            "c2": conv(rng, 16, 32, 32, 2),
            "l2": lif(32, 16, 16),
            "flatten": nir.Flatten({"input": np.array([32, 16, 16])}, 0, -1),
            "w3": dense(rng, 8192, 10, 3.3),
            "l3": lif(10),
            "output": nir.Output(np.array([10])),
        }
    )


def searched_network() -> targets.SpikingGraph:
    """The first network of the quickstart's space that has feedback, is balanced and fits a Loihi core."""
    space = SpaceConfig(cells=(2, 3), widths=(12, 16, 24), max_halvings=1)
    task = Task((1, 8, 8), classes=10, steps=STEPS)
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        genome = sample(rng, space, task)
        found = balance(decode(genome, task), events((1, 8, 8), 8)) if genome.feedback else None
        if isinstance(found, Balanced) and not targets.find("loihi").check(found.graph):
            return found.graph
    raise AssertionError("no seed below 1000 gives such a network")


NETWORKS: Mapping[str, Callable[[], targets.SpikingGraph]] = {
    "dense": dense_network,
    "conv": conv_network,
    "searched": searched_network,
}


def events(shape: tuple[int, ...], batch: int) -> np.ndarray:
    """Input spikes [T, B, *shape]."""
    return (np.random.default_rng(batch).random((STEPS, batch, *shape)) < RATE).astype(np.float32)


@dataclass
class Contest:
    """One network on the simulator, the reference and Lava, all lowered alike."""

    graph: targets.SpikingGraph
    program: Program
    products: list[str]
    lava_samples: int
    lava_pairs: int

    def __post_init__(self) -> None:
        self.ours = {
            name: targets.compile(self.graph, "loihi", program=self.program, **options)
            for name, options in PRODUCTS.items()
            if name in self.products
        }
        self.reference = targets.compile(self.graph, "reference")
        self.lava = targets.compile(self.graph, "lava", arithmetic="fixed", program=self.program)

    def differing(self, batch: int) -> int:
        """Spikes, u and v that differ from Lava's on its samples, and spikes between the products."""
        names = list(self.graph.populations)
        x = events(self.graph.shapes["input"], max(batch, COMPARED))
        first, *others = (executable.run(x, record=names) for executable in self.ours.values())
        found = sum(int((first.spikes[n] != other.spikes[n]).sum()) for other in others for n in names)
        x = x[:, :COMPARED]
        ours, lava = (
            exe.run(x, record=names, states=True) for exe in (next(iter(self.ours.values())), self.lava)
        )
        for name in names:
            found += int((ours.spikes[name] != lava.spikes[name]).sum())
            found += sum(int((ours.states[name][k] != lava.states[name][k]).sum()) for k in "uv")
        return found

    def lava_s(self) -> list[tuple[float, float]]:
        """Wall and processor seconds a sample of Lava: one sample a run, and each further sample of a run."""
        x = events(self.graph.shapes["input"], self.lava_samples)
        start = timed(probe)
        pairs = [(timed(lambda: self.lava.run(x[:, :1])), timed(lambda: self.lava.run(x)))
                 for _ in range(self.lava_pairs)]  # fmt: skip
        one = [statistics.median(one[i] for one, _ in pairs) - start[i] for i in range(2)]
        each = [
            statistics.median((many[i] - one[i]) / (self.lava_samples - 1) for one, many in pairs)
            for i in range(2)
        ]
        return [(max(one[0], 0.0), max(one[1], 0.0)), (each[0], each[1])]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds; the latter with those of processes that were started and have ended."""
    wall, processor = time.perf_counter(), _processor_s()
    call()
    return time.perf_counter() - wall, _processor_s() - processor


def _processor_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def measured(name: str, options: argparse.Namespace, core: Core) -> list[dict[str, Any]]:
    """Rows of one network: a batch and a product each."""
    graph = NETWORKS[name]()
    contest = Contest(
        graph,
        targets.compile(graph, "loihi").program,
        options.products,
        options.lava_samples,
        options.lava_pairs,
    )
    cost = DenseCost.of(graph)
    times: dict[Any, list[Any]] = {}
    for number in range(options.rounds + 1):
        core.measure()
        found: dict[Any, Any] = {"lava": contest.lava_s()} if number else {}
        for batch in options.batch:
            x = events(graph.shapes["input"], batch)
            for product, executable in contest.ours.items():
                found[product, batch] = timed(lambda e=executable, x=x: e.run(x))
            found["reference", batch] = timed(lambda x=x: contest.reference.run(x))
            found["limit", batch] = core.dense_s(cost, False, batch * STEPS)
        for key, value in found.items() if number else ():
            times.setdefault(key, []).append(value)
        print(f"{name}: round {number} of {options.rounds}", file=sys.stderr)
    differing = contest.differing(max(options.batch))
    return [_row(name, b, p, times) | {"differing": differing} for b in options.batch for p in contest.ours]


def _row(name: str, batch: int, product: str, times: dict[Any, list[Any]]) -> dict[str, Any]:
    ours = times[product, batch]

    def median(values: list[float]) -> float:
        return statistics.median(values)

    return {
        "name": name,
        "phase": "forward",
        "batch": batch,
        "steps": STEPS,
        "products": product,
        "ratios": {
            **{
                peer + clock: median(
                    [a[i][j] * batch / b[j] for a, b in zip(times["lava"], ours, strict=True)]
                )
                for i, peer in enumerate(("lava", "lava-pipelined"))
                for j, clock in enumerate(("", "-processor"))
            },
            "reference": median([a[1] / b[1] for a, b in zip(times["reference", batch], ours, strict=True)]),
        },
        "limits": {"dense": median([b[1] / a for a, b in zip(times["limit", batch], ours, strict=True)])},
        "ms_a_sample": 1e3 * median([wall for wall, _ in ours]) / batch,
        "lava_ms_a_sample": [1e3 * median([t[i][0] for t in times["lava"]]) for i in range(2)],
        "load": os.getloadavg()[0],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person, in the form of README.md."""
    lines = [
        "| network | B | products | ms a sample | over lava | over lava-pipelined "
        "| processor time: over lava | over lava-pipelined | over reference | dense limit | differing |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = [f"{row['ratios'][peer]:,.3g}" for peer in PEERS]
        first = [row["name"], str(row["batch"]), row["products"], f"{row['ms_a_sample']:.2f}"]
        last = [f"{row['limits']['dense']:.2f}", str(row["differing"])]
        lines.append("| " + " | ".join([*first, *ratios, *last]) + " |")
    return "\n".join([*lines, "", f"load average {rows[-1]['load']:.1f}"])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lava-samples", type=int, default=20, help="at least 2; more, less noise")
    parser.add_argument("--lava-pairs", type=int, default=3)
    parser.add_argument("--products", nargs="+", choices=[*PRODUCTS], default=[*PRODUCTS])
    parser.add_argument("--core", type=int, help="run everything on this core")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    core = Core()
    rows = [row for name in options.net for row in measured(name, options, core)]
    print(json.dumps({"cases": rows}, indent=2) if options.format == "json" else table(rows))


if __name__ == "__main__":
    main()
