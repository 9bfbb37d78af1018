"""Stateless nodes in torch: one function a node kind, on `[N, *input]`, N = any leading axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import torch
from torch import Tensor
from torch.nn import functional

from targets.graph.shapes import conv_margins, flat_axes, pair, per_axis
from targets.reference.surrogate import spike


def apply(node: nir.NIRNode, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """`node` on `x` [N, *input]; `weight` and `bias` replace the node's own where given."""
    if weight is None and hasattr(node, "weight"):
        weight = tensor(node.weight, x.dtype)
    if bias is None and hasattr(node, "bias"):
        bias = tensor(node.bias, x.dtype)
    return _APPLY[type(node)](node, x, weight, bias)


def tensor(value: Any, dtype: torch.dtype) -> Tensor:
    """A parameter, rounded to float32 once and then widened where `dtype` is wider."""
    return torch.as_tensor(value).to(torch.float32).to(dtype)


def convolve(node: nir.Conv1d | nir.Conv2d, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The convolution `node` on `x` [N, *input] with `weight` and `bias`."""
    assert weight is not None
    axes = weight.dim() - 2
    stride, dilation = per_axis(node.stride, axes), per_axis(node.dilation, axes)
    before, after = conv_margins(node)
    if before != after:
        # torch pads both sides alike, so the rest of the far side comes first; its last axis leads.
        more = (b - a for a, b in zip(reversed(before), reversed(after), strict=True))
        x = functional.pad(x, [size for n in more for size in (0, n)])
    run = functional.conv1d if axes == 1 else functional.conv2d
    return run(x, weight, bias, stride, before, dilation, int(node.groups))


def _dense(node: nir.NIRNode, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    return functional.linear(x, weight, bias)


def _scale(node: nir.Scale, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return x * tensor(node.scale, x.dtype)


def _threshold(node: nir.Threshold, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return spike(x, tensor(node.threshold, x.dtype))


def _average(node: nir.AvgPool2d, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return functional.avg_pool2d(x, pair(node.kernel_size), pair(node.stride), pair(node.padding))


def _sum(node: nir.SumPool2d, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return functional.avg_pool2d(
        x, pair(node.kernel_size), pair(node.stride), pair(node.padding), divisor_override=1
    )


def _flatten(node: nir.Flatten, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    first, last = flat_axes(node, x.dim() - 1)
    return x.flatten(1 + first, 1 + last)


def _identity(node: nir.NIRNode, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return x


_Function = Callable[[Any, Tensor, Tensor | None, Tensor | None], Tensor]
_APPLY: Mapping[type[nir.NIRNode], _Function] = {
    nir.Conv1d: convolve,
    nir.Conv2d: convolve,
    nir.Affine: _dense,
    nir.Linear: _dense,
    nir.Scale: _scale,
    nir.Threshold: _threshold,
    nir.AvgPool2d: _average,
    nir.SumPool2d: _sum,
    nir.Flatten: _flatten,
    nir.Output: _identity,
}
