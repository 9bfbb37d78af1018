"""What runs in a cyclic component step by step by the C kernels, and its gradient back through the steps.

A signal gives one value a step, `[B, *size, channels]` (`kernels.layout`), and collects the gradient of that
value from all that read it. `Computed` signals work it out: `forward(t)` in the component's order,
`backward(t)` in reverse, and `gradients()` once after all steps, for what does not change from step to step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import nir
import torch
from torch import Tensor

from targets.reference import stateless
from targets.reference.kernels.layout import channels_first, channels_last
from targets.reference.kernels.memory import empty
from targets.reference.kernels.population import Population
from targets.reference.kernels.synapse import Synapse

Gradients = list[Tensor | None]
# Attributes that follow from what a signal keeps, or exist only during a backward pass.
_DERIVED = "values received vs us refused to_u to_v to_current to_weight to_bias to_parameters"


class Signal:
    """One value a step.

    Attributes:
        kept: the attributes that hold what the backward pass reads.
        wanted: whether anything before this signal needs its gradient.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    wanted = True

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.received: Gradients = []

    def at(self, t: int) -> Tensor:
        """The value of step `t`, [B, *size, channels]."""
        raise NotImplementedError

    def stacked(self) -> Tensor:
        """The values of all steps, [S, B, *size, channels]."""
        raise NotImplementedError

    def open(self) -> None:
        """Derive the rest from what is kept."""

    def close(self) -> list[Tensor | None]:
        """Let go of every tensor of the run; what was kept, for `reopen`."""
        found = [getattr(self, name) for name in self.kept]
        for name in (*self.kept, *_DERIVED.split()):
            vars(self).pop(name, None)
        return found

    def reopen(self, kept: Iterator[Tensor | None]) -> None:
        for name in self.kept:
            setattr(self, name, next(kept))
        self.open()

    def begin_backward(self) -> None:
        self.received = [None] * self.steps

    def receive(self, t: int, gradient: Tensor) -> None:
        """One more part of the gradient of step `t`; never changed in place, since others may read it."""
        before = self.received[t]
        self.received[t] = gradient if before is None else before + gradient


class Given(Signal):
    """A signal from outside the component, `whole` [S, B, *shape]."""

    kept: ClassVar[tuple[str, ...]] = ("laid",)

    def __init__(self, whole: Tensor) -> None:
        super().__init__(whole.shape[0])
        self.laid, self.wanted = channels_last(whole.detach(), 2), whole.requires_grad
        self.open()

    def open(self) -> None:
        self.values = self.laid.unbind(0)

    def at(self, t: int) -> Tensor:
        return self.values[t]

    def stacked(self) -> Tensor:
        return self.laid

    def receive(self, t: int, gradient: Tensor) -> None:
        if self.wanted:
            super().receive(t, gradient)

    def gradient(self) -> Tensor:
        zero = next((torch.zeros_like(g) for g in self.received if g is not None), None)
        if zero is None:
            return channels_first(torch.zeros_like(self.laid), 2)
        return channels_first(torch.stack([zero if g is None else g for g in self.received]), 2)


class Delayed(Signal):
    """`source` some steps later; before that what is `held` [steps, B, *shape], the oldest first."""

    kept: ClassVar[tuple[str, ...]] = ("held",)
    source: Signal

    def __init__(self, held: Tensor, steps: int) -> None:
        super().__init__(steps)
        self.held, self.length = channels_last(held.detach(), 2), held.shape[0]
        self.open()

    def open(self) -> None:
        self.values = self.held.unbind(0)

    def at(self, t: int) -> Tensor:
        return self.values[t] if t < self.length else self.source.at(t - self.length)

    def stacked(self) -> Tensor:
        return torch.stack([self.at(t) for t in range(self.steps)])

    def after(self) -> Tensor:
        """What is held after the last step."""
        return torch.stack([self.at(self.steps + k) for k in range(self.length)])

    def begin_backward(self) -> None:
        self.received = [None] * self.length

    def receive(self, t: int, gradient: Tensor) -> None:
        if t < self.length:
            super().receive(t, gradient)
        else:
            self.source.receive(t - self.length, gradient)

    def gradient(self) -> Tensor:
        zero = torch.zeros_like(self.held[0])
        return channels_first(torch.stack([zero if g is None else g for g in self.received]), 2)


