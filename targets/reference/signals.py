"""What runs in a cyclic component step by step by the C kernels, and its gradient back through the steps.

A signal gives one value a step, `[B, *shape]`, and collects the gradient of that value from all that read
it. `Computed` signals work it out: `forward(t)` in the component's order, `backward(t)` in reverse, and
`gradients()` once after all steps, for what does not change from step to step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import nir
import torch
from torch import Tensor

from targets.reference import stateless
from targets.reference.kernels.memory import empty
from targets.reference.kernels.population import Population
from targets.reference.kernels.synapse import Synapse

Gradients = list[Tensor | None]
# Attributes that follow from what a signal keeps, or exist only during a backward pass.
_DERIVED = "values received vs us refused to_u to_v to_current last lasts laid_out to_parameters"


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
        """The value of step `t`, [B, *shape]."""
        raise NotImplementedError

    def stacked(self) -> Tensor:
        """The values of all steps, [S, B, *shape]."""
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

    kept: ClassVar[tuple[str, ...]] = ("whole",)

    def __init__(self, whole: Tensor) -> None:
        super().__init__(whole.shape[0])
        self.whole, self.wanted = whole, whole.requires_grad
        self.open()

    def open(self) -> None:
        self.values = self.whole.detach().unbind(0)

    def at(self, t: int) -> Tensor:
        return self.values[t]

    def stacked(self) -> Tensor:
        return self.whole.detach()

    def receive(self, t: int, gradient: Tensor) -> None:
        if self.wanted:
            super().receive(t, gradient)

    def gradient(self) -> Tensor:
        zero = next((torch.zeros_like(g) for g in self.received if g is not None), None)
        if zero is None:
            return torch.zeros_like(self.whole)
        return torch.stack([zero if g is None else g for g in self.received])


class Delayed(Signal):
    """`source` some steps later; before that what is `held` [steps, B, *shape], the oldest first."""

    kept: ClassVar[tuple[str, ...]] = ("held",)
    source: Signal

    def __init__(self, held: Tensor, steps: int) -> None:
        super().__init__(steps)
        self.held, self.length = held, held.shape[0]
        self.open()

    def open(self) -> None:
        self.values = self.held.detach().unbind(0)

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
        return torch.stack([zero if g is None else g for g in self.received])


class Computed(Signal):
    """A signal worked out here; `buffer` [S or 1, B, *shape] holds all values or only the last."""

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
    """`terms` in their order; with a `factor` [*shape], `outside` + factor * terms."""

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
        self.factor = None if factor is None else factor.detach()
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
        return [] if self.factor is None else [self.factor_gradient]


class Integrated(Computed):
    """A population on the current `source`, from the state `u`, `v` [B, *shape], None for zero.

    Attributes:
        u, v: the state before the first step and after each, [S + 1, B, *shape], or only the last, [1, ...].
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
        self.history = steps + 1 if every[1] else 1
        u, v = state
        self.v = self._started(v, shape)
        self.u = self._started(u, shape) if population.synapse else None
        super().__init__(steps, shape, population.dtype, every[0])

    def _started(self, first: Tensor | None, shape: Sequence[int]) -> Tensor:
        states = torch.empty((self.history, *shape), dtype=self.population.dtype)
        if first is None:
            states[0].zero_()
        else:
            states[0] = first
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
            self.source.at(t).contiguous(),
            (self.us[before], self.vs[before]),
            (self.us[after], self.vs[after]),
            self.at(t),
            self.counts,
        )

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_v = torch.zeros_like(self.vs[0])
        self.to_u = None if self.u is None else torch.zeros_like(self.vs[0])
        self.to_current = empty(self.buffer.shape, self.buffer.dtype).unbind(0)

    def backward(self, t: int) -> None:
        self.population.step_backward(
            self.source.at(t).contiguous(),
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
        self.synapse, self.source, self.weight, self.bias = synapse, source, weight.detach(), bias
        self.packed = synapse.pack(weight, bias)
        self.left = torch.zeros((steps, shape[0]), dtype=torch.bool)
        super().__init__(steps, shape, weight.dtype, every)

    def open(self) -> None:
        super().open()
        self.refused = self.left.unbind(0)

    def forward(self, t: int) -> None:
        x = self.source.at(t).contiguous()
        self.synapse.fill(x, self.packed, self.weight, self.bias, self.at(t), self.refused[t])

    def begin_backward(self) -> None:
        super().begin_backward()
        steps, samples, channels, *size = self.buffer.shape
        self.laid_out = self.synapse.laid_out(self.weight)
        self.last = empty((steps, samples, *size, channels), self.buffer.dtype)
        self.lasts = self.last.unbind(0)

    def backward(self, t: int) -> None:
        gradient = self.received[t]
        if gradient is None:
            self.lasts[t].zero_()
            return
        last = self.synapse.channels_last(gradient.contiguous(), self.lasts[t])
        if self.source.wanted:
            x = self.source.at(t)
            to_x = empty(x.shape, x.dtype)
            self.synapse.input_gradient(last, self.laid_out, to_x)
            self.source.receive(t, to_x)
        self.received[t] = None

    def gradients(self) -> Gradients:
        x = self.source.stacked().flatten(0, 1).contiguous()
        last = self.last.flatten(0, 1)
        found = self.synapse.weight_gradient(last.movedim(-1, 1), x, self.weight, self.left.flatten())
        if self.bias is None:
            return [found]
        return [found, last.view(-1, last.shape[-1]).sum(0)]


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
        self.at(t).copy_(stateless.apply(self.node, self.source.at(t), *self.parameters))

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_parameters = [torch.zeros_like(p) for p in self.parameters]

    def backward(self, t: int) -> None:
        gradient = self.received[t]
        if gradient is None:
            return
        with torch.enable_grad():
            x = self.source.at(t).detach().requires_grad_()
            parameters = [p.requires_grad_() for p in self.parameters]
            out = stateless.apply(self.node, x, *parameters)
            to_x, *found = torch.autograd.grad(out, [x, *parameters], gradient)
        for total, part in zip(self.to_parameters, found, strict=True):
            total += part
        self.source.receive(t, to_x)
        self.received[t] = None

    def gradients(self) -> Gradients:
        return list(self.to_parameters)
