"""From the nodes of a graph to signals that read each other (`signals`, `operations`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nir
import torch
from torch import Tensor

from targets.graph.shapes import Shape, flat_axes
from targets.reference.operations import Applied, Dense, Flattened, Gathered, Integrated, Queued, Stacked
from targets.reference.signals import Computed, Delayed, Form, Given, Signal, Sum
from targets.reference.values import Asked, Carry

if TYPE_CHECKING:
    from targets.reference.cycle import Cycle
    from targets.reference.network import ReferenceNetwork


@dataclass
class Wiring:
    """The signals of nodes and cyclic components of `network`, as these are added.

    Attributes:
        steps, samples: of a run.
        carry: what it starts from.
        asked: what must be kept of all steps.
        outside: outputs of nodes that are not added.
        external: the summed input of a node from outside its component, where a transform takes it.
        training: whatever a backward pass reads is kept.
        signals: of the nodes.
        given: those from outside.
        computed: those that are worked out, in their order.
        stages: the numbers of those that run together, and their turns (`kernels.program`).
        made_from: signals with the tensors that their `gradients()` are of.
    """

    network: ReferenceNetwork
    steps: int
    samples: int
    carry: Carry
    asked: Asked
    outside: Mapping[str, Tensor]
    external: Mapping[str, Tensor] = field(default_factory=dict)
    training: bool = False
    signals: dict[str, Signal] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    computed: list[Computed] = field(default_factory=list)
    stages: list[tuple[int, int]] = field(default_factory=list)
    made_from: list[tuple[Signal, list[Tensor]]] = field(default_factory=list)
    bound: dict[str, Gathered | Dense | Applied] = field(default_factory=dict)
    integrated: dict[str, Integrated] = field(default_factory=dict)
    delays: dict[str, Delayed] = field(default_factory=dict)
    queues: dict[str, Queued] = field(default_factory=dict)

    @property
    def waiting(self) -> dict[str, Delayed | Queued]:
        """What Delays hold."""
        return {**self.delays, **self.queues}

    def add_node(self, name: str) -> None:
        """A node outside cycles, which takes all steps at once."""
        before, node = len(self.computed), self.network.graph.nodes[name]
        source = self._source(name, None)
        if isinstance(node, nir.Output):
            self.signals[name] = source
        elif isinstance(node, nir.Delay):
            self._queue(name, source)
        else:
            self.signals[name] = self._made(name, source, None, every=True)
        added = len(self.computed) - before
        if added and self.stages and self.stages[-1][1] == 1:
            added += self.stages.pop()[0]
        if added:
            self.stages.append((added, 1))

    def add_cycle(self, cycle: Cycle) -> None:
        """A component, step by step."""
        before = len(self.computed)
        delays = {name: self._delayed(name, lag) for name, lag in cycle.delays.items()}
        self.delays.update(delays)
        self.signals.update(delays)
        read_late = {source for name in delays for source in cycle.inner[name]}
        every = {*cycle.asked(self.asked.keep), *read_late}
        for name in cycle.order:
            if name not in delays:
                source = self._source(name, cycle)
                self.signals[name] = self._made(name, source, cycle, name in every)
        for name, delay in delays.items():
            delay.of(self._source(name, cycle, every=True))
        self.stages.append((len(self.computed) - before, self.steps))

    def _form(self, shape: Shape, cycle: Cycle | None, every: bool) -> Form:
        """For a value [channels, *size] as it lies here."""
        laid = (self.samples, *shape[1:], *shape[:1])
        return Form(self.steps, laid, self.network.dtype, every or self.training, cycle is None)

    def read(self, name: str) -> Given:
        """A node that is not added."""
        self.signals[name] = found = self._given(self.outside[name])
        return found

    def _signal(self, name: str, cycle: Cycle | None) -> Signal:
        found = self.signals[name] if name in self.signals else self.read(name)
        if cycle is None and isinstance(found, Delayed):
            # All steps at once must lie in a row.
            form = self._form(self.network.graph.shapes[name], None, True)
            self.signals[name] = found = Stacked(found, form)
            self.computed.append(found)
        return found

    def _given(self, whole: Tensor) -> Given:
        self.given.append(found := Given(whole))
        self.made_from.append((found, [whole]))
        return found

    def _source(self, name: str, cycle: Cycle | None, every: bool = False) -> Signal:
        """The summed input of a node, in edge order where no transform splits it."""
        network, factor = self.network, None
        if name in network.transforms and cycle is not None:
            outside = self._given(self.external[name]) if name in self.external else None
            if not cycle.inner[name]:
                assert outside is not None
                return outside
            one = torch.ones((1, *network.graph.input_shape(name)), dtype=network.dtype)
            factor = network.transforms[name].internal(one)[0]
            terms = [self.signals[source] for source in cycle.inner[name]]
        else:
            outside, terms = None, [self._signal(s, cycle) for s in network.graph.predecessors[name]]
            if len(terms) == 1:
                return terms[0]
        form = self._form(network.graph.input_shape(name), cycle, every)
        total = Sum(terms, outside, factor, form)
        if factor is not None:
            self.made_from.append((total, [factor]))
        self.computed.append(total)
        return total

    def _made(self, name: str, source: Signal, cycle: Cycle | None, every: bool) -> Computed:
        network, graph = self.network, self.network.graph
        node, form = graph.nodes[name], self._form(graph.shapes[name], cycle, every)
        if name in network.coefficients:
            found: Computed = self._population(name, source, form)
        elif isinstance(node, nir.Flatten) and _flattens_all(node, graph.input_shape(name)):
            found = Flattened(source, graph.input_shape(name)[0], form)
        else:
            found = self._stateless(name, source, form)
        self.computed.append(found)
        return found

    def _population(self, name: str, source: Signal, form: Form) -> Integrated:
        population = self.network.coefficients[name].population
        assert population is not None
        state = self.carry.states.get(name)
        given = (None, None) if state is None else (state.u, state.v)
        found = Integrated(population, source, form, self.training or name in self.asked.states)
        found.start(*given)
        self.integrated[name] = found
        self.made_from.append((found, [x for x in given if x is not None]))
        return found

    def _stateless(self, name: str, source: Signal, form: Form) -> Computed:
        network, node = self.network, self.network.graph.nodes[name]
        synapse = network.synapses.get(name)
        if synapse is not None:
            found: Gathered | Dense | Applied = Gathered(synapse, source, form)
        elif isinstance(node, nir.Affine | nir.Linear) and len(form.shape) == 2:
            found = Dense(source, form)
        else:
            found = Applied(node, source, form)
        if name in network.weights:
            self.bound[name] = found
        parameters = network.parameters_of(name)
        found.bind(*parameters)
        self.made_from.append((found, [*parameters]))
        return found

    def _delayed(self, name: str, lag: int) -> Delayed:
        held = self.carry.held.get(name)
        if held is None:
            shape = (lag, self.samples, *self.network.graph.shapes[name])
            held = torch.zeros(shape, dtype=self.network.dtype)
        delayed = Delayed(held, self.steps)
        self.made_from.append((delayed, [held]))
        return delayed

    def _queue(self, name: str, source: Signal) -> None:
        lag, shape = self.network.graph.delay_steps(name), self.network.graph.shapes[name]
        if lag == 0:
            self.signals[name] = source
            return
        queued = Queued(source, lag, self._form(shape, None, True))
        self.signals[name] = self.queues[name] = queued
        self.computed.append(queued)


def _flattens_all(node: nir.Flatten, shape: Shape) -> bool:
    return flat_axes(node, len(shape)) == (0, len(shape) - 1)
