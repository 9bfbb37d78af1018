"""Shape inference: one function a node kind, no batch and no time axis."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.graph.kinds import kind

Shape = tuple[int, ...]
# Values of one node, and the bytes that may be made from single numbers in a file.
LARGEST = 2**31
_FILLED = 2**28


class Filler:
    """Makes arrays from single numbers, so that a small file does not become gigabytes."""

    def __init__(self) -> None:
        self.room = _FILLED

    def __call__(self, name: str, shape: Shape, value: Any) -> NDArray[Any]:
        """`value` for every neuron of node `name`; GraphError where all that were made are too many."""
        self.room -= math.prod(shape) * np.asarray(value).dtype.itemsize
        if self.room < 0:
            raise GraphError(f"node {name!r}: {shape} from one number, allowed {_FILLED} bytes in a file")
        return np.full(shape, value)


def per_axis(value: Any, axes: int) -> Shape:
    """A scalar or a stride, padding, dilation or kernel of `axes` elements, one number an axis."""
    flat = [int(v) for v in np.asarray(value).reshape(-1)]
    if len(flat) not in (1, axes):
        raise ValueError(f"found {flat}, allowed one or {axes} integers")
    return tuple(flat) if len(flat) == axes else tuple(flat * axes)


def pair(value: Any) -> tuple[int, int]:
    """A scalar or two-element stride, padding, dilation or kernel as `(rows, columns)`."""
    rows, columns = per_axis(value, 2)
    return (rows, columns)


def conv_margins(node: nir.Conv1d | nir.Conv2d) -> tuple[Shape, Shape]:
    """Zeros before and after each axis of a convolution; of an odd number "same" puts one more after.

    Raises:
        ValueError: an unknown word, or "same" with a stride.
    """
    padding, axes = node.padding, node.weight.ndim - 2
    if isinstance(padding, bytes | np.bytes_):
        padding = padding.decode()
    if not isinstance(padding, str):
        return per_axis(padding, axes), per_axis(padding, axes)
    if padding == "valid":
        return (0,) * axes, (0,) * axes
    strides = per_axis(node.stride, axes)
    if padding != "same" or any(s != 1 for s in strides):
        raise ValueError(
            f"padding {padding!r} with stride {strides}, allowed numbers, 'valid', or 'same' with stride 1"
        )
    dilation = per_axis(node.dilation, axes)
    total = [d * (k - 1) for d, k in zip(dilation, node.weight.shape[2:], strict=True)]
    return tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)


def window_shape(padded: Sequence[int], kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """Places of a sliding window on axes with their padding: floor((n - d(k - 1) - 1) / s) + 1."""
    axes = zip(padded, kernel, stride, dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)


def padded_shape(shape: Shape, before: Shape, after: Shape) -> Shape:
    """Each axis with the zeros before and after it."""
    return tuple(a + n + b for a, n, b in zip(before, shape, after, strict=True))


def _conv(node: nir.Conv1d | nir.Conv2d, shape: Shape) -> Shape:
    axes = node.weight.ndim - 2
    channels = node.weight.shape[1] * int(node.groups)
    if len(shape) != axes + 1 or shape[0] != channels:
        places = ", ".join(("rows", "columns") if axes == 2 else ("places",))
        raise ValueError(f"input is {shape}, allowed ({channels}, {places})")
    strides, dilation = per_axis(node.stride, axes), per_axis(node.dilation, axes)
    padded = padded_shape(shape[1:], *conv_margins(node))
    spatial = window_shape(padded, node.weight.shape[2:], strides, dilation)
    return (int(node.weight.shape[0]), *spatial)


def _dense(node: nir.Affine | nir.Linear, shape: Shape) -> Shape:
    if not shape or shape[-1] != node.weight.shape[1]:
        raise ValueError(f"input is {shape}, allowed (..., {node.weight.shape[1]})")
    return (*shape[:-1], int(node.weight.shape[0]))


def _pool(node: nir.SumPool2d | nir.AvgPool2d, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ValueError(f"input is {shape}, allowed (channels, rows, columns)")
    kernel, stride, padding = pair(node.kernel_size), pair(node.stride), pair(node.padding)
    return (shape[0], *window_shape(padded_shape(shape[1:], padding, padding), kernel, stride, (1, 1)))


def flat_axes(node: nir.Flatten, rank: int) -> tuple[int, int]:
    """First and last axis that a Flatten merges, of `rank` axes without batch and time."""
    dims = (int(node.start_dim), int(node.end_dim))
    if not all(-rank <= d < rank for d in dims) or dims[0] % rank > dims[1] % rank:
        raise ValueError(
            f"start_dim={dims[0]}, end_dim={dims[1]} of an input with {rank} axes (no batch), allowed an "
            f"ascending pair in {-rank}..{rank - 1}"
        )
    return dims[0] % rank, dims[1] % rank


def _flatten(node: nir.Flatten, shape: Shape) -> Shape:
    first, last = flat_axes(node, len(shape))
    merged = math.prod(shape[first : last + 1])
    return (*shape[:first], merged, *shape[last + 1 :])


# A field whose shape is that of a node.
_OWN: Mapping[type[nir.NIRNode], str] = {
    nir.Scale: "scale",
    nir.Threshold: "threshold",
    nir.Delay: "delay",
    nir.I: "r",
    nir.IF: "v_threshold",
    nir.LIF: "v_threshold",
    nir.CubaLIF: "v_threshold",
    nir.LI: "v_leak",
    nir.CubaLI: "v_leak",
}


def _elementwise(field: str) -> Callable[[Any, Shape], Shape]:
    def infer(node: nir.NIRNode, shape: Shape) -> Shape:
        own: Shape = getattr(node, field).shape
        if own != shape:
            raise ValueError(f"input is {shape}, but its parameters have shape {own}")
        return own

    return infer


def _same(node: nir.NIRNode, shape: Shape) -> Shape:
    return shape


_INFER: Mapping[type[nir.NIRNode], Callable[[Any, Shape], Shape]] = {
    **{cls: _elementwise(field) for cls, field in _OWN.items()},
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.Affine: _dense,
    nir.Linear: _dense,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
    nir.Output: _same,
}


def input_shape(node: nir.Input) -> Shape | None:
    """Shape of an Input node, without batch and time; None where it has none."""
    value = node.input_type
    if isinstance(value, dict):
        value = value["input"]
    return None if value is None else tuple(int(v) for v in np.asarray(value).reshape(-1))


def own_shape(node: nir.NIRNode) -> Shape | None:
    """Output shape that a node fixes by its own parameters, or None."""
    field = _OWN.get(type(node))
    if field is not None:
        return tuple(np.shape(getattr(node, field)))
    return input_shape(node) if type(node) is nir.Input else None


def output_shape(name: str, node: nir.NIRNode, shape: Shape) -> Shape:
    """Output shape of `node` for an input of `shape`; GraphError names the node where it is none."""
    rule = _INFER.get(type(node))
    if rule is None:
        raise GraphError(f"node {name!r} ({kind(node)}): takes no input, found {shape}")
    try:
        result = rule(node, shape)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise GraphError(f"node {name!r} ({kind(node)}): {error}") from None
    if not result or min(result) <= 0 or math.prod(result) > LARGEST:
        allowed = f"allowed sizes >= 1 and up to {LARGEST} values"
        raise GraphError(f"node {name!r} ({kind(node)}): output would be {result}, {allowed}")
    return result


def infer_shapes(nodes: Mapping[str, nir.NIRNode], edges: Sequence[tuple[str, str]]) -> dict[str, Shape]:
    """Output shape of every node, without batch and time, in time linear in nodes and edges.

    Raises:
        GraphError: shapes that do not match, or a node that no Input or population reaches.
    """
    known = {n: s for n, node in nodes.items() if (s := own_shape(node)) is not None}
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
    arrives: dict[str, Shape] = {}
    pending = deque(known)
    while pending:
        source = pending.popleft()
        for target in after[source]:
            shape = known[source]
            if arrives.get(target) == shape:
                continue
            result = output_shape(target, nodes[target], shape)
            if target not in known:
                known[target] = result
                pending.append(target)
            elif result != known[target]:
                raise GraphError(
                    f"edge {source!r} -> {target!r}: {shape} gives {result}, "
                    f"but the other inputs of {target!r} give {known[target]}"
                )
            arrives.setdefault(target, shape)
    lost = next((name for name in nodes if name not in known), None)
    if lost is not None:
        raise GraphError(f"node {lost!r}: no Input or population reaches it, so it has no shape")
    return known
