"""A convolution on spikes, forward and backward."""

from __future__ import annotations

from typing import Any

import nir
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from targets.graph.shapes import Shape, conv_margins, per_axis
from targets.reference import stateless
from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather
from targets.reference.kernels.layout import channels_first, channels_last
from targets.reference.kernels.memory import empty


class Synapse:
    """A convolution that adds up the weights of active inputs, frame by frame.

    A frame (one sample at one step) whose values are 0 or 1, with at most `events.DENSEST` of them 1, is
    gathered: each sum starts at the bias and runs over kernel rows, columns and channels. Any other
    frame takes torch's dense product. Both add the same numbers; their order differs, so without
    `targets.graph.exact` the last bit may too. Which way a frame goes depends on that frame alone,
    never on its batch or stretch.
    """

    def __init__(self, node: nir.NIRNode, gather: Gather, shape: Shape) -> None:
        self.node, self.gather, self.shape = node, gather, shape
        self._packed: tuple[tuple[int, ...], tuple[Tensor, Tensor]] | None = None
        self._packed_back: tuple[tuple[int, ...], Tensor] | None = None

    @classmethod
    def of(cls, node: nir.NIRNode, shape: Shape, out_shape: Shape, choice: str) -> Synapse | None:
        """The node for inputs of `shape`; None where torch's dense product serves better."""
        if kernels(choice).library is None:
            return None
        gather = Gather.of(choice, node, shape, out_shape)
        return None if gather is None or not gather.worthwhile() else cls(node, gather, shape)

    def begin(self, weight: Tensor) -> None:
        """A run begins: what a training may have changed in place is packed anew."""
        if weight.requires_grad:
            self._packed = self._packed_back = None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Output [N, *out] for `x` [N, *input]."""
        needed = (t is not None and t.requires_grad for t in (x, weight, bias))
        if torch.is_grad_enabled() and any(needed):
            found: Tensor = _Apply.apply(self, x, weight, bias)  # type: ignore[no-untyped-call]
            return found
        return self.forward(x, weight, bias)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """As a call, without gradient."""
        return channels_first(self.run(channels_last(x, 1), weight, bias)[0], 1)

    def run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The output for `x`, and which frames took the dense product, None for none; both channels last."""
        channels, *size = self.gather.out_shape
        out = empty((x.shape[0], *size, channels), x.dtype)
        left = torch.empty(x.shape[0], dtype=torch.bool)
        number = self.gather.run(x, *self.pack(weight, bias), out, left)
        if number:
            self.dense(x, weight, bias, out, left)
        return out, left if number else None

    def dense(self, x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, left: Tensor) -> None:
        """The output of frames `left` of `x` into `out`, by the dense product."""
        if left.all():
            channels_first(out, 1).copy_(stateless.apply(self.node, channels_first(x, 1), weight, bias))
        else:
            found = stateless.apply(self.node, channels_first(x[left], 1), weight, bias)
            out[left] = found.movedim(1, -1)

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """Gradient of the input from that of the output, both channels last."""
        channels, *size = self.shape
        out = empty((gradient.shape[0], *size, channels), gradient.dtype)
        self.gather.input_gradient(gradient, self.pack_back(weight), out)
        return out

    def weight_gradient(
        self, gradient: Tensor, x: Tensor, weight: Tensor, left: Tensor | None, total: Tensor
    ) -> None:
        """Gradient of `weight` added to `total`, packed; frames `left` [N] by the dense product."""
        none = torch.zeros(x.shape[0], dtype=torch.bool)
        self.gather.weight_gradient(x, gradient, none if left is None else left, total)
        if left is not None and left.any():
            dense = self._dense_gradient(
                channels_first(gradient[left], 1), channels_first(x[left], 1), weight
            )
            total += self.gather.packed(dense, None)[0]

    def _dense_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        axes = weight.dim() - 2
        before, after = conv_margins(self.node)
        # torch pads both sides alike, so what the far side has more is part of the input.
        more = [b - a for a, b in zip(reversed(before), reversed(after), strict=True)]
        if any(more):
            x = functional.pad(x, [size for n in more for size in (0, n)])
        _, found, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            per_axis(self.node.stride, axes),
            before,
            per_axis(self.node.dilation, axes),
            False,
            (0,) * axes,
            1,
            (False, True, False),
        )
        return found

    def pack(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """The packed parameters; packed again where they changed."""
        key = tuple(v for t in (weight, bias) if t is not None for v in (t.data_ptr(), t._version))
        if self._packed is None or self._packed[0] != key:
            self._packed = (key, self.gather.packed(weight, bias))
        return self._packed[1]

    def pack_back(self, weight: Tensor) -> Tensor:
        """The weight packed for the gradient of the input; packed again where it changed."""
        key = (weight.data_ptr(), weight._version)
        if self._packed_back is None or self._packed_back[0] != key:
            self._packed_back = (key, self.gather.packed_back(weight))
        return self._packed_back[1]


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, synapse: Synapse, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = channels_last(x, 1)
        out, left = synapse.run(x, weight, bias)
        ctx.synapse, ctx.left = synapse, left
        ctx.save_for_backward(x, weight, bias)
        return channels_first(out, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _ = ctx.saved_tensors
        asked = ctx.needs_input_grad[1:]
        synapse, gradient = ctx.synapse, channels_last(gradient, 1)
        to_x = channels_first(synapse.input_gradient(gradient, weight), 1) if asked[0] else None
        to_weight = None
        if asked[1]:
            total = synapse.gather.zeros(weight)
            synapse.weight_gradient(gradient, x, weight, ctx.left, total)
            to_weight = synapse.gather.unpacked(total, weight)
        return None, to_x, to_weight, gradient.flatten(0, -2).sum(0) if asked[2] else None
