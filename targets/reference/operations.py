"""What is worked out in a turn: populations, convolutions, dense layers, other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import nir
import torch
from torch import Tensor
from torch.nn import functional

from targets.reference import stateless
from targets.reference.kernels import program
from targets.reference.kernels.layout import channels_first, channels_last
from targets.reference.kernels.memory import check, empty
from targets.reference.kernels.population import LAST, Population
from targets.reference.kernels.synapse import Synapse
from targets.reference.scan import State
from targets.reference.signals import Computed, Form, Gradients, Signal, restart


class Integrated(Computed):
    """A population on the current `source`, from the state `u`, `v` [B, *shape], None for zero.

    Attributes:
        u, v: the state before the first step and after each, [S + 1, *shape], or only the last, [1, ...].
    """

    kept: ClassVar[tuple[str, ...]] = ("buffer", "u", "v")
    kind = program.INTEGRATE
    to_u: Tensor | None = None
    to_v: Tensor | None = None

    def __init__(self, population: Population, source: Signal, form: Form, history: bool) -> None:
        super().__init__(form)
        self.population, self.source = population, source
        self.total: int | None = None
        self.blank = False
        self.history = form.steps + 1 if history else 1
        self.v = empty((self.history, *form.shape), form.dtype)
        self.u = empty((self.history, *form.shape), form.dtype) if population.synapse else None

    def start(self, u: Tensor | None, v: Tensor | None) -> None:
        """A run begins from `u` and `v` [B, *shape], None for zero."""
        self.given = {"to_u": u is not None, "to_v": v is not None}
        restart(self.v[0], v, 1)
        if self.u is not None:
            restart(self.u[0], u, 1)

    def count(self, total: int, blank: bool) -> None:
        """Spikes of a run are added to what lies at `total` [neurons], channels last; 0 if `blank`."""
        self.total, self.blank = total, blank

    def finish(self) -> None:
        """The run is over."""
        self.total = None

    @property
    def extent(self) -> tuple[int, int]:
        return self.v.shape[1], self.steps if self.whole else 1

    def state(self) -> State:
        """The state after the last step, each [B, *shape]; copies."""
        u = None if self.u is None else channels_first(self.u[-1].clone(), 1)
        return State(u, channels_first(self.v[-1].clone(), 1))

    def every(self) -> State:
        """The states after each step, [S, B, *shape], where they were recorded."""
        u = None if self.u is None else channels_first(self.u[1:], 2)
        return State(u, channels_first(self.v[1:], 2))

    def fields(self) -> Mapping[str, Any]:
        check(self.buffer.dtype, self.v.numel(), self.v, self.u)
        return {
            **super().fields(),
            **self.bound(),
            "coefficients": self.population.packed[LAST],
            "u": self.u,
            "v": self.v,
            "kept": self.v[0].numel() if self.history > 1 else 0,
            "to_u": self.to_u,
            "to_v": self.to_v,
        }

    def bound(self) -> Mapping[str, Tensor | int | None]:
        return {"counts": self.total, "blank": self.blank}

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_v = torch.zeros_like(self.v[0])
        self.to_u = None if self.u is None else torch.zeros_like(self.v[0])

    def gradients(self) -> Gradients:
        return [channels_first(getattr(self, name), 1) for name, given in self.given.items() if given]


class Gathered(Computed):
    """A convolution on spikes by the kernels."""

    kept: ClassVar[tuple[str, ...]] = ("buffer", "left")
    kind = program.CONVOLVE
    to_weight: Tensor | None = None
    to_bias: Tensor | None = None

    def __init__(self, synapse: Synapse, source: Signal, form: Form) -> None:
        super().__init__(form)
        self.synapse, self.source = synapse, source
        self.left = torch.zeros((form.steps, form.shape[0]), dtype=torch.bool)
        self.packed: tuple[Tensor, Tensor] | None = None

    def bind(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """The parameters of a run."""
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        packed = self.synapse.pack(weight, bias)
        if packed is not self.packed:
            self.synapse.gather.check_packed(*packed)
            self.packed = packed

    def fields(self) -> Mapping[str, Any]:
        found = {**super().fields(), "left": self.left, "to_weight": self.to_weight, "to_bias": self.to_bias}
        frames = self.read(0), self.written(0)
        assert self.packed is not None
        found |= self.synapse.gather.forward_fields(*frames, *self.packed)
        if self.to_weight is not None:
            back = self.synapse.pack_back(self.weight)
            found |= self.synapse.gather.backward_fields(*frames, back, self.to_weight)
        return found

    def bound(self) -> Mapping[str, Tensor | int | None]:
        assert self.packed is not None
        weight, bias = self.packed
        return {"weight": weight, "bias": bias}

    def forward(self, t: int) -> None:
        left = self.left.flatten() if self.whole else self.left[t]
        self.synapse.dense(self.read(t), self.weight, self.bias, self.written(t), left)

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_weight = self.synapse.gather.zeros(self.weight)
        self.to_bias = None if self.bias is None else torch.zeros_like(self.bias)

    def backward(self, t: int) -> None:
        gradient = self.taken(t)
        if gradient is None:
            return
        assert self.to_weight is not None
        x = self.source.at(t)
        self.synapse.weight_gradient(gradient, x, self.weight, self.left[t], self.to_weight)
        if self.to_bias is not None:
            self.to_bias += gradient.flatten(0, -2).sum(0)
        if self.source.wanted:
            self.source.receive(t, self.synapse.input_gradient(gradient, self.weight))

    def gradients(self) -> Gradients:
        assert self.to_weight is not None
        found: Gradients = [self.synapse.gather.unpacked(self.to_weight, self.weight)]
        return found if self.to_bias is None else [*found, self.to_bias]


class Dense(Computed):
    """A dense layer, by torch."""

    def __init__(self, source: Signal, form: Form) -> None:
        super().__init__(form)
        self.source = source

    def bind(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """The parameters of a run."""
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()

    def forward(self, t: int) -> None:
        self.written(t).copy_(functional.linear(self.read(t), self.weight, self.bias))

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_weight = torch.zeros_like(self.weight)
        self.to_bias = None if self.bias is None else torch.zeros_like(self.bias)

    def backward(self, t: int) -> None:
        gradient = self.taken(t)
        if gradient is None:
            return
        rows = gradient.flatten(0, -2)
        self.to_weight.addmm_(rows.T, self.source.at(t).flatten(0, -2))
        if self.to_bias is not None:
            self.to_bias += rows.sum(0)
        self.source.receive(t, gradient @ self.weight)

    def gradients(self) -> Gradients:
        return [self.to_weight] if self.to_bias is None else [self.to_weight, self.to_bias]


class Flattened(Computed):
    """All channels and places of its input in one axis."""

    kind = program.TRANSPOSE

    def __init__(self, source: Signal, channels: int, form: Form) -> None:
        super().__init__(form)
        self.source, self.channels = source, channels

    def fields(self) -> Mapping[str, Any]:
        check(self.buffer.dtype, self.written(0).numel(), self.read(0))
        rows = self.buffer.shape[-1] // self.channels
        return {**super().fields(), "rows": rows, "columns": self.channels}


class Applied(Computed):
    """Any other stateless node, by torch."""

    def __init__(self, node: nir.NIRNode, source: Signal, form: Form) -> None:
        super().__init__(form)
        self.node, self.source = node, source
        self.to_parameters: list[Tensor] = []

    def bind(self, *parameters: Tensor) -> None:
        """The parameters of a run."""
        self.parameters = [p.detach() for p in parameters]

    def forward(self, t: int) -> None:
        out = stateless.apply(self.node, channels_first(self.read(t), 1), *self.parameters)
        channels_first(self.written(t), 1).copy_(out)

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_parameters = [torch.zeros_like(p) for p in self.parameters]

    def backward(self, t: int) -> None:
        gradient = self.taken(t)
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

    def gradients(self) -> Gradients:
        return list(self.to_parameters)


class Queued(Computed):
    """A Delay outside cycles: `source` some steps later; before that what is `held` [lag, B, *shape]."""

    def __init__(self, source: Signal, lag: int, form: Form) -> None:
        super().__init__(form)
        self.source, self.held = source, empty((lag, *form.shape), form.dtype)

    def restart(self, held: Tensor | None) -> None:
        """Another run begins with what is `held`, None for zeros."""
        restart(self.held, held, 2)

    def after(self) -> Tensor:
        """What is held after the last step."""
        return self.held

    def forward(self, t: int) -> None:
        queue = torch.cat([self.held, self.source.stacked()])
        self.buffer.copy_(queue[: self.steps])
        self.held.copy_(queue[self.steps :])


class Stacked(Computed):
    """What a Delay inside a cycle gives out, for those outside it."""

    def __init__(self, source: Signal, form: Form) -> None:
        super().__init__(form)
        self.source = source

    def forward(self, t: int) -> None:
        self.buffer.copy_(self.source.stacked())
