"""A cyclic component by the C kernels: its steps as plain calls, and their gradient written by hand.

One differentiable function for all steps of the component, so that nothing is taped step by step. The
values and gradients are those of `targets.reference.cycle`, which runs whatever hooks look into.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import nir
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from targets.graph.shapes import Shape
from targets.reference.kernels.layout import channels_first, channels_last
from targets.reference.kernels.program import Program
from targets.reference.operations import Applied, Dense, Gathered, Integrated
from targets.reference.scan import State
from targets.reference.signals import Computed, Delayed, Given, Signal, Sum
from targets.reference.values import Carry, Values, summed

if TYPE_CHECKING:
    from targets.reference.cycle import Cycle
    from targets.reference.network import ReferenceNetwork


class FusedRun:
    """One run of component `cycle` over the steps of `values`.

    Attributes:
        inputs: the tensors it depends on; their gradients come from `sources`, in this order.
    """

    def __init__(
        self,
        network: ReferenceNetwork,
        cycle: Cycle,
        values: Values,
        external: Mapping[str, Tensor],
        carry: Carry,
        counts: Mapping[str, Tensor],
        record: Collection[str],
        asked: Collection[str],
    ) -> None:
        self.network, self.cycle, self.outputs, self.external = network, cycle, values.outputs, external
        self.carry, self.counts, self.record, self.asked = carry, counts, record, asked
        first = next(iter(values.outputs.values()))
        self.steps, self.batch = first.shape[:2]
        self.inputs: list[Tensor] = []
        self.sources: list[Callable[[], list[Tensor | None]]] = []
        self.given: dict[str, Given] = {}
        self.training = torch.is_grad_enabled() and self._needs_gradient()
        into_delays = {s for name in cycle.delays for s in cycle.inner[name]}
        self.every = {*asked, *into_delays, *(cycle.order if self.training else ())}
        self.delayed = {name: self._delayed(name) for name in cycle.delays}
        self.integrated: dict[str, Integrated] = {}
        self.signals: dict[str, Signal] = {**self.delayed}
        self.computed: list[Computed] = []
        for name in cycle.order:
            if name not in cycle.delays:
                self.signals[name] = made = self._made(name)
                self.computed.append(made)
        for name in cycle.delays:
            self.delayed[name].of(self._source(name, every=True))
        # What the backward pass holds must not hold the results.
        del self.carry, self.outputs, self.external

    def run(self, values: Values, carry: Carry) -> None:
        """All steps; outputs, recorded states and the carry are brought up to date."""
        inputs, self.inputs = self.inputs, []
        found = iter(_Fused.apply(self, *inputs) if self.training else self.forward())  # type: ignore[no-untyped-call]
        values.outputs.update({name: next(found) for name in self.asked})
        for name, population in self.integrated.items():
            u = next(found) if population.population.synapse else None
            carry.states[name] = State(u, next(found))
            if name in self.record:
                assert population.u is None or u is not None
                every = None if population.u is None else channels_first(population.u[1:], 2)
                values.states[name] = State(every, channels_first(population.v[1:], 2))
        for name in self.delayed:
            carry.held[name] = next(found)

    @torch.no_grad()
    def forward(self) -> list[Tensor]:
        """Outputs asked for, last states (u where there is one, v), and what each Delay holds."""
        self._program().forward(self.steps)
        found = [channels_first(self.signals[name].stacked(), 2) for name in self.asked]
        for population in self.integrated.values():
            population.count()
            found += [channels_first(state.clone(), 1) for state in population.last if state is not None]
        return found + [channels_first(delay.after(), 2) for delay in self.delayed.values()]

    def everything(self) -> list[Signal]:
        return [*self.given.values(), *self.delayed.values(), *self.computed]

    def close(self) -> list[Tensor | None]:
        """Every tensor that the backward pass reads, of which the run lets go."""
        return [tensor for signal in self.everything() for tensor in signal.close()]

    def backward(self, kept: tuple[Tensor | None, ...], gradients: tuple[Tensor | None, ...]) -> list[Any]:
        """Gradients of `inputs` from those of what `forward` found."""
        tensors = iter(kept)
        for signal in self.everything():
            signal.reopen(tensors)
            signal.begin_backward()
        self._begin_backward(iter(gradients))
        self._program().backward(self.steps)
        found = [gradient for source in self.sources for gradient in source()]
        self.close()
        return found

    def _program(self) -> Program:
        return Program(self.computed, self.batch, self.network.dtype)

    def _begin_backward(self, gradients: Any) -> None:
        for name in self.asked:
            gradient = next(gradients)
            if gradient is not None:
                self.signals[name].ask(channels_last(gradient, 2))
        for population in self.integrated.values():
            for state in (population.to_u, population.to_v):
                gradient = None if state is None else next(gradients)
                if state is not None and gradient is not None:
                    channels_first(state, 1).copy_(gradient)
        for delay in self.delayed.values():
            gradient = next(gradients)
            if gradient is not None:
                delay.ask(channels_last(gradient, 2), self.steps)

    def _needs_gradient(self) -> bool:
        network, cycle = self.network, self.cycle
        outside = (self.outputs[s] for sources in cycle.outer.values() for s in sources)
        parameters = (p for n in cycle.order for p in (network.weights.get(n), network.biases.get(n)))
        states = (
            x for n in cycle.order if n in self.carry.states for x in vars(self.carry.states[n]).values()
        )
        held = (self.carry.held.get(n) for n in cycle.delays)
        every = (*outside, *self.external.values(), *parameters, *states, *held)
        return any(x is not None and x.requires_grad for x in every)

    def _takes(self, tensors: list[Tensor], source: Callable[[], list[Tensor | None]]) -> None:
        self.inputs += tensors
        self.sources.append(source)

    def _delayed(self, name: str) -> Delayed:
        held = self.carry.held.get(name)
        if held is None:
            shape = (self.cycle.delays[name], self.batch, *self.network.graph.shapes[name])
            held = torch.zeros(shape, dtype=self.network.dtype)
        delayed = Delayed(held, self.steps)
        self._takes([held], lambda: [delayed.gradient()])
        return delayed

    def _outside(self, key: str, whole: Tensor) -> Given:
        if key not in self.given:
            self.given[key] = made = Given(whole)
            self._takes([whole], lambda: [made.gradient()])
        return self.given[key]

    def _source(self, name: str, every: bool = False) -> Signal:
        """The summed input of a node, in edge order where no transform splits it."""
        inner, outputs = self.cycle.inner[name], self.outputs
        if name in self.network.transforms:
            outside = (
                self._outside(f"{name} from outside", self.external[name]) if name in self.external else None
            )
            if not inner:
                assert outside is not None
                return outside
            return self._sum(name, [self.signals[s] for s in inner], outside, every)
        sources = self.network.graph.predecessors[name]
        inside = [s in inner for s in sources]
        ahead = inside.index(True) if True in inside else len(sources)
        terms: list[Signal] = []
        if ahead:
            total = summed(outputs[s] for s in sources[:ahead])
            terms = [self._outside(" + ".join(sources[:ahead]), total)]
        for source in sources[ahead:]:
            terms.append(self.signals[source] if source in inner else self._outside(source, outputs[source]))
        return terms[0] if len(terms) == 1 else self._sum(name, terms, None, every)

    def _sum(self, name: str, terms: list[Signal], outside: Signal | None, every: bool) -> Sum:
        inputs = self.network.graph.input_shape(name)
        factor = None
        if name in self.network.transforms:
            one = torch.ones((1, *inputs), dtype=self.network.dtype)
            factor = self.network.transforms[name].internal(one)[0]
        shape, kept = self._shape(inputs), every or self.training
        total = Sum(terms, outside, factor, self.steps, shape, kept, self.network.dtype)
        if factor is not None:
            self._takes([factor], total.gradients)
        self.computed.append(total)
        return total

    def _shape(self, shape: Shape) -> tuple[int, ...]:
        """Of one step of a value [channels, *size], as it lies here."""
        return (self.batch, *shape[1:], *shape[:1])

    def _made(self, name: str) -> Computed:
        network, source, every = self.network, self._source(name), name in self.every
        node, shape = network.graph.nodes[name], self._shape(network.graph.shapes[name])
        if name in network.coefficients:
            self.integrated[name] = integrated = self._integrated(name, source, shape, every)
            return integrated
        parameters = [p for p in (network.weights.get(name), network.biases.get(name)) if p is not None]
        synapse = network.synapses.get(name)
        made: Computed
        if synapse is not None:
            bias = network.biases.get(name)
            made = Gathered(synapse, source, parameters[0], bias, self.steps, shape, every)
        elif isinstance(node, nir.Affine | nir.Linear) and len(shape) == 2:
            made = Dense(source, parameters[0], network.biases.get(name), self.steps, shape, every)
        else:
            made = Applied(node, source, parameters, self.steps, shape, every, network.dtype)
        if parameters:
            self._takes(list(parameters), made.gradients)
        return made

    def _integrated(self, name: str, source: Signal, shape: tuple[int, ...], every: bool) -> Integrated:
        population = self.network.coefficients[name].population
        assert population is not None
        before = self.carry.states.get(name)
        state = (None, None) if before is None else (before.u, before.v)
        history = self.training or name in self.record
        made = Integrated(
            population, source, state, self.counts.get(name), self.steps, shape, (every, history)
        )
        given = [(x, key) for x, key in zip(state, ("to_u", "to_v"), strict=True) if x is not None]
        self._takes(
            [x for x, _ in given], lambda: [channels_first(getattr(made, key), 1) for _, key in given]
        )
        return made


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: FusedRun, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = run.forward()
        ctx.run, ctx.inputs = run, len(inputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *run.close())
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        run = ctx.run
        kept = ctx.saved_tensors[ctx.inputs :]
        return None, *run.backward(kept, gradients)
