"""Shape inference: one function a node kind, no batch and no time axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.kinds import kind

Shape = tuple[int, ...]


def pair(value: Any) -> tuple[int, int]:
    """A scalar or two-element stride, padding, dilation or kernel as `(rows, columns)`."""
    flat = [int(v) for v in np.asarray(value).reshape(-1)]
    if len(flat) not in (1, 2):
        raise ValueError(f"found {flat}, allowed one or two integers")
    return (flat[0], flat[-1])


def conv_padding(node: nir.Conv2d) -> tuple[int, int]:
    """Zero padding on each side of a convolution, in pixels; `same` needs an odd reach."""
    padding = node.padding
    if isinstance(padding, bytes | np.bytes_):
        padding = padding.decode()
    if not isinstance(padding, str):
        return pair(padding)
    if padding == "valid":
        return (0, 0)
    reach = [d * (k - 1) for d, k in zip(pair(node.dilation), node.weight.shape[2:], strict=True)]
    if padding != "same" or pair(node.stride) != (1, 1) or any(r % 2 for r in reach):
        raise ValueError(f"padding {padding!r} is not defined for this kernel and stride")
    return (reach[0] // 2, reach[1] // 2)


def window_shape(size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    """Spatial size after a sliding window: floor((n + 2p - d(k - 1) - 1) / s) + 1 on each axis."""
    axes = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


def _conv2d(node: nir.Conv2d, shape: Shape) -> Shape:
    channels = node.weight.shape[1] * int(node.groups)
    if len(shape) != 3 or shape[0] != channels:
        raise ValueError(f"input is {shape}, allowed ({channels}, rows, columns)")
    spatial = window_shape(
        shape[1:], node.weight.shape[2:], pair(node.stride), conv_padding(node), pair(node.dilation)
    )
    return (int(node.weight.shape[0]), *spatial)


def _dense(node: nir.Affine | nir.Linear, shape: Shape) -> Shape:
    if not shape or shape[-1] != node.weight.shape[1]:
        raise ValueError(f"input is {shape}, allowed (..., {node.weight.shape[1]})")
    return (*shape[:-1], int(node.weight.shape[0]))


def _pool(node: nir.SumPool2d | nir.AvgPool2d, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"input is {shape}, allowed (channels, rows, columns)")
    kernel, stride, padding = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    return (shape[0], *window_shape(shape[1:], kernel, stride, padding, (1, 1)))


def _flatten(node: nir.Flatten, shape: Shape) -> Shape:
    first, last = node.start_dim % len(shape), node.end_dim % len(shape)
    merged = int(np.prod(shape[first : last + 1]))
    return (*shape[:first], merged, *shape[last + 1 :])


def _fixed(shape_of: Callable[[Any], Shape]) -> Callable[[Any, Shape], Shape]:
    def infer(node: nir.NIRNode, shape: Shape) -> Shape:
        own = shape_of(node)
        if own != shape:
            raise ValueError(f"input is {shape}, but its parameters have shape {own}")
        return own

    return infer


def _same(node: nir.NIRNode, shape: Shape) -> Shape:
    return shape


_INFER: Mapping[type[nir.NIRNode], Callable[[Any, Shape], Shape]] = {
    nir.Conv2d: _conv2d,
    nir.Affine: _dense,
    nir.Linear: _dense,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
    nir.Scale: _fixed(lambda node: tuple(node.scale.shape)),
    nir.Delay: _fixed(lambda node: tuple(node.delay.shape)),
    nir.IF: _fixed(lambda node: tuple(node.v_threshold.shape)),
    nir.LIF: _fixed(lambda node: tuple(node.v_threshold.shape)),
    nir.CubaLIF: _fixed(lambda node: tuple(node.v_threshold.shape)),
    nir.LI: _fixed(lambda node: tuple(node.v_leak.shape)),
    nir.CubaLI: _fixed(lambda node: tuple(node.v_leak.shape)),
    nir.Output: _same,
}


def input_shape(node: nir.Input) -> Shape:
    """Shape of an Input node, without batch and time."""
    value = node.input_type
    if isinstance(value, dict):
        value = value["input"]
    return tuple(int(v) for v in np.asarray(value).reshape(-1))


def own_shape(node: nir.NIRNode) -> Shape | None:
    """Output shape that a node fixes by its own parameters, or None."""
    if isinstance(node, nir.Input):
        return input_shape(node)
    for field in ("v_threshold", "v_leak", "scale", "delay"):
        if hasattr(node, field):
            return tuple(np.shape(getattr(node, field)))
    return None


def output_shape(name: str, node: nir.NIRNode, shape: Shape) -> Shape:
    """Output shape of `node` for an input of `shape`; GraphError names the node where it is none."""
    try:
        result = _INFER[type(node)](node, shape)
    except (ValueError, IndexError) as error:
        raise GraphError(f"node {name!r} ({kind(node)}): {error}") from None
    if any(size <= 0 for size in result):
        raise GraphError(f"node {name!r} ({kind(node)}): output would be {result}, allowed sizes >= 1")
    return result
