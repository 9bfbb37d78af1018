"""Every linear stateless node as a sparse matrix and a bias: y = A x + b on flattened arrays, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity, kron
from scipy.sparse import diags as sparse_diagonal

from targets.graph.shapes import Shape, conv_margins, padded_shape, pair, per_axis, window_shape

Folded = tuple[csr_matrix, NDArray[np.float64] | None]


def _stored(value: Any) -> NDArray[np.float64]:
    """A parameter as every target reads it: rounded to float32 once."""
    return np.asarray(value, dtype=np.float32).astype(np.float64)


def fold(node: nir.NIRNode, shape: Shape) -> Folded:
    """Matrix [outputs, inputs] and bias [outputs] (None where the node has none) of a linear node."""
    return _FOLD[type(node)](node, shape)


def _conv(node: nir.Conv1d | nir.Conv2d, shape: Shape) -> Folded:
    """A convolution; one of a single axis has one row."""
    groups, weight = int(node.groups), _stored(node.weight)
    axes = weight.ndim - 2
    stride, dilation = per_axis(node.stride, axes), per_axis(node.dilation, axes)
    before, after = conv_margins(node)
    if axes == 1:
        weight, shape = weight[:, :, None], (shape[0], 1, *shape[1:])
        stride, dilation, before, after = (1, *stride), (1, *dilation), (0, *before), (0, *after)
    rows, columns, taps, size = _taps(shape, weight.shape[2:], stride, (before, after), dilation)
    inside, pixels_out, pixels_in = weight.shape[1], int(np.prod(size)), int(np.prod(shape[1:]))
    flat = weight.reshape(weight.shape[0], inside, -1)
    out_channel, in_channel = np.meshgrid(np.arange(weight.shape[0]), np.arange(inside), indexing="ij")
    first = out_channel // (weight.shape[0] // groups) * inside
    row = (out_channel[..., None] * pixels_out + rows).ravel()
    column = ((in_channel + first)[..., None] * pixels_in + columns).ravel()
    matrix = csr_matrix(
        (flat[:, :, taps].ravel(), (row, column)),
        shape=(weight.shape[0] * pixels_out, int(np.prod(shape))),
    )
    return matrix, np.repeat(_stored(node.bias), pixels_out)


def _taps(
    shape: Shape, kernel: Shape, stride: Shape, margins: tuple[Shape, Shape], dilation: Shape
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Shape]:
    """Output pixel, input pixel and kernel tap of every connection inside one channel pair."""
    before, after = margins
    size = window_shape(padded_shape(shape[1:], before, after), kernel, stride, dilation)
    out_y, out_x, tap_y, tap_x = np.meshgrid(*(np.arange(n) for n in (*size, *kernel)), indexing="ij")
    in_y = out_y * stride[0] - before[0] + tap_y * dilation[0]
    in_x = out_x * stride[1] - before[1] + tap_x * dilation[1]
    real = (in_y >= 0) & (in_y < shape[1]) & (in_x >= 0) & (in_x < shape[2])
    rows, columns = (out_y * size[1] + out_x)[real], (in_y * shape[2] + in_x)[real]
    return rows, columns, (tap_y * kernel[1] + tap_x)[real], size


def _pool(node: nir.SumPool2d | nir.AvgPool2d, shape: Shape) -> Folded:
    kernel, padding = pair(node.kernel_size), pair(node.padding)
    rows, columns, _, size = _taps(shape, kernel, pair(node.stride), (padding, padding), (1, 1))
    share = 1.0 / (kernel[0] * kernel[1]) if isinstance(node, nir.AvgPool2d) else 1.0
    one = csr_matrix(
        (np.full(rows.size, share), (rows, columns)), shape=(int(np.prod(size)), int(np.prod(shape[1:])))
    )
    return csr_matrix(kron(identity(shape[0]), one)), None


def _dense(node: nir.Affine | nir.Linear, shape: Shape) -> Folded:
    leading = int(np.prod(shape[:-1]))
    weight = csr_matrix(_stored(node.weight))
    matrix = weight if leading == 1 else csr_matrix(kron(identity(leading), weight))
    if not isinstance(node, nir.Affine):
        return matrix, None
    bias = np.broadcast_to(_stored(node.bias), (*shape[:-1], node.weight.shape[0]))
    return matrix, bias.ravel()


def _scale(node: nir.Scale, shape: Shape) -> Folded:
    return csr_matrix(sparse_diagonal(_stored(node.scale).ravel())), None


def _identity(node: nir.NIRNode, shape: Shape) -> Folded:
    return csr_matrix(identity(int(np.prod(shape)))), None


_FOLD: Mapping[type[nir.NIRNode], Callable[[Any, Shape], Folded]] = {
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.Affine: _dense,
    nir.Linear: _dense,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Scale: _scale,
    nir.Flatten: _identity,
}
