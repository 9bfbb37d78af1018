"""A convolution on spikes, forward and backward."""

from __future__ import annotations

from typing import Any

import nir
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from targets.graph.shapes import Shape, conv_margins, per_axis
from targets.reference import stateless
from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather
from targets.reference.kernels.memory import empty

# Frames whose gradients are computed at once, so that they stay in the cache.
_FRAMES = 32


class Synapse:
    """A convolution that adds up the weights of active inputs, frame by frame.

    A frame (one sample at one step) whose values are 0 or 1, with at most `events.DENSEST` of them 1, is
    gathered: each sum starts at the bias and runs over kernel rows, columns and channels. Any other
    frame takes torch's dense product. Both add the same numbers; their order differs, so without
    `targets.graph.exact` the last bit may too. Which way a frame goes depends on that frame alone,
    never on its batch or stretch.
    """

    def __init__(self, node: nir.NIRNode, gather: Gather) -> None:
        self.node, self.gather = node, gather
        self._packed: tuple[tuple[int, ...], tuple[Tensor, Tensor]] | None = None

    @classmethod
    def of(cls, node: nir.NIRNode, shape: Shape, out_shape: Shape, choice: str) -> Synapse | None:
        """The node for inputs of `shape`; None where torch's dense product serves better."""
        if kernels(choice).library is None:
            return None
        gather = Gather.of(choice, node, shape, out_shape)
        return None if gather is None or not gather.worthwhile() else cls(node, gather)

    def begin(self, weight: Tensor) -> None:
        """A run begins: what a training may have changed in place is packed anew."""
        if weight.requires_grad:
            self._packed = None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Output [N, *out] for `x` [N, *input]."""
        needed = (t is not None and t.requires_grad for t in (x, weight, bias))
        if torch.is_grad_enabled() and any(needed):
            found: Tensor = _Apply.apply(self, x, weight, bias)  # type: ignore[no-untyped-call]
            return found
        return self.forward(x, weight, bias)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """As a call, without gradient."""
        return self.run(x.contiguous(), weight, bias)[0]

    def run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The output for a contiguous `x`, and which frames took the dense product, None for none."""
        out = empty((x.shape[0], *self.gather.out_shape), x.dtype)
        left = torch.empty(x.shape[0], dtype=torch.bool)
        number = self.fill(x, self.pack(weight, bias), weight, bias, out, left)
        return out, left if number else None

    def fill(
        self,
        x: Tensor,
        packed: tuple[Tensor, Tensor],
        weight: Tensor,
        bias: Tensor | None,
        out: Tensor,
        left: Tensor,
    ) -> int:
        """The output of `x` into `out`, and which frames took the dense product into `left`; their number."""
        number = self.gather.run(x, *packed, out, left)
        if number == x.shape[0]:
            out.copy_(stateless.apply(self.node, x, weight, bias))
        elif number:
            out[left] = stateless.apply(self.node, x[left], weight, bias)
        return number

    def channels_last(self, x: Tensor, out: Tensor) -> Tensor:
        """`x` [N, channels, ...] as [N, ..., channels] in `out`; a view of it with its channels second."""
        self.gather.transposed(x.flatten(2), out.view(x.shape[0], -1, x.shape[1]))
        return out.movedim(-1, 1)

    def input_gradient(self, gradient: Tensor, weight: Tensor, out: Tensor) -> None:
        """Gradient of the input into `out` [N, *input], from that of the output, channels last."""
        found = self._dense_gradient(gradient, out, weight, (True, False))
        last = found.movedim(1, -1)
        if last.is_contiguous():
            self.gather.transposed(last.flatten(1, -2), out.flatten(2))
        else:
            out.copy_(found)

    def weight_gradient(self, gradient: Tensor, x: Tensor, weight: Tensor, left: Tensor) -> Tensor:
        """Gradient of `weight`; frames `left` [N] by the dense product. `gradient` channels last."""
        if left.all():
            return self._dense_gradient(gradient, x, weight, (False, True))
        found = self.gather.weight_gradient(x, gradient.movedim(1, -1), left, weight)
        if left.any():
            found = found + self._dense_gradient(gradient[left], x[left], weight, (False, True))
        return found

    def laid_out(self, weight: Tensor) -> Tensor:
        """`weight` in the layout that the dense gradient takes it in."""
        return weight.contiguous(memory_format=_layout(weight))

    def _dense_gradient(
        self, gradient: Tensor, x: Tensor, weight: Tensor, asked: tuple[bool, bool]
    ) -> Tensor:
        """The one gradient asked for, of x or of the weight."""
        axes = weight.dim() - 2
        before, after = conv_margins(self.node)
        layout = _layout(weight)
        sizes = [size + b - a for size, a, b in zip(x.shape[2:], before, after, strict=True)]
        # torch pads both sides alike, so what the far side has more is part of the input.
        inputs = torch.empty((*x.shape[:2], *sizes), dtype=x.dtype, memory_format=layout)
        inside = (slice(None), slice(None), *(slice(size) for size in x.shape[2:]))
        if asked[1]:
            inputs.zero_()[inside] = x
        found = torch.ops.aten.convolution_backward(
            gradient.contiguous(memory_format=layout),
            inputs,
            self.laid_out(weight),
            None,
            per_axis(self.node.stride, axes),
            before,
            per_axis(self.node.dilation, axes),
            False,
            (0,) * axes,
            1,
            (*asked, False),
        )
        return found[0][inside] if asked[0] else found[1]

    def pack(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """The packed parameters; packed again where they changed."""
        key = tuple(v for t in (weight, bias) if t is not None for v in (t.data_ptr(), t._version))
        if self._packed is None or self._packed[0] != key:
            self._packed = (key, self.gather.packed(weight, bias))
        return self._packed[1]


def _layout(weight: Tensor) -> torch.memory_format:
    return torch.channels_last if weight.dim() == 4 else torch.contiguous_format


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, synapse: Synapse, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()
        out, left = synapse.run(x, weight, bias)
        ctx.synapse, ctx.left = synapse, left
        ctx.save_for_backward(x, weight, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _ = ctx.saved_tensors
        asked = ctx.needs_input_grad[1:]
        synapse, gradient = ctx.synapse, gradient.contiguous()
        laid_out = synapse.laid_out(weight)
        left = torch.zeros(x.shape[0], dtype=torch.bool) if ctx.left is None else ctx.left
        to_x = empty(x.shape, x.dtype) if asked[0] else None
        to_weight = torch.zeros_like(weight) if asked[1] else None
        for at in range(0, x.shape[0], _FRAMES):
            here = slice(at, at + _FRAMES)
            part = gradient[here]
            g = synapse.channels_last(part, empty((*part.shape[:1], *part.shape[2:], part.shape[1]), x.dtype))
            if to_x is not None:
                synapse.input_gradient(g, laid_out, to_x[here])
            if to_weight is not None:
                to_weight += synapse.weight_gradient(g, x[here], weight, left[here])
        axes = (0, *range(2, gradient.dim()))
        return None, to_x, to_weight, gradient.sum(axes) if asked[2] else None
