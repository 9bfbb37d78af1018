"""Networks of SpikeNAS-Bench as graphs, run untrained by the reference executor.

A row names six operations, one for each edge of a cell (`Cell`); `graph` is the network for 32 x 32
colour images up to its last population, narrower than there. `answer` runs it. What differs from the bench:

* Width: `channels` in place of 128, and twice as many in the second cell. The head (two dense layers)
  is left out.
* Operations on no path from the input to the output do not exist: they compute nothing that the network
  could use, and every network of our own space is on such paths. A cell without any path is dead.
* Batch norm has the statistics of the batch at hand, over samples, steps and pixels, as at
  initialisation in training mode. It acts through the executor's hooks: on the output of each
  convolution, and on the current into the two populations that follow it directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msenas_hw.fitness import Recording
from targets import SpikingGraph
from targets.reference.hooks import Apply, Hooks
from targets.reference.network import ReferenceNetwork

EDGES = ("01", "02", "03", "12", "13", "23")
PATHS = (("03",), ("01", "13"), ("02", "23"), ("01", "12", "23"))
NONE, IDENTITY = 0, 1
THRESHOLDS: Mapping[int, float] = {2: 0.5, 3: 1.0, 4: 1.5}
TAU = 4 / 3
SIDE, STEPS = 32, 5
EPSILON = 1e-5
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Cell:
    """Operations of the edges of `EDGES`; 0 none, 1 identity, 2 to 4 LIF and convolution."""

    operations: tuple[int, ...]

    def used(self) -> Cell:
        """The same function, without operations on no path from node 0 to node 3."""
        on = dict(zip(EDGES, self.operations, strict=True))
        open_paths = [path for path in PATHS if all(on[edge] != NONE for edge in path)]
        kept = {edge for path in open_paths for edge in path}
        return Cell(tuple(on[edge] if edge in kept else NONE for edge in EDGES))

    @property
    def alive(self) -> bool:
        """Whether any path leads through."""
        return any(self.used().operations)

    @property
    def convolutions(self) -> int:
        """Number of LIF and convolution operations."""
        return sum(operation in THRESHOLDS for operation in self.operations)


def images(path: str, count: int, seed: int) -> NDArray[np.float32]:
    """Standardised training images [count, 3, 32, 32], drawn at random."""
    with np.load(path) as file:
        x = file["Xtr"]
    chosen = np.random.default_rng(seed).choice(len(x), count, replace=False)
    scaled = (x[np.sort(chosen)] / 255.0 - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


class _Builder:
    """Nodes and edges so far; a value is `{node: how often it is added}`."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([3, SIDE, SIDE])})}
        self.edges: list[tuple[str, str]] = []

    def into(
        self, name: str, node: nir.NIRNode, value: Mapping[str, int], shape: tuple[int, ...]
    ) -> dict[str, int]:
        """Add a node that reads a value [*shape], and give its own."""
        for source, times in value.items():
            last = source
            if times > 1:  # an edge is there once, so identity paths that meet become a factor
                last = f"{source}.x{times}"
                if last not in self.nodes:
                    self.nodes[last] = nir.Scale(np.full(shape, times, np.float32))
                    self.edges.append((source, last))
            self.edges.append((last, name))
        self.nodes[name] = node
        return {name: 1}

    def convolution(
        self, name: str, value: Mapping[str, int], inputs: int, outputs: int, side: int
    ) -> dict[str, int]:
        """3 x 3, Kaiming uniform with a = 2."""
        bound = np.sqrt(6 / ((1 + 2**2) * 9 * inputs))
        weight = self.rng.uniform(-bound, bound, (outputs, inputs, 3, 3)).astype(np.float32)
        node = nir.Conv2d(None, weight, 1, 1, 1, 1, np.zeros(outputs, np.float32))
        return self.into(name, node, value, (inputs, side, side))

    def population(
        self, name: str, value: Mapping[str, int], threshold: float, shape: tuple[int, ...]
    ) -> dict[str, int]:
        one = np.ones(shape, np.float32)
        node = nir.LIF(tau=TAU * one, r=one, v_leak=0 * one, v_threshold=threshold * one, v_reset=0 * one)
        return self.into(name, node, value, shape)

    def cell(
        self, name: str, cell: Cell, x0: Mapping[str, int], shape: tuple[int, int, int]
    ) -> dict[str, int]:
        """Node 3 of a cell that begins with `x0` [*shape]."""
        values: list[dict[str, int]] = [dict(x0), {}, {}, {}]
        for edge, operation in zip(EDGES, cell.operations, strict=True):
            source, target = values[int(edge[0])], values[int(edge[1])]
            if operation == IDENTITY:
                out = source
            elif operation in THRESHOLDS:
                spikes = self.population(f"{name}.{edge}", source, THRESHOLDS[operation], shape)
                out = self.convolution(f"{name}.{edge}.conv", spikes, shape[0], shape[0], shape[1])
            else:
                out = {}
            for node, times in out.items():
                target[node] = target.get(node, 0) + times
        return values[3]


def graph(cell: Cell, channels: int, draw: int) -> SpikingGraph:
    """The network of a cell that is alive and used (`Cell.used`), with the weights of a draw."""
    build = _Builder(np.random.default_rng([draw, *cell.operations]))
    wide, half = (channels, SIDE, SIDE), (2 * channels, SIDE // 2, SIDE // 2)
    x = build.convolution("stem", {"input": 1}, 3, channels, SIDE)
    x = build.cell("cell1", cell, x, wide)
    x = build.population("middle", x, 1.0, wide)
    x = build.convolution("middle.conv", x, channels, 2 * channels, SIDE)
    x = build.into("pool", nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), x, half)
    x = build.cell("cell2", cell, x, half)
    x = build.population("end", x, 1.0, half)
    build.into("output", nir.Output({"output": np.array(half)}), x, half)
    return SpikingGraph.build(build.nodes, build.edges, {"dt": 1.0, "comparison": ">="})


class BatchNorm(Hooks):
    """Batch statistics on every convolution's output and on the current into `middle` and `end`."""

    def synapse(self, name: str, x: Tensor, apply: Apply, first: bool) -> Tensor:
        """The normalised output of a convolution."""
        return standardised(apply(x))

    def current(self, name: str, current: Tensor) -> Tensor:
        """The current, normalised where batch norm comes before the neurons."""
        return standardised(current) if name in ("middle", "end") else current


def standardised(x: Tensor) -> Tensor:
    """`x` [T, B, C, H, W] with mean 0 and variance 1 in each channel."""
    variance, mean = torch.var_mean(x, dim=(0, 1, 3, 4), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + EPSILON)
    return x * scale - mean * scale


@torch.no_grad()
def answer(network: SpikingGraph, x: NDArray[np.float32]) -> Recording:
    """Spikes and potentials for images [B, 3, 32, 32], shown for all steps."""
    run = ReferenceNetwork(network, hooks=BatchNorm())
    run.requires_grad_(False)
    shown = torch.from_numpy(x).expand(STEPS, *x.shape)
    values = run({"input": shown}, states=network.populations, keep=network.populations)
    names = network.populations
    return Recording(
        {name: values.outputs[name].numpy() for name in names},
        {name: values.states[name].v.numpy() for name in names},
    )


def draws(cell: Cell, channels: int, count: int, x: NDArray[np.float32]) -> Iterator[Recording]:
    """What each weight draw of a network shows."""
    for draw in range(count):
        yield answer(graph(cell, channels, draw), x)