class Computed(Signal):
    """A signal worked out here; `buffer` [S or 1, *shape] holds all values or only the last."""

    kept: ClassVar[tuple[str, ...]] = ("buffer",)

    def __init__(self, steps: int, shape: Sequence[int], dtype: torch.dtype, every: bool) -> None:
        super().__init__(steps)
        self.slots = steps if every else 1
        self.buffer = empty((self.slots, *shape), dtype)
        self.open()

    def open(self) -> None:
        self.values = self.buffer.unbind(0)

    def at(self, t: int) -> Tensor:
        return self.values[t % self.slots]

    def stacked(self) -> Tensor:
        return self.buffer

    def forward(self, t: int) -> None:
        raise NotImplementedError

    def backward(self, t: int) -> None:
        raise NotImplementedError

    def gradients(self) -> Gradients:
        """Gradients of the parameters, in the order the component lists them."""
        return []


class Sum(Computed):
    """`terms` in their order; with a `factor` of one sample's shape, `outside` + factor * terms."""

    def __init__(
        self,
        terms: Sequence[Signal],
        outside: Signal | None,
        factor: Tensor | None,
        steps: int,
        shape: Sequence[int],
        every: bool,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(steps, shape, dtype, every)
        self.terms, self.outside = terms, outside
        self.factor = None if factor is None else channels_last(factor.detach(), 0)
        self.factor_gradient: Tensor | None = None

    def _inside(self, t: int) -> Tensor:
        total = self.terms[0].at(t)
        for term in self.terms[1:]:
            total = total + term.at(t)
        return total

    def forward(self, t: int) -> None:
        out = self.at(t)
        if self.factor is not None:
            torch.mul(self._inside(t), self.factor, out=out)
            if self.outside is not None:
                torch.add(self.outside.at(t), out, out=out)
            return
        torch.add(self.terms[0].at(t), self.terms[1].at(t), out=out)
        for term in self.terms[2:]:
            out += term.at(t)

    def begin_backward(self) -> None:
        super().begin_backward()
        self.factor_gradient = None if self.factor is None else torch.zeros_like(self.factor)

    def backward(self, t: int) -> None:
        gradient = self.received[t]
        if gradient is None:
            return
        if self.outside is not None:
            self.outside.receive(t, gradient)
        if self.factor is not None:
            assert self.factor_gradient is not None
            self.factor_gradient += (gradient * self._inside(t)).sum(0)
            gradient = gradient * self.factor
        for term in self.terms:
            term.receive(t, gradient)

    def gradients(self) -> Gradients:
        return [] if self.factor_gradient is None else [channels_first(self.factor_gradient, 0)]


class Integrated(Computed):
    """A population on the current `source`, from the state `u`, `v` [B, *shape], None for zero.

    Attributes:
        u, v: the state before the first step and after each, [S + 1, *shape], or only the last, [1, ...].
    """

    kept: ClassVar[tuple[str, ...]] = ("buffer", "u", "v")

    def __init__(
        self,
        population: Population,
        source: Signal,
        state: tuple[Tensor | None, Tensor | None],
        counts: Tensor | None,
        steps: int,
        shape: Sequence[int],
        every: tuple[bool, bool],
    ) -> None:
        self.population, self.source, self.counts = population, source, counts
        self.total = None if counts is None else channels_last(counts, 0)
        self.history = steps + 1 if every[1] else 1
        u, v = state
        self.v = self._started(v, shape)
        self.u = self._started(u, shape) if population.synapse else None
        super().__init__(steps, shape, population.dtype, every[0])

    def _started(self, first: Tensor | None, shape: Sequence[int]) -> Tensor:
        states = empty((self.history, *shape), self.population.dtype)
        if first is None:
            states[0].zero_()
        else:
            states[0] = channels_last(first, 1)
        return states

    def open(self) -> None:
        super().open()
        self.vs = self.v.unbind(0)
        self.us = [None] * self.history if self.u is None else self.u.unbind(0)

    @property
    def last(self) -> tuple[Tensor | None, Tensor]:
        """The state after the last step."""
        return self.us[-1], self.vs[-1]

    def forward(self, t: int) -> None:
        before, after = (t, t + 1) if self.history > 1 else (0, 0)
        self.population.step(
            self.source.at(t),
            (self.us[before], self.vs[before]),
            (self.us[after], self.vs[after]),
            self.at(t),
            self.total,
        )

    def count(self) -> None:
        """The spikes of all steps are counted."""
        if self.counts is not None and self.total is not None:
            self.counts.copy_(channels_first(self.total, 0))

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_v = torch.zeros_like(self.vs[0])
        self.to_u = None if self.u is None else torch.zeros_like(self.vs[0])
        self.to_current = empty(self.buffer.shape, self.buffer.dtype).unbind(0)

    def backward(self, t: int) -> None:
        self.population.step_backward(
            self.source.at(t),
            (self.us[t], self.vs[t]),
            self.received[t],
            (self.to_u, self.to_v),
            self.to_current[t],
        )
        self.received[t] = None
        self.source.receive(t, self.to_current[t])


class Gathered(Computed):
    """A convolution on spikes by the kernels."""

    kept: ClassVar[tuple[str, ...]] = ("buffer", "left")

    def __init__(
        self,
        synapse: Synapse,
        source: Signal,
        weight: Tensor,
        bias: Tensor | None,
        steps: int,
        shape: Sequence[int],
        every: bool,
    ) -> None:
        self.synapse, self.source, self.weight = synapse, source, weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.packed = synapse.pack(weight, bias)
        self.left = torch.zeros((steps, shape[0]), dtype=torch.bool)
        super().__init__(steps, shape, weight.dtype, every)

    def open(self) -> None:
        super().open()
        self.refused = self.left.unbind(0)

    def forward(self, t: int) -> None:
        self.synapse.fill(self.source.at(t), self.packed, self.weight, self.bias, self.at(t), self.refused[t])

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_weight = self.synapse.gather.zeros(self.weight)
        self.to_bias = None if self.bias is None else torch.zeros_like(self.bias)

    def backward(self, t: int) -> None:
        gradient = self.received[t]
        if gradient is None:
            return
        x = self.source.at(t)
        self.synapse.weight_gradient(gradient, x, self.weight, self.refused[t], self.to_weight)
        if self.to_bias is not None:
            self.to_bias += gradient.flatten(0, -2).sum(0)
        if self.source.wanted:
            self.source.receive(t, self.synapse.input_gradient(gradient, self.weight))
        self.received[t] = None

    def gradients(self) -> Gradients:
        found: Gradients = [self.synapse.gather.unpacked(self.to_weight, self.weight)]
        return found if self.to_bias is None else [*found, self.to_bias]


class Applied(Computed):
    """Any other stateless node, by torch."""

    def __init__(
        self,
        node: nir.NIRNode,
        source: Signal,
        parameters: Sequence[Tensor],
        steps: int,
        shape: Sequence[int],
        every: bool,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(steps, shape, dtype, every)
        self.node, self.source = node, source
        self.parameters = [p.detach() for p in parameters]

    def forward(self, t: int) -> None:
        out = stateless.apply(self.node, channels_first(self.source.at(t), 1), *self.parameters)
        channels_first(self.at(t), 1).copy_(out)

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_parameters = [torch.zeros_like(p) for p in self.parameters]

    def backward(self, t: int) -> None:
        gradient = self.received[t]
        if gradient is None:
            return
        with torch.enable_grad():
            x = channels_first(self.source.at(t), 1).detach().requires_grad_()
            parameters = [p.requires_grad_() for p in self.parameters]
            out = stateless.apply(self.node, x, *parameters)
            to_x, *found = torch.autograd.grad(out, [x, *parameters], channels_first(gradient, 1))
        for total, part in zip(self.to_parameters, found, strict=True):
            total += part
        self.source.receive(t, channels_last(to_x, 1))
        self.received[t] = None

    def gradients(self) -> Gradients:
        return list(self.to_parameters)
