"""The Loihi simulator against Lava's fixed point: every spike, u and v of random networks.

    python tests/benchmarks/study_lava_agreement.py [--networks 50] [--neuron-steps 10000000] [--seed 0]
        [--engines events dense torch] [--format json]

Networks in turn are drawn from the search space (five motifs, skips, feedback, convolutions with stride, IF,
LIF and CubaLIF) and grown by hand (pooling, scales, biases, convolutions on planes and lines, delays,
self-loops). Weights have 2 to 8 bits. Every second program is driven to the limits: exponents at which
currents wrap, the widest biases, the highest thresholds, so that membranes are clipped. Every engine named
runs each network; neuron-steps are those of one engine. It ends with 1 where one value differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections import Counter
from typing import Any

import nir
import numpy as np

from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import SpaceConfig, Task, decode, sample
from targets.errors import MsenasError
from targets.graph.graph import SpikingGraph
from targets.lava.target import LavaOptions, LavaTarget
from targets.loihi import limits
from targets.loihi.lower import lower
from targets.loihi.program import FixedPopulation, Program
from targets.loihi.simulator import LoihiExecutable

STEPS, SAMPLES = 40, 3
ENGINES = {
    "events": {"kernels": "c"},
    "dense": {"kernels": "c", "products": "dense"},
    "torch": {"kernels": "torch"},
}
TIMEOUT_S = 600.0
SPACE = SpaceConfig(cells=(1, 4), widths=(4, 8, 12), max_halvings=1)


def searched(rng: np.random.Generator) -> SpikingGraph | None:
    """A balanced network of the search space; None where it stays silent."""
    shape = [(1, 8, 8), (2, 10, 10)][rng.integers(2)]
    task = Task(shape, classes=10, steps=STEPS)
    found = balance(decode(sample(rng, SPACE, task), task), events(rng, 4, shape))
    return found.graph if isinstance(found, Balanced) else None


def grown(rng: np.random.Generator) -> SpikingGraph:
    """Convolution, pooling and dense layers on pixels or a line, with a skip, a self-loop and feedback."""
    line = bool(rng.random() < 0.3)
    size = (20,) if line else (8, 8)
    convolution = nir.Conv1d if line else nir.Conv2d

    def conv(channels: int, out: int, stride: int = 1) -> nir.NIRNode:
        taps = (3,) * len(size)
        weight = rng.normal(size=(out, channels, *taps)) * 3 / np.sqrt(0.2 * channels * 3 ** len(size))
        given = size[0] if line else size
        return convolution(given, weight.astype("f4"), stride, 1, 1, 1, rng.normal(size=out) * 0.2)

    channels, halved = int(rng.integers(3, 14)), tuple(-(-n // 2) for n in size)
    shape, small = (channels, *size), (channels, *halved)
    nodes = {
        "input": nir.Input(np.array((2, *size))),
        "c1": conv(2, channels),
        "p1": neurons(rng, shape),
        "c2": conv(channels, channels, 2),
        "p2": neurons(rng, small),
        "skip": conv(2, channels, 2),
        "scale": nir.Scale(rng.uniform(-0.5, 0.5, small).astype("f4")),
        "loop": nir.Delay(np.full(small, 1e-3 * rng.integers(1, 9))),
        "flatten": nir.Flatten({"input": np.array(small)}, 0, -1),
        "dense": nir.Affine(rng.normal(size=(12, int(np.prod(small)))) * 0.3, rng.normal(size=12) * 0.1),
        "p3": neurons(rng, (12,)),
        "back": nir.Linear(rng.normal(size=(12, 12)) * 0.5),
        "wait": nir.Delay(np.full(12, 2e-3)),
        "output": nir.Output(np.array([12])),
    }
    edges = [("input", "c1"), ("c1", "p1"), ("p1", "c2"), ("c2", "p2"), ("input", "skip"), ("skip", "p2")]
    edges += [("p2", "scale"), ("scale", "loop"), ("loop", "p2"), ("p2", "flatten"), ("flatten", "dense")]
    edges += [("dense", "p3"), ("p3", "back"), ("back", "wait"), ("wait", "p3"), ("p3", "output")]
    if not line:
        two, none = np.array([2, 2]), np.array([0, 0])
        pool = (nir.SumPool2d, nir.AvgPool2d)[rng.integers(2)]
        quarter = (channels, *(n // 2 for n in halved))
        nodes |= {
            "pool": pool(two, two, none),
            "flat": nir.Flatten({"input": np.array(quarter)}, 0, -1),
            "w": nir.Linear(rng.normal(size=(12, int(np.prod(quarter)))) * 0.3),
        }
        edges += [("p2", "pool"), ("pool", "flat"), ("flat", "w"), ("w", "p3")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


def neurons(rng: np.random.Generator, shape: tuple[int, ...]) -> nir.NIRNode:
    """IF, LIF or CubaLIF, with thresholds of their own."""
    one = np.ones(shape, np.float32)
    fire = {"v_threshold": rng.uniform(0.7, 1.3, shape).astype("f4"), "v_reset": 0 * one}
    tau, synapse = rng.uniform(2e-3, 2e-2, 2)
    return (
        lambda: nir.IF(r=one * 1e3, **fire),
        lambda: nir.LIF(tau=one * tau, r=one, v_leak=0.1 * one, **fire),
        lambda: nir.CubaLIF(
            tau_syn=one * synapse, tau_mem=one * tau, r=one, v_leak=0 * one, w_in=one * 2, **fire
        ),
    )[rng.integers(3)]()


def events(rng: np.random.Generator, samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """Spikes [T, samples, *shape]."""
    return (rng.random((STEPS, samples, *shape)) < rng.uniform(0.05, 0.4)).astype(np.float32)


def at_limits(program: Program, rng: np.random.Generator) -> Program:
    """The program with sums that wrap 24 bits, once as Lava does, and membranes that are clipped."""
    populations = tuple(_extreme(p, rng) for p in program.populations)
    hops = []
    for hop in program.hops:
        into = [h for h in program.hops if h.target == hop.target]
        reach = sum(int(abs(h.matrix).sum(axis=1).max()) for h in into if h.matrix.nnz)
        room = int(np.log2(2 ** (limits.STATE_BITS - limits.STATE_SHIFT) / max(reach, 1)))
        hops.append(dataclasses.replace(hop, exponent=max(room, 0)))
    return dataclasses.replace(program, populations=populations, hops=tuple(hops))


def _extreme(population: FixedPopulation, rng: np.random.Generator) -> FixedPopulation:
    widest = limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX
    return dataclasses.replace(
        population,
        du=int(rng.choice([0, 5, 900, 4095])),
        dv=int(rng.choice([0, 1, 700, 4095])),
        vth=int(rng.choice([1, 2**12, limits.THRESHOLD_MAX])),
        bias_u=np.zeros_like(population.bias_u),
        bias_v=rng.choice([-widest, -1, 0, 1, widest], population.bias_v.shape),
    )


def draw(number: int, seed: int) -> tuple[Program, np.ndarray]:
    """Program `number` and its input."""
    for attempt in range(100):
        rng = np.random.default_rng([seed, number, attempt])
        graph = searched(rng) if number % 4 < 2 else grown(rng)
        if graph is None:
            continue
        try:
            program = lower(graph, int(rng.integers(2, 9)))
        except MsenasError as error:
            print(f"network {number}: {str(error).splitlines()[-1].strip()}; drawn again", file=sys.stderr)
            continue
        x = events(rng, SAMPLES, graph.shapes["input"])
        return (at_limits(program, rng) if number % 2 else program), x
    raise AssertionError(f"network {number}: no graph can be lowered")


def compared(program: Program, x: np.ndarray, engines: list[str]) -> Counter[str]:
    """Values compared and differing in one network, and how often its limits were met."""
    names = list(program.graph.populations)
    options = LavaOptions("fixed", TIMEOUT_S, program)
    lava = LavaTarget().compile(program.graph, options).run(x, record=names, states=True)
    found: Counter[str] = Counter(networks=1)
    for engine in engines:
        ours = LoihiExecutable(program, **ENGINES[engine]).run(x, record=names, states=True)
        for name in names:
            found["differing_s"] += int((ours.spikes[name] != lava.spikes[name]).sum())
            for kind in "uv":
                found[f"differing_{kind}"] += int((ours.states[name][kind] != lava.states[name][kind]).sum())
    for name in names:
        found["neuron_steps"] += lava.spikes[name].size
        found["spikes"] += int(lava.spikes[name].sum())
        found["clipped"] += int((abs(lava.states[name]["v"]) == limits.STATE_MAX).sum())
        found["near_the_wrap"] += int((abs(lava.states[name]["u"]) > 2**22).sum())
    found.update(f"model_{type(program.graph.nodes[n]).__name__}" for n in names)
    return found


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Totals over all networks."""
    total: Counter[str] = Counter()
    number, began = 0, time.perf_counter()
    while total["networks"] < options.networks or total["neuron_steps"] < options.neuron_steps:
        program, x = draw(number, options.seed)
        found = compared(program, x, options.engines)
        total += found
        differing = [found[f"differing_{kind}"] for kind in "suv"]
        print(
            f"{number}: {found['neuron_steps']} neuron-steps, differing s, u, v {differing}", file=sys.stderr
        )
        number += 1
    keys = ["networks", "neuron_steps", *(f"differing_{kind}" for kind in "suv")]
    return {key: total[key] for key in keys} | dict(total) | {"seconds": time.perf_counter() - began}


def main() -> int:
    """Run from the command line; 1 where a value differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--neuron-steps", type=int, default=10**7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", nargs="+", choices=[*ENGINES], default=["events", "dense"])
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    found = study(options)
    if options.format == "json":
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{key:20} {value}" for key, value in found.items()))
    return int(any(found[f"differing_{kind}"] for kind in "suv"))


if __name__ == "__main__":
    sys.exit(main())
