"""What runs by the C kernels, and in a cyclic component its gradient back through the steps.

A signal gives one value a step, `[B, *size, channels]` (`kernels.layout`), and collects the gradient of that
value from all that read it. `Computed` signals work it out (`operations`), most of them in C
(`kernels.program`). What is left to torch of a turn are `forward(t)` and `backward(t)`; `gradients()` gives,
after all steps, those of the tensors that the signal was made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from targets.reference.kernels import program
from targets.reference.kernels.layout import channels_first, channels_last, count_active, fill
from targets.reference.kernels.memory import check, empty
from targets.reference.kernels.program import Ring, Tap

Gradients = list[Tensor | None]
# Attributes that exist only during a backward pass.
_DERIVED = "ring asked to_u to_v to_weight to_bias to_parameters"


class Form(NamedTuple):
    """How a signal is worked out: `steps` values of `shape` [B, *size, channels].

    Attributes:
        every: all of them are kept, not only the last.
        whole: all steps at once.
    """

    steps: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    every: bool
    whole: bool


class Signal:
    """One value a step.

    Attributes:
        kept: the attributes that hold what the backward pass reads.
        wanted: whether anything before this signal needs its gradient.
        ring: where that gradient is added up, in a backward pass.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    wanted = True
    ring: Ring | None = None

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def at(self, t: int) -> Tensor:
        """The value of step `t`, [B, *size, channels]."""
        raise NotImplementedError

    def stacked(self) -> Tensor:
        """The values of all steps, [S, B, *size, channels]."""
        raise NotImplementedError

    def tap(self) -> Tap:
        """How an operation reads this signal."""
        raise NotImplementedError

    def close(self) -> list[Tensor | None]:
        """Let go of every tensor of the run; what was kept, for `reopen`."""
        found = [getattr(self, name) for name in self.kept]
        for name in (*self.kept, *_DERIVED.split()):
            vars(self).pop(name, None)
        return found

    def reopen(self, kept: Iterator[Tensor | None]) -> None:
        for name in self.kept:
            setattr(self, name, next(kept))

    def begin_backward(self) -> None:
        raise NotImplementedError

    def gradients(self) -> Gradients:
        """Gradients of the tensors it was made from; here of one value a slot of `ring`, [S, B, *shape]."""
        return [None if self.ring is None else channels_first(self.ring.whole(), 2)]

    def receive(self, t: int, gradient: Tensor) -> None:
        """One more part of the gradient of step `t`."""
        if self.ring is not None:
            self.ring.add(t, gradient)

    def ask(self, gradient: Tensor) -> None:
        """A part of the gradient of all steps, [S, B, *size, channels]."""
        for t, part in enumerate(gradient):
            self.receive(t, part)


class Given(Signal):
    """A signal from outside the component, `whole` [S, B, *shape]."""

    kept: ClassVar[tuple[str, ...]] = ("laid",)

    def __init__(self, whole: Tensor) -> None:
        super().__init__(whole.shape[0])
        self.laid, self.wanted = channels_last(whole.detach(), 2), whole.requires_grad
        check(whole.dtype, whole.numel(), self.laid)

    def load(self, whole: Tensor) -> None:
        """Other values, in place."""
        fill(self.laid, whole, 2)

    def count(self, total: int, blank: bool) -> None:
        """As populations count spikes, counts values that are not 0."""
        count_active(self.laid, total, blank)

    def at(self, t: int) -> Tensor:
        return self.laid[t]

    def stacked(self) -> Tensor:
        return self.laid

    def tap(self) -> Tap:
        return Tap(self.laid, self.ring)

    def begin_backward(self) -> None:
        self.ring = Ring.of(self.steps, self.laid) if self.wanted else None


class Delayed(Signal):
    """`source` some steps later; before that what is `held` [steps, B, *shape], the oldest first."""

    kept: ClassVar[tuple[str, ...]] = ("held",)
    source: Signal

    def __init__(self, held: Tensor, steps: int) -> None:
        super().__init__(steps)
        self.held, self.length = channels_last(held.detach(), 2), held.shape[0]
        self.passed = held.requires_grad

    def restart(self, held: Tensor | None) -> None:
        """Another run begins with what is `held`, None for zeros."""
        restart(self.held, held, 2)

    def of(self, source: Signal) -> None:
        self.source = source
        if isinstance(source, Computed):
            source.farthest = max(source.farthest, self.length)

    def at(self, t: int) -> Tensor:
        return self.held[t] if t < self.length else self.source.at(t - self.length)

    def stacked(self) -> Tensor:
        return torch.stack([self.at(t) for t in range(self.steps)])

    def tap(self) -> Tap:
        now = self.source.tap()
        return Tap(now.values, now.ring, self.held, self.ring)

    def after(self) -> Tensor:
        """What is held after the last step."""
        return torch.stack([self.at(self.steps + k) for k in range(self.length)])

    def begin_backward(self) -> None:
        self.ring = Ring.of(self.length, self.held) if self.passed else None

    def receive(self, t: int, gradient: Tensor) -> None:
        if t < self.length:
            super().receive(t, gradient)
        else:
            self.source.receive(t - self.length, gradient)

    def ask(self, gradient: Tensor, first: int = 0) -> None:
        """As of any signal, from step `first` on, which may be beyond the last."""
        inside = max(min(len(gradient), self.length - first), 0)
        for t in range(inside):
            self.receive(first + t, gradient[t])
        if inside < len(gradient):
            whole, at = gradient.new_zeros((self.steps, *gradient.shape[1:])), first + inside - self.length
            whole[at : at + len(gradient) - inside] = gradient[inside:]
            self.source.ask(whole)


