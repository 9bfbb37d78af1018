"""The executor against plain torch, snnTorch, SpikingJelly and Norse, in one process on one thread.

    python tests/benchmarks/bench_executor.py [--net ff fb] [--phase forward training] [--steps 4 10 20]
        [--batch 1 64] [--peers ...] [--rounds 7] [--memory] [--checkpoint K ...] [--format json]

In each round every framework runs once, in turn; a ratio is the median over rounds of the peer's processor
time over ours. `torch-compile` takes minutes to compile and runs only where `--peers` names it.
Forward is `targets.compile(graph, "reference").run(x)`, counts of every neuron's spikes included;
training is the network's forward pass, cross entropy of the mean output rates, and the gradients.
`limits` holds our time over that of the dense network at this core's peak (`executor_limits.py`), `counting`
the time of a run with counts of every neuron over that of one without.

`--memory` adds the peak of a training step. `--checkpoint` also runs the training step that holds K steps at
a time and computes them again; its ratio is the time without over the time with it.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from executor_limits import Core, alternately, cpu_s
from executor_networks import CLASSES, NETWORKS, DenseCost, events
from executor_peers import PEERS, available
from torch import Tensor, nn
from torch.nn import functional

import targets
from targets.reference.network import ReferenceNetwork

OURS = "ours"
DEFAULT_PEERS = [name for name in PEERS if name != "torch-compile"]
# Calls shorter than this are repeated inside a round.
LEAST_S = 0.03
# Samples run at once to see what counting costs: their working set stays in the cache.
BLOCK = 2


@dataclass(frozen=True)
class Case:
    """One row: a network, a phase, B and T."""

    net: str
    phase: str
    batch: int
    steps: int

    @property
    def training(self) -> bool:
        return self.phase == "training"


class Ours:
    """The reference executor: compiled for inference, and as a module for training."""

    def __init__(self, net: str, checkpoint: int | None = None) -> None:
        self.graph = NETWORKS[net]()
        self.executable = targets.compile(self.graph, "reference")
        self.network = ReferenceNetwork(self.graph, checkpoint=checkpoint)

    def __call__(self, x: Tensor) -> Tensor:
        """Output spikes [T, B, 10], differentiable."""
        return self.network({"input": x}, keep=self.graph.outputs).outputs["output"]

    def run(self, x: Tensor) -> Tensor:
        """Output spikes and counts of every neuron, for inference."""
        return torch.from_numpy(self.executable.run(x.numpy()).output)

    def counting(self, case: Case) -> tuple[Callable[[], None], Callable[[], None]]:
        """The network with counts of every neuron, and without."""
        x = torch.from_numpy(events(case.steps, case.batch))
        return lambda: self.blocks(x, True), lambda: self.blocks(x, False)

    @torch.no_grad()
    def blocks(self, x: Tensor, counted: bool) -> None:
        """The network in blocks of samples, with or without counts of every neuron."""
        counts = self.network.zero_counts() if counted else None
        for at in range(0, x.shape[1], BLOCK):
            self.network({"input": x[:, at : at + BLOCK]}, keep=self.graph.outputs, counts=counts)

    def spikes(self, x: Tensor) -> dict[str, Tensor]:
        """Spikes of every population."""
        run = self.executable.run(x.numpy(), record=self.graph.populations)
        return {name: torch.from_numpy(run.spikes[name]) for name in self.graph.populations}


def checkpointed(steps: int) -> str:
    """The name of our training step that holds so many steps at a time."""
    return f"checkpoint-{steps}"


def calls(
    ours: Ours, peers: Mapping[str, nn.Module], case: Case, held: Mapping[str, Ours] = MappingProxyType({})
) -> dict[str, Callable[[], object]]:
    """What each framework runs in a round; `held` are those of ours with a checkpoint, by name."""
    x = torch.from_numpy(events(case.steps, case.batch))
    labels = torch.arange(case.batch) % CLASSES

    def step(module: Callable[[Tensor], Tensor], network: nn.Module) -> None:
        for parameter in network.parameters():
            parameter.grad = None
        functional.cross_entropy(module(x).mean(0), labels).backward()

    @torch.no_grad()
    def forward(module: nn.Module) -> Tensor:
        return module(x)  # type: ignore[no-any-return]

    if case.training:
        own: dict[str, Callable[[], object]] = {
            name: lambda m=m: step(m, m.network) for name, m in {OURS: ours, **held}.items()
        }
        return own | {name: lambda m=m: step(m, m) for name, m in peers.items()}
    own = {OURS: lambda: ours.run(x)}
    return own | {name: lambda m=m: forward(m) for name, m in peers.items()}


@torch.no_grad()
def differing(ours: Ours, peers: Mapping[str, nn.Module], case: Case) -> dict[str, int]:
    """Spikes of all populations in which each peer and we differ."""
    x = torch.from_numpy(events(case.steps, case.batch))
    own = ours.spikes(x)
    found = {}
    for name, module in peers.items():
        if name == "torch-compile":
            found[name] = int((module(x) != ours.run(x)).sum())
            continue
        record: dict[str, list[Tensor]] = {}
        module(x, record)
        found[name] = sum(int((torch.stack(record[p]) != own[p]).sum()) for p in own)
    return found


def measured(
    case: Case, ours: Ours, peers: Mapping[str, nn.Module], held: Mapping[str, Ours], core: Core, rounds: int
) -> dict[str, Any]:
    """One case of the report."""
    # A compiled module falls back to plain torch once it has met too many shapes.
    torch.compiler.reset()
    run = calls(ours, peers, case, held)
    cost = DenseCost.of(ours.graph)
    found = differing(ours, peers, case)
    repeats = {name: _repeats(call) for name, call in run.items()}
    times: dict[str, list[float]] = {name: [] for name in (*run, "dense")}
    counting: list[float] = []
    for number in range(rounds):
        gc.collect()
        core.measure()
        times["dense"].append(core.dense_s(cost, case.training, case.batch * case.steps))
        for name in sorted(run, reverse=bool(number % 2)):
            times[name].append(cpu_s(run[name], repeats[name]))
        if not case.training:
            counting.append(alternately(*ours.counting(case), repeats[OURS]))
    row = _row(case, found, times) | ({"counting": statistics.median(counting)} if counting else {})
    return row | {"core": {"flops_s": core.flops_s, "bytes_s": core.bytes_s}}


def _repeats(call: Callable[[], object]) -> int:
    """Warm up, and say how many calls are long enough to time."""
    if cpu_s(call) > 10 * LEAST_S:
        return 1
    return max(1, round(LEAST_S / cpu_s(call)))


def _row(case: Case, found: dict[str, int], times: dict[str, list[float]]) -> dict[str, Any]:
    def over(numerator: str, denominator: str) -> float:
        pairs = zip(times[numerator], times[denominator], strict=True)
        return statistics.median(a / b for a, b in pairs)

    row: dict[str, Any] = {
        "name": case.net,
        "phase": case.phase,
        "batch": case.batch,
        "steps": case.steps,
        "differing": sum(found.values()),
        "differing_from": found,
        "ratios": {name: over(name, OURS) for name in found},
        "checkpoint": {name: over(OURS, name) for name in times if name.startswith("checkpoint")},
        "limits": {"dense": over(OURS, "dense")},
        "cpu_s": {name: statistics.median(values) for name, values in times.items()},
    }
    return row


def memory(case: Case, names: list[str]) -> dict[str, int]:
    """Peak bytes that one training step adds to a process of its own, by framework."""
    found = {}
    for name in names:
        where = [case.net, str(case.steps), str(case.batch)]
        command = [sys.executable, str(Path(__file__).with_name("executor_memory.py")), name, *where]
        found[name] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Every case asked for."""
    core, cases, missing = Core(), [], {}
    for net in options.net:
        peers, absent = available(net, options.peers)
        missing.update(absent)
        ours = Ours(net)
        held = {checkpointed(k): Ours(net, k) for k in options.checkpoint}
        for phase in options.phase:
            for steps in options.steps:
                for batch in options.batch:
                    case = Case(net, phase, batch, steps)
                    print(f"{net} {phase} T={steps} B={batch}", file=sys.stderr)
                    row = measured(case, ours, peers, held, core, options.rounds)
                    if options.memory and case.training:
                        row["peak_bytes"] = memory(case, [OURS, *held, *peers])
                    cases.append(row)
    return {"cases": cases, "absent": missing}


