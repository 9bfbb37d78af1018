"""Fitness evaluations a second, against the way of the released MSE-NAS, on one thread.

    python tests/benchmarks/bench_fitness.py [--data digits color] [--batch 128] [--steps 10] [--draws 2]
        [--genomes 3] [--loop-steps 1] [--format json]

Ours is `msenas_hw.fitness.fitness`: decoding, balancing, the run and the RDM of each draw. The others are
written anew from the description of the released code (Pan et al., arXiv 2304.10749):

    released     all samples go through the network step by step; after each step and population, each sample
                 in turn is copied B times for its Manhattan distance and its cosine to all others
    per-sample   the same, with the samples going through the network one by one as well

Their network runs in plain torch, as the released one does; *-kernels* is the same loop with our executor's C
kernels in the network.

Both see two batches where ours has two draws. They take minutes a candidate, so `--loop-steps` of the steps
are run and the time is multiplied; every step does the same. Left out, in their favour: decoding, balancing,
building the network, and two more kernels. Colour pictures are random, 3 x 32 x 32. `differing` counts
networks whose RDM fitness by the loop is not ours on the executor's spikes; `flipped` is the share of
neuron-steps of those steps that our run gives otherwise, since it adds up currents in another order. Limits
are our time over that of all draws' runs where neither the core's adders nor its second-level cache ever
wait: `dense` with the products of every input, `events` with one addition a synaptic operation; balancing
and scoring are not in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from executor_limits import Core, cpu_s
from executor_networks import DenseCost
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cost_models.activity import activity
from msenas_hw.data import encode, load
from msenas_hw.fitness import Fitness, fitness, rdm
from msenas_hw.space import Genome, SpaceConfig, Task, sample
from targets.reference.network import ReferenceNetwork
from targets.reference.target import ReferenceOptions, ReferenceTarget
from targets.reference.values import Carry

Floats = NDArray[np.float32]
# Batches that the released code averages over.
BATCHES = 2
# Relative difference of two sums of the same float64 terms.
EQUAL = 1e-9


def digits(steps: int, batch: int) -> Floats:
    """Input [T, B, 1, 8, 8]."""
    return load("digits").batch("rate", steps, batch)


def color(steps: int, batch: int) -> Floats:
    """Input [T, B, 3, 32, 32]."""
    values = np.random.default_rng(0).random((batch, 3, 32, 32), dtype=np.float32)
    return encode(values, "rate", steps)


DATA: Mapping[str, Callable[[int, int], Floats]] = {"digits": digits, "color": color}


class Matrices:
    """The representational dissimilarity matrices of the released code, sums over hook calls."""

    def __init__(self, samples: int) -> None:
        self.manhattan, self.cosine, self.pearson = (torch.zeros(samples, samples) for _ in range(3))

    def add(self, spikes: Tensor) -> None:
        """Spikes [B, ...] of one population at one step."""
        x = (spikes.flatten(1) > 0).float()
        for i, row in enumerate(x):
            copies = row.repeat(len(x), 1)
            self.manhattan[i] += (x - copies).abs().sum(1)
            self.cosine[i] += functional.cosine_similarity(x, copies)
        self.pearson += torch.corrcoef(functional.normalize(x)).nan_to_num()


def batched(network: ReferenceNetwork, x: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """Spikes [B, *shape] of each population, step by step."""
    graph, carry = network.graph, Carry()
    for now in x:
        outputs = network({graph.inputs[0]: now[None]}, carry=carry).outputs
        yield {name: outputs[name][0] for name in graph.populations}


def one_by_one(network: ReferenceNetwork, x: Tensor) -> Iterator[Mapping[str, Tensor]]:
    """The same, one sample after the other."""
    alone = [list(batched(network, x[:, i : i + 1])) for i in range(x.shape[1])]
    for step in zip(*alone, strict=True):
        yield {name: torch.cat([spikes[name] for spikes in step]) for name in network.graph.populations}


Loop = Callable[[ReferenceNetwork, Tensor], Iterator[Mapping[str, Tensor]]]
# How samples go through the network, and what runs it.
LOOPS: Mapping[str, tuple[Loop, str]] = {
    "released": (batched, "torch"),
    "per-sample": (one_by_one, "torch"),
    "released-kernels": (batched, "auto"),
    "per-sample-kernels": (one_by_one, "auto"),
}


@torch.no_grad()
def loop(name: str, network: ReferenceNetwork, x: Tensor) -> float:
    """RDM fitness of one batch by the loop, normalised as ours is."""
    terms = []
    way, _ = LOOPS[name]
    for step in way(network, x):
        for spikes in step.values():
            found = Matrices(x.shape[1])
            found.add(spikes)
            terms.append(float(found.manhattan.double().mean()) / spikes[0].numel())
    return float(np.mean(terms))


def limits(core: Core, found: Fitness) -> dict[str, float]:
    """Seconds that the runs of `found` take where nothing ever waits."""
    core.measure()
    seconds = {"dense": 0.0, "events": 0.0}
    for graph, run in zip(found.graphs, found.runs, strict=True):
        cost, frames = DenseCost.of(graph), run.steps * run.samples
        synops = activity(graph, run).total_synops * run.samples
        seconds["dense"] += core.dense_s(cost, False, frames)
        # A product counts as two operations where an addition takes as long.
        seconds["events"] += core.dense_s(replace(cost, flops=2 * synops / frames), False, frames)
    return seconds


def candidate(genome: Genome, task: Task, x: Floats, options: argparse.Namespace) -> dict[str, Any] | None:
    """Seconds of one network, and what else there is to tell; None where balancing finds it dead."""
    started = time.process_time()
    found = fitness(genome, task, x, options.draws)
    seconds = {"ours": time.process_time() - started}
    if not found.alive:
        return None
    graph, run, part = found.graph, found.runs[0], x[: options.loop_steps]
    core = Core()
    over = {name: seconds["ours"] / least for name, least in limits(core, found).items()}
    executables = {
        how: ReferenceTarget().compile(graph, ReferenceOptions(kernels=how)) for how in ("auto", "torch")
    }
    known = executables["auto"].watch(part, graph.populations).spikes
    own = rdm(known)
    flipped = np.mean([np.mean(known[n] != run.spikes[n][: len(part)]) for n in graph.populations])
    differing = 0
    for name, (_, how) in LOOPS.items():
        scores: list[float] = []
        network = executables[how].network
        took = cpu_s(lambda n=name, g=network, s=scores: s.append(loop(n, g, torch.from_numpy(part))))
        seconds[name] = took * BATCHES * options.steps / options.loop_steps
        differing += abs(scores[0] - own) > EQUAL * own
    return {"seconds": seconds, "over": over, "flipped": flipped, "differing": differing}


def case(data: str, options: argparse.Namespace) -> dict[str, Any]:
    """One data set: the first random networks that balancing brings to life."""
    x = DATA[data](options.steps, options.batch)
    channels, rows, columns = x.shape[2:]
    task = Task((channels, rows, columns), 10, options.steps)
    rng, space = np.random.default_rng(0), SpaceConfig.model_validate({})
    fitness(sample(np.random.default_rng(1), space, task), task, x, options.draws)  # loads the kernels
    found = list[dict[str, Any]]()
    while len(found) < options.genomes:
        told = candidate(sample(rng, space, task), task, x, options)
        if told is not None:
            found.append(told)
            print(f"{data}: network {len(found)} of {options.genomes}", file=sys.stderr)
    seconds = [told["seconds"] for told in found]
    return {
        "name": f"fitness {data} {'x'.join(map(str, x.shape[2:]))}",
        "phase": "forward",
        "batch": options.batch,
        "steps": options.steps,
        "differing": sum(told["differing"] for told in found),
        "flipped": float(np.mean([told["flipped"] for told in found])),
        "ratios": {name: statistics.median(took[name] / took["ours"] for took in seconds) for name in LOOPS},
        "limits": {
            name: statistics.median(told["over"][name] for told in found) for name in ("dense", "events")
        },
        "candidates_per_s": {
            name: 1 / statistics.mean(took[name] for took in seconds) for name in ("ours", *LOOPS)
        },
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=[*DATA], default=[*DATA])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--genomes", type=int, default=3)
    parser.add_argument("--loop-steps", type=int, default=1)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cases = [case(data, options) for data in options.data]
    if options.format == "json":
        print(json.dumps({"cases": cases}, indent=2))
        return
    for found in cases:
        rates = ", ".join(f"{name} {rate:.3g}" for name, rate in found["candidates_per_s"].items())
        ratios = ", ".join(f"{name} {ratio:.0f}x" for name, ratio in found["ratios"].items())
        over = ", ".join(f"{name} {value:.1f}" for name, value in found["limits"].items())
        print(
            f"{found['name']}: candidates a second: {rates}; ratios: {ratios}; over the limits: {over}; "
            f"differing {found['differing']}; flipped {found['flipped']:.1g}"
        )


if __name__ == "__main__":
    main()