def restart(into: Tensor, first: Tensor | None, lead: int) -> None:
    """A state as it lies, from `first` [*lead, channels, *size], None for zeros."""
    if first is None:
        into.zero_()
    else:
        fill(into, first, lead)


class Computed(Signal):
    """A signal worked out here; `buffer` [S or 1, *shape] holds all values or only the last.

    Attributes:
        kind: what does it (`kernels.program`).
        source: what it reads, unless `taps` says otherwise.
        whole: it takes all steps at once, outside cycles; it then has no gradient here.
        farthest: the most steps after which something still reads a value.
        asked: the gradient of all steps [S, *shape] from outside the component.
    """

    kept: ClassVar[tuple[str, ...]] = ("buffer",)
    kind = program.ELSEWHERE
    source: Signal
    asked: Tensor | None = None

    def __init__(self, form: Form) -> None:
        super().__init__(form.steps)
        self.whole, self.farthest = form.whole, 0
        self.buffer = empty((form.steps if form.every or form.whole else 1, *form.shape), form.dtype)

    @property
    def extent(self) -> tuple[int, int]:
        """The samples in a row and the steps that one turn takes."""
        return (self.steps if self.whole else 1) * self.buffer.shape[1], 1

    def read(self, t: int) -> Tensor:
        """The values of `source` that turn `t` takes, [N, *size, channels]."""
        return self.source.stacked().flatten(0, 1) if self.whole else self.source.at(t)

    def written(self, t: int) -> Tensor:
        """Where turn `t` writes, [N, *size, channels]."""
        return self.buffer.flatten(0, 1) if self.whole else self.at(t)

    def at(self, t: int) -> Tensor:
        return self.buffer[t % self.buffer.shape[0]]

    def stacked(self) -> Tensor:
        return self.buffer

    def tap(self) -> Tap:
        return Tap(self.buffer, self.ring)

    def taps(self) -> Sequence[Tap]:
        """What it reads in each step."""
        return [self.source.tap()]

    def fields(self) -> Mapping[str, Any]:
        """What the kernels need besides (`kernels.program`)."""
        if self.ring is None:
            return {}
        slots = len(self.ring.some)
        return {"asked": self.asked, "gradient": self.ring.values, "some": self.ring.some, "slots": slots}

    def bound(self) -> Mapping[str, Tensor | int | None]:
        """Of `fields`, what another run may change."""
        return {}

    def begin_backward(self) -> None:
        self.ring, self.asked = Ring.of(min(self.farthest, self.steps - 1) + 1, self.buffer), None

    def ask(self, gradient: Tensor) -> None:
        self.asked = gradient if self.asked is None else self.asked + gradient

    def taken(self, t: int) -> Tensor | None:
        """The gradient of step `t`, None for none; its slot is free then."""
        assert self.ring is not None
        slot = t % len(self.ring.some)
        asked = None if self.asked is None else self.asked[t]
        if not self.ring.some[slot]:
            return asked
        self.ring.some[slot] = 0
        here = self.ring.values[slot]
        return here if asked is None else here + asked

    def forward(self, t: int) -> None:
        """What is left to torch of turn `t`."""
        raise NotImplementedError

    def backward(self, t: int) -> None:
        """The gradient of that."""
        raise NotImplementedError

    def gradients(self) -> Gradients:
        return []


class Sum(Computed):
    """`terms` in their order; with a `factor` of one sample's shape, `outside` + factor * terms."""

    kind = program.ADD

    def __init__(
        self,
        terms: Sequence[Signal],
        outside: Signal | None,
        factor: Tensor | None,
        form: Form,
    ) -> None:
        super().__init__(form)
        self.terms, self.outside = terms, outside
        self.factor = None if factor is None else channels_last(factor.detach(), 0)
        self.factor_gradient: Tensor | None = None

    def taps(self) -> Sequence[Tap]:
        return [term.tap() for term in self.terms]

    def fields(self) -> Mapping[str, Any]:
        check(self.buffer.dtype, self.buffer[0, 0].numel(), self.factor)
        found = {"factor": self.factor, "outside": None if self.outside is None else self.outside.tap()}
        return {**super().fields(), **found, "to_factor": self.factor_gradient}

    def begin_backward(self) -> None:
        super().begin_backward()
        self.factor_gradient = None if self.factor is None else torch.zeros_like(self.factor)

    def gradients(self) -> Gradients:
        return [] if self.factor_gradient is None else [channels_first(self.factor_gradient, 0)]
