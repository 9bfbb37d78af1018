"""A cyclic component by the C kernels: its steps as plain calls, and their gradient written by hand.

One differentiable function for all steps of the component, so that nothing is taped step by step. The
values and gradients are those of `targets.reference.cycle`, which runs whatever hooks look into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from targets.reference.kernels.layout import channels_first, channels_last
from targets.reference.kernels.program import Program
from targets.reference.scan import State
from targets.reference.signals import Signal
from targets.reference.values import Asked, Carry, Values
from targets.reference.wiring import Wiring

if TYPE_CHECKING:
    from targets.reference.cycle import Cycle
    from targets.reference.network import ReferenceNetwork


class FusedRun:
    """One run of component `cycle` over the steps of `values`; `external` as of `cycle.run_cycle`."""

    def __init__(
        self,
        network: ReferenceNetwork,
        cycle: Cycle,
        values: Values,
        external: Mapping[str, Tensor],
        carry: Carry,
        asked: Asked,
    ) -> None:
        outside = {s: values.outputs[s] for sources in cycle.outer.values() for s in sources}
        needed = chain(outside.values(), external.values(), _inside(network, cycle, carry))
        self.training = torch.is_grad_enabled() and any(x.requires_grad for x in needed)
        steps, samples = next(iter(values.outputs.values())).shape[:2]
        wiring = Wiring(network, steps, samples, carry, asked, outside, external, self.training)
        wiring.add_cycle(cycle)
        self.dtype, self.steps = network.dtype, steps
        self.asked, self.states = cycle.asked(asked.keep), asked.states
        self.stages, self.signals, self.computed = wiring.stages, wiring.signals, wiring.computed
        self.given, self.integrated, self.delayed = wiring.given, wiring.integrated, wiring.delays
        self.sources = [signal for signal, _ in wiring.made_from]
        # What the backward pass holds must not hold the results.
        self.inputs = [tensor for _, tensors in wiring.made_from for tensor in tensors]
        for name, population in self.integrated.items():
            if name in asked.counts:
                population.count(*asked.counts.begin(name))

    def run(self, values: Values, carry: Carry) -> None:
        """All steps; outputs, recorded states and the carry are brought up to date."""
        inputs, self.inputs = self.inputs, []
        found = iter(_Fused.apply(self, *inputs) if self.training else self.forward())  # type: ignore[no-untyped-call]
        values.outputs.update({name: next(found) for name in self.asked})
        for name, population in self.integrated.items():
            u = next(found) if population.population.synapse else None
            carry.states[name] = State(u, next(found))
            if name in self.states:
                values.states[name] = population.every()
        for name in self.delayed:
            carry.held[name] = next(found)

    @torch.no_grad()
    def forward(self) -> list[Tensor]:
        """Outputs asked for, last states (u where there is one, v), and what each Delay holds."""
        self._program().forward()
        found = [channels_first(self.signals[name].stacked(), 2) for name in self.asked]
        for population in self.integrated.values():
            population.finish()
            found += [x for x in vars(population.state()).values() if x is not None]
        return found + [channels_first(delay.after(), 2) for delay in self.delayed.values()]

    def everything(self) -> list[Signal]:
        return [*self.given, *self.delayed.values(), *self.computed]

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
        self._program().backward()
        found = [gradient for source in self.sources for gradient in source.gradients()]
        self.close()
        return found

    def _program(self) -> Program:
        return Program(self.computed, self.stages, self.dtype)

    def _begin_backward(self, gradients: Iterator[Tensor | None]) -> None:
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


def _inside(network: ReferenceNetwork, cycle: Cycle, carry: Carry) -> Iterator[Tensor]:
    """What a component depends on besides what comes from outside."""
    for name in cycle.order:
        yield from network.parameters_of(name)
        if name in carry.states:
            yield from (x for x in vars(carry.states[name]).values() if x is not None)
        if name in carry.held:
            yield carry.held[name]


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