def table(found: dict[str, Any]) -> str:
    """The report for a person."""
    names = sorted({name for case in found["cases"] for name in case["ratios"]}, key=list(PEERS).index)
    head = ["net", "phase", "T", "B", "ours ms", *names, "over dense", "counting", "differing"]
    lines = []
    for case in found["cases"]:
        ratios = [f"{case['ratios'][n]:.2f}x" if n in case["ratios"] else "-" for n in names]
        counting = f"{100 * (case['counting'] - 1):+.0f} %" if "counting" in case else "-"
        differing = ", ".join(f"{n} {d}" for n, d in case["differing_from"].items() if d) or "0"
        first = [case["name"], case["phase"], str(case["steps"]), str(case["batch"])]
        first.append(f"{1e3 * case['cpu_s'][OURS]:.2f}")
        lines.append([*first, *ratios, f"{case['limits']['dense']:.2f}x", counting, differing])
    widths = [max(len(row[i]) for row in [head, *lines]) for i in range(len(head))]
    text = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, *lines]
    ]
    for case in found["cases"]:
        if "peak_bytes" in case:
            sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in case["peak_bytes"].items())
            text.append(f"peak of a training step, {_where(case)}: {sizes}")
        if case["checkpoint"]:
            times = ", ".join(f"{name} {1 / ratio:.2f}x" for name, ratio in case["checkpoint"].items())
            text.append(f"time of a training step over ours without checkpoint, {_where(case)}: {times}")
    text += [f"absent: {name} ({reason})" for name, reason in found["absent"].items()]
    return "\n".join(text)


def _where(case: Mapping[str, Any]) -> str:
    return f"{case['name']} T={case['steps']} B={case['batch']}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", nargs="+", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument(
        "--phase", nargs="+", choices=["forward", "training"], default=["forward", "training"]
    )
    parser.add_argument("--steps", nargs="+", type=int, default=[4, 10, 20])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--peers", nargs="+", choices=[*PEERS], default=DEFAULT_PEERS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="peak memory of a training step")
    parser.add_argument(
        "--checkpoint", nargs="+", type=int, default=[], help="steps held at a time in training"
    )
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = report(options)
    print(json.dumps(found, indent=2) if options.format == "json" else table(found))


if __name__ == "__main__":
    main()
