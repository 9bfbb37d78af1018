"""What a cyclic component works out in each step: populations, convolutions, dense layers, other nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from targets.reference.signals import Computed, Gradients, Signal


class Integrated(Computed):
    """A population on the current `source`, from the state `u`, `v` [B, *shape], None for zero.

    Attributes:
        u, v: the state before the first step and after each, [S + 1, *shape], or only the last, [1, ...].
    """

    kept: ClassVar[tuple[str, ...]] = ("buffer", "u", "v")
    kind = program.INTEGRATE
    to_u: Tensor | None = None
    to_v: Tensor | None = None

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

    @property
    def last(self) -> tuple[Tensor | None, Tensor]:
        """The state after the last step."""
        return None if self.u is None else self.u[-1], self.v[-1]

    def fields(self) -> Mapping[str, Any]:
        size, one = self.v.numel() // self.history, self.population.held[0].numel()
        check(torch.int64, one, self.total)
        check(self.buffer.dtype, self.history * self.v.shape[1] * one, self.v)
        return {
            **super().fields(),
            "coefficients": self.population.packed[LAST],
            "u": self.u,
            "v": self.v,
            "kept": size if self.history > 1 else 0,
            "counts": self.total,
            "to_u": self.to_u,
            "to_v": self.to_v,
        }

    def count(self) -> None:
        """The spikes of all steps are counted."""
        if self.counts is not None and self.total is not None:
            self.counts.copy_(channels_first(self.total, 0))

    def begin_backward(self) -> None:
        super().begin_backward()
        self.to_v = torch.zeros_like(self.v[0])
        self.to_u = None if self.u is None else torch.zeros_like(self.v[0])


class Gathered(Computed):
    """A convolution on spikes by the kernels."""

    kept: ClassVar[tuple[str, ...]] = ("buffer", "left")
    kind = program.CONVOLVE
    to_weight: Tensor | None = None
    to_bias: Tensor | None = None

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

    def fields(self) -> Mapping[str, Any]:
        found = {**super().fields(), "left": self.left, "to_weight": self.to_weight, "to_bias": self.to_bias}
        frames = self.taps()[0].values[0], self.buffer[0]
        found |= self.synapse.gather.forward_fields(*frames, *self.packed)
        if self.to_weight is not None:
            back = self.synapse.pack_back(self.weight)
            found |= self.synapse.gather.backward_fields(*frames, back, self.to_weight)
        return found

    def forward(self, t: int) -> None:
        self.synapse.dense(self.source.at(t), self.weight, self.bias, self.at(t), self.left[t])

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

    def __init__(
        self,
        source: Signal,
        weight: Tensor,
        bias: Tensor | None,
        steps: int,
        shape: Sequence[int],
        every: bool,
    ) -> None:
        super().__init__(steps, shape, weight.dtype, every)
        self.source, self.weight = source, weight.detach()
        self.bias = None if bias is None else bias.detach()

    def forward(self, t: int) -> None:
        self.at(t).copy_(functional.linear(self.source.at(t), self.weight, self.bias))

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
        self.to_parameters: list[Tensor] = []

    def forward(self, t: int) -> None:
        out = stateless.apply(self.node, channels_first(self.source.at(t), 1), *self.parameters)
        channels_first(self.at(t), 1).copy_(out)

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
