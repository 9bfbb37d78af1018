"""What flows between the populations of a network: spikes as bytes, and the currents that they make.

A `Flow` gives the current into any population from the spikes of those before it, and runs the whole
network a few samples at a time, so that currents and membranes stay in the cache. Spikes are added up by the
kernels of `targets.reference.kernels.spikes`, whatever their density: the sums are those of the reference
executor in another order. What those kernels do not know, it runs.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msenas_hw.fitness.membranes import Membranes
from targets.checks import check_input
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION
from targets.graph.shapes import Shape
from targets.reference import stateless
from targets.reference.cycle import Cycle
from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather, Geometry
from targets.reference.kernels.layout import channels_first
from targets.reference.kernels.memory import array, empty
from targets.reference.kernels.population import Population
from targets.reference.kernels.spikes import ByteSynapse, Fed, Movement, Part, peak, run
from targets.reference.scan import Coefficients, scan
from targets.reference.target import ReferenceOptions, ReferenceTarget
from targets.reference.values import delayed, summed
from targets.run import Run

# Spikes (uint8) or values (float32) of Inputs and populations, [T, B, *size, channels]; T = 1 where constant.
Signals = dict[str, Tensor]
# Bytes of the current into the largest population that one block takes.
_BLOCK_BYTES = 1 << 23


@dataclass(frozen=True)
class Link:
    """One edge into a population, back to what fires.

    Attributes:
        last: the node that the population reads.
        sources: Inputs and populations that it comes from.
        synapse: what adds up the spikes of the only source; None where torch computes the link.
        delay: steps, after the synapse.
        cut: a Delay lies on it; of several sources, `Flow.dense` looks for itself.
        nodes: what lies on it.
    """

    last: str
    sources: frozenset[str]
    synapse: ByteSynapse | None
    delay: int
    cut: bool
    nodes: tuple[str, ...] = ()

    def scaled(self, factors: Sequence[np.float32]) -> Link:
        """The same with the weights on it multiplied by `factors`, one after the other."""
        if self.synapse is None or not factors:
            return self
        weight = self.synapse.weight
        for factor in factors:
            weight = weight * factor.item()
        return replace(self, synapse=replace(self.synapse, weight=weight))

    @property
    def source(self) -> str:
        (found,) = self.sources
        return found


class Flow:
    """The network `graph` with float32 parameters; its only Output reads one population."""

    def __init__(self, graph: SpikingGraph) -> None:
        self.graph = graph
        self.coefficients = {n: Coefficients.of(dynamics(graph, n), torch.float32) for n in graph.populations}
        self.packed = {n: _packed(c) for n, c in self.coefficients.items()}
        self.links = {n: [_link(graph, last) for last in graph.predecessors[n]] for n in graph.populations}

    def scaled(self, factors: Mapping[str, float]) -> Flow:
        """The same with every weight into population p multiplied by factors[p], in float32."""
        found = copy.copy(self)
        nodes = dict(self.graph.nodes)
        scaled = [(name, np.float32(f)) for p, f in factors.items() for name in self.graph.synapses_into(p)]
        for name, factor in scaled:
            nodes[name] = replace_weight(nodes[name], factor * nodes[name].weight)
        found.graph = self.graph.replace(nodes=nodes)
        found.links = {
            p: [link.scaled([f for name, f in scaled if name in link.nodes]) for link in links]
            for p, links in self.links.items()
        }
        return found

    def read(self, x: NDArray[np.generic]) -> Signals:
        """Input [T, B, *shape] as it flows."""
        return {self.graph.inputs[0]: _signal(x)}

    def room(self, population: str, steps: int, samples: int) -> Tensor:
        """Spikes of a population, not yet known."""
        shape = self.graph.shapes[population]
        return torch.from_numpy(array((steps, samples, *shape[1:], *shape[:1]), np.dtype(np.uint8)))

    def current(
        self, population: str, signals: Mapping[str, Tensor], steps: int, here: slice, cut: bool = False
    ) -> Tensor | None:
        """Summed current [T, samples, *size, channels] into a population; None where nothing reaches it.

        Args:
            here: the samples.
            cut: leave out whatever passes a Delay, or comes from a population that is not in `signals`.
        """
        total = None
        for link in self.links[population]:
            if not self.takes(link, signals):
                part = self.dense(link.last, signals, steps, here, cut)
                if part is not None:
                    part = _laid(part.expand(steps, *part.shape[1:]), 2)
                    total = part.clone() if total is None else total.add_(part)
            elif not (cut and link.cut):
                total = self._add(link, signals[link.source][:, here], total, self.graph.shapes[population])
        return total

    def takes(self, link: Link, signals: Mapping[str, Tensor]) -> bool:
        """Whether the kernels add up a link; else torch computes it."""
        if link.synapse is None:
            return False
        spikes = signals.get(link.source)
        return spikes is not None and spikes.dtype == torch.uint8

    def _add(self, link: Link, spikes: Tensor, total: Tensor | None, shape: Shape) -> Tensor:
        """`total`, or none, and what `spikes` bring over a link to a population of `shape`."""
        assert link.synapse is not None
        steps, samples = spikes.shape[:2]
        first = total is None and link.delay == 0
        if total is None:
            total = empty((steps, samples, *shape[1:], *shape[:1]), torch.float32)
            if link.delay:
                total.zero_()
        if link.delay < steps:
            link.synapse.add(spikes[: steps - link.delay], total[link.delay :], first)
        return total

    def dense(
        self, name: str, signals: Mapping[str, Tensor], steps: int, here: slice, cut: bool = False
    ) -> Tensor | None:
        """What a node gives, [T or 1, samples, *shape]; None where nothing reaches it."""
        if name in signals:
            return channels_first(signals[name][:, here], 2).to(torch.float32)
        node = self.graph.nodes[name]
        if name in self.links or (cut and isinstance(node, nir.Delay)):
            return None
        found = (self.dense(s, signals, steps, here, cut) for s in self.graph.predecessors[name])
        parts = [part for part in found if part is not None]
        if not parts:
            return None
        total = summed(parts)
        if isinstance(node, nir.Delay):
            return delayed(total.expand(steps, *total.shape[1:]), self.graph.delay_steps(name))
        out = stateless.apply(node, total.flatten(0, 1))
        return out.reshape(*total.shape[:2], *out.shape[1:])

    def run(self, x: NDArray[np.generic], membranes: Membranes | None) -> Run:
        """Run `x` [T, B, *input]; spikes of the Input and of every population are recorded."""
        if not self._known():
            executable = ReferenceTarget().compile(self.graph, ReferenceOptions())
            return executable.watch(x, (*self.graph.inputs, *self.graph.populations), membranes)
        return _Pass(self, check_input(self.graph, x, ()), membranes).run()

    def recorded(self, run: Run) -> Signals:
        """The signals of a run of this network."""
        return {name: _signal(run.spikes[name]) for name in (*self.graph.inputs, *self.links)}

    def fired(self, population: str, current: Tensor) -> Tensor:
        """Signal of a population on `current` [T, B, *size, channels]."""
        packed = self.packed[population]
        if packed is None:
            scanned = scan(self.coefficients[population], channels_first(current, 2))
            return _signal(scanned.outputs.numpy())
        spikes = torch.empty(current.shape, dtype=torch.uint8)
        run([Part(packed, [Fed(current)], spikes, torch.zeros(current.shape[2:], dtype=torch.int64))], False)
        return spikes

    def _known(self) -> bool:
        """Whether the kernels know every population, and every link of a cycle."""
        for component in self.graph.components:
            inside, cyclic = set(component), component[0] in self.graph.cyclic
            for name in inside.intersection(self.links):
                looped = (link for link in self.links[name] if link.sources & inside)
                if self.packed[name] is None or (cyclic and any(link.synapse is None for link in looped)):
                    return False
        return True


class _Pass:
    """One run of a network, block by block."""

    def __init__(self, flow: Flow, x: NDArray[np.generic], membranes: Membranes | None) -> None:
        self.flow, self.graph, self.x, self.membranes = flow, flow.graph, x, membranes
        self.started = time.perf_counter()
        self.steps, self.samples = x.shape[:2]
        self.signals = flow.read(x)
        self.signals.update({n: flow.room(n, self.steps, self.samples) for n in self.graph.populations})
        self.counts = {n: torch.zeros(self.signals[n].shape[2:], dtype=torch.int64) for n in flow.links}
        # Populations in the order of a step, with whether they step together.
        self.order: list[tuple[list[str], bool]] = []
        for component in self.graph.components:
            cyclic = component[0] in self.graph.cyclic
            names = Cycle.of(self.graph, component).order if cyclic else component
            if populations := [n for n in names if n in flow.links]:
                self.order.append((populations, cyclic))

    def run(self) -> Run:
        largest = max(math.prod(shape) for shape in self.graph.shapes.values())
        size = max(_BLOCK_BYTES // (4 * largest * self.steps), 1)
        for at in range(0, self.samples, size):
            here = slice(at, min(at + size, self.samples))
            for names, cyclic in self.order:
                self._component(names, cyclic, here)
        return self._result()

    def _component(self, names: list[str], cyclic: bool, here: slice) -> None:
        """A population, or all of a cycle."""
        parts = [self._part(name, here) for name in names]
        run(parts, cyclic)
        for name, part in zip(names, parts, strict=True):
            if self.membranes is not None:
                every = None if part.every is None else channels_first(part.every, 2)
                self.membranes.saw(name, part.spikes.shape[1], every)

    def _part(self, name: str, here: slice) -> Part:
        population, spikes = self.flow.packed[name], self.signals[name][:, here]
        assert population is not None
        fed = [self._fed(link, here) for link in self.flow.links[name]]
        if self.membranes is None:
            return Part(population, fed, spikes, self.counts[name])
        every = empty(spikes.shape, torch.float32) if self._kept(here) else None
        movement = self.membranes.movement(name)
        assert isinstance(movement, Movement)
        return Part(population, fed, spikes, self.counts[name], every, movement)

    def _fed(self, link: Link, here: slice) -> Fed:
        if self.flow.takes(link, self.signals):
            return Fed(self.signals[link.source][:, here], link.synapse, link.delay)
        dense = self.flow.dense(link.last, self.signals, self.steps, here)
        assert dense is not None
        return Fed(_laid(dense.expand(self.steps, *dense.shape[1:]), 2))

    def _kept(self, here: slice) -> bool:
        """Whether the potentials of some of these samples are asked for."""
        return self.membranes is not None and here.start < self.membranes.samples

    def _result(self) -> Run:
        (source,), (output,) = self.graph.inputs, self.graph.outputs
        spikes = {n: channels_first(self.signals[n], 2).numpy() for n in self.flow.links}
        counts = {n: channels_first(count, 0).numpy() for n, count in self.counts.items()}
        read = np.asarray(self.x, dtype=np.float32)
        return Run(
            outputs={output: spikes[self.graph.predecessors[output][0]].astype(np.float32)},
            spike_counts={source: np.count_nonzero(read, axis=(0, 1)).astype(np.int64), **counts},
            spikes={source: read, **spikes},
            ran_on=f"reference (torch {torch.__version__}, float32, C kernels, spikes as bytes)",
            seconds=time.perf_counter() - self.started,
            steps=self.steps,
            samples=self.samples,
        )


def replace_weight(node: nir.NIRNode, weight: NDArray[np.float32]) -> nir.NIRNode:
    """A copy of a synapse node with another weight."""
    fields: dict[str, Any] = {key: value for key, value in vars(node).items() if key not in _DERIVED}
    return type(node)(**{**fields, "weight": weight})


_DERIVED = ("input_type", "output_type")


def _packed(c: Coefficients) -> Population | None:
    """None where a population can do more than fire once a step."""
    return c.population if c.binary else None


def peaks(c: Coefficients, current: Tensor) -> Tensor:
    """Largest membranes over the steps of `current` [T, B, *size, channels] where nothing fires."""
    if c.population is None:
        silent = replace(c, threshold=None, reset=None)
        return _laid(scan(silent, channels_first(current, 2)).outputs.amax(0), 1)
    return peak(c.population, current)


def _laid(x: Tensor, lead: int) -> Tensor:
    """`x` [*lead, channels, *size] as a contiguous [*lead, *size, channels]; as `layout`, without kernels."""
    return x.movedim(lead, -1).contiguous()


def _signal(x: NDArray[np.generic]) -> Tensor:
    """Values [T, B, *shape] as they flow: bytes where all are 0 or 1, one step where all steps are alike."""
    values = torch.from_numpy(np.asarray(x))
    if values.dtype != torch.uint8:
        values = values.to(torch.float32)
        if bool(((values == 0) | (values == 1)).all()):
            values = values.to(torch.uint8)
        elif bool((values == values[:1]).all()):
            values = values[:1]
    return _laid(values, 2)


def _link(graph: SpikingGraph, last: str) -> Link:
    """The link that ends in node `last`."""
    chain = [last]
    while len(sources := graph.predecessors[chain[0]]) == 1 and not _fires(graph, chain[0]):
        chain.insert(0, sources[0])
    source, nodes = chain[0], [graph.nodes[name] for name in chain[1:]]
    if not _fires(graph, source):
        return Link(last, _sources(graph, source), None, 0, False)
    delays = [name for name in chain if isinstance(graph.nodes[name], nir.Delay)]
    before = nodes[: len(nodes) - len(delays)]
    # A Delay in front of a bias would hold it back as well.
    added = kernels().library is not None and not any(isinstance(node, nir.Delay) for node in before)
    synapse = _synapse(before, graph.shapes[source], graph.shapes[last]) if added else None
    delay = sum(map(graph.delay_steps, delays))
    return Link(last, frozenset([source]), synapse, delay, bool(delays), tuple(chain[1:]))


def _fires(graph: SpikingGraph, name: str) -> bool:
    return name in graph.inputs or isinstance(graph.nodes[name], POPULATION)


def _sources(graph: SpikingGraph, name: str) -> frozenset[str]:
    """Inputs and populations that a stateless node comes from."""
    found, waiting = set[str](), [name]
    while waiting:
        for source in graph.predecessors[waiting.pop()]:
            if _fires(graph, source):
                found.add(source)
            else:
                waiting.append(source)
    return frozenset(found)


def _synapse(nodes: Sequence[nir.NIRNode], shape: Shape, out_shape: Shape) -> ByteSynapse | None:
    """A convolution, or a matrix on all neurons; None for anything else."""
    if len(nodes) == 1:
        gather = Gather.of("c", nodes[0], shape, out_shape)
        if gather is not None:
            return ByteSynapse.of(gather, *_parameters(nodes[0]))
    *before, last = nodes or [None]
    if not isinstance(last, nir.Affine | nir.Linear) or not all(isinstance(n, nir.Flatten) for n in before):
        return None
    weight, bias = _parameters(last)
    if weight.shape[1] != math.prod(shape):
        return None
    rows = weight.view(len(weight), shape[0], -1).movedim(1, -1).reshape(*weight.shape, 1, 1)
    geometry = Geometry(weight.shape[1], 1, 1, len(weight), 1, 1, 1, 1, 1, 1, 0, 0, 1, 1)
    return ByteSynapse.of(Gather("c", geometry, (len(weight),)), rows, bias)


def _parameters(node: nir.NIRNode) -> tuple[Tensor, Tensor | None]:
    bias = stateless.tensor(node.bias, torch.float32) if hasattr(node, "bias") else None
    return stateless.tensor(node.weight, torch.float32), bias
