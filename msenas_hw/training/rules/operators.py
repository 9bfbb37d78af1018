"""The two gradients of a synapse node, apart, so that each can use a matrix of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import nir
import torch
from torch import Tensor
from torch.nn import functional

from targets.graph.shapes import conv_margins, per_axis


class Operator(Protocol):
    """A bilinear map of input `x` [N, *input] and weight to [N, *output]."""

    @property
    def channels(self) -> int:
        """The axis of the output's channels."""
        ...

    def input_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Gradient [N, *input] for `gradient` [N, *output]; of `x` only the shape is used."""
        ...

    def weight_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Gradient of the weight, summed over N; of `weight` only the shape is used."""
        ...

    def bias_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient of a bias, one value a channel."""
        ...


@dataclass(frozen=True)
class Dense:
    """x W^T over the last axis."""

    channels: int = -1

    def input_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return gradient @ weight

    def weight_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return gradient.flatten(0, -2).T @ x.flatten(0, -2)

    def bias_gradient(self, gradient: Tensor) -> Tensor:
        return gradient.flatten(0, -2).sum(0)


@dataclass(frozen=True)
class Convolution:
    """A convolution in one or two dimensions with zero padding, `before` and `after` each axis."""

    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: int = 1

    @classmethod
    def of(cls, node: nir.Conv1d | nir.Conv2d) -> Convolution:
        """The convolution of a node."""
        axes = node.weight.ndim - 2
        before, after = conv_margins(node)
        stride, dilation = per_axis(node.stride, axes), per_axis(node.dilation, axes)
        return cls(tuple(stride), tuple(before), tuple(after), tuple(dilation), int(node.groups))

    def input_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        padded = self._gradients(gradient, weight, self._padded(x), (True, False))[0]
        for axis, size in enumerate(x.shape[2:], start=2):
            padded = padded.narrow(axis, 0, size)
        return padded

    def weight_gradient(self, gradient: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        return self._gradients(gradient, weight, self._padded(x), (False, True))[1]

    def bias_gradient(self, gradient: Tensor) -> Tensor:
        return gradient.sum((0, *range(2, gradient.dim())))

    def _padded(self, x: Tensor) -> Tensor:
        # The kernels of torch pad both sides alike, so the rest of the far side is laid on here.
        more = [after - before for before, after in zip(self.before, self.after, strict=True)]
        return functional.pad(x, [size for n in reversed(more) for size in (0, n)]) if any(more) else x

    def _gradients(
        self, gradient: Tensor, weight: Tensor, x: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor]:
        zero = [0] * len(self.stride)
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            self.stride,
            self.before,
            self.dilation,
            False,
            zero,
            self.groups,
            [*wanted, False],
        )
        return found[:2]


_OPERATORS: Mapping[Any, Callable[[Any], Operator]] = {
    nir.Affine: lambda node: Dense(),
    nir.Linear: lambda node: Dense(),
    nir.Conv1d: Convolution.of,
    nir.Conv2d: Convolution.of,
}


def operator_of(node: nir.NIRNode) -> Operator:
    """The gradients of a synapse node."""
    return _OPERATORS[type(node)](node)
