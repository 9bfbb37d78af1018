"""Convolutions on spikes by the C kernels (`events.inc`)."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import nir
import torch
from torch import Tensor
from torch.nn import functional

from targets.graph.shapes import Shape, conv_margins, per_axis
from targets.reference.kernels.build import kernels
from targets.reference.kernels.memory import check

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_VECTOR_BYTES = 32
_VECTORS = (8, 4, 2, 1)
# Above this share of active inputs the dense product is about as fast (measured on convolutions of 3 x 3).
DENSEST = 0.3


class Geometry(ctypes.Structure):
    """As `GEOMETRY` in kernels.c."""

    _fields_ = [
        (name, _LONG)
        for name in (
            *(
                "channels",
                "height",
                "width",
                "out_channels",
                "out_height",
                "out_width",
                "kernel_y",
                "kernel_x",
            ),
            *("stride_y", "stride_x", "before_y", "before_x", "dilation_y", "dilation_x"),
        )
    ]


@dataclass
class Gather:
    """A convolution of one group for the kernels. (A matrix gains nothing: the dense product is as fast.)"""

    choice: str
    geometry: Geometry
    out_shape: Shape

    @classmethod
    def of(cls, choice: str, node: nir.NIRNode, shape: Shape, out_shape: Shape) -> Gather | None:
        """The node for inputs of `shape`; None for one that the kernels cannot take."""
        if not isinstance(node, nir.Conv1d | nir.Conv2d) or int(node.groups) != 1:
            return None
        axes = node.weight.ndim - 2
        before, _ = conv_margins(node)
        strides, dilations = per_axis(node.stride, axes), per_axis(node.dilation, axes)
        more = 2 - axes
        size, out_size, kernel = (
            (1,) * more + tuple(s) for s in (shape[1:], out_shape[1:], node.weight.shape[2:])
        )
        stride, dilation = ((1,) * more + s for s in (strides, dilations))
        margin = (0,) * more + tuple(before)
        found = (shape[0], *size, out_shape[0], *out_size, *kernel, *stride, *margin, *dilation)
        return cls(choice, Geometry(*map(int, found)), out_shape)

    def vectors(self, dtype: torch.dtype) -> int:
        """Vectors of output channels side by side: the choice that wastes least, then the widest."""
        lanes = _VECTOR_BYTES // dtype.itemsize
        outs = self.geometry.out_channels
        return min(_VECTORS, key=lambda v: -(-outs // (v * lanes)) * (v + 1))

    def _wide(self, dtype: torch.dtype) -> int:
        return self.vectors(dtype) * (_VECTOR_BYTES // dtype.itemsize)

    def packed(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weight as [blocks, taps, channels, wide] and bias as [blocks * wide], zeros where padded."""
        wide = self._wide(weight.dtype)
        outs, channels = weight.shape[:2]
        more = -outs % wide
        rows = functional.pad(weight.detach().reshape(outs, channels, -1), (0, 0, 0, 0, 0, more))
        rows = self._swapped(self._swapped(rows).view(-1, wide, rows[0].numel()))
        rows = rows.view(len(rows), -1, channels, wide)
        if bias is None:
            return rows, weight.new_zeros(outs + more)
        return rows, functional.pad(bias.detach(), (0, more))

    def worthwhile(self) -> bool:
        """Whether gathering can beat the dense product at all (measured)."""
        g = self.geometry
        return g.out_channels >= 16 and g.channels * g.kernel_y * g.kernel_x >= 16

    def run(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, left: Tensor) -> int:
        """Outputs [N, *out] of `x` [N, *input], and which frames were `left` [N]; how many were.

        Every tensor is contiguous.
        """
        frames, g = x.shape[0], self.geometry
        size, wide = g.channels * g.height * g.width, self._wide(x.dtype)
        taps, padded = g.channels * g.kernel_y * g.kernel_x, -(-g.out_channels // wide) * wide
        check(x.dtype, frames * size, x)
        check(x.dtype, frames * math.prod(self.out_shape), out)
        check(x.dtype, padded, bias)
        check(x.dtype, padded * taps, weight)
        check(torch.bool, frames, left)
        gather, _, _ = _functions(kernels(self.choice).library, _DTYPES[x.dtype])
        number = gather(
            ctypes.byref(self.geometry),
            frames,
            int(DENSEST * size),
            self.vectors(x.dtype),
            *(t.data_ptr() for t in (x, weight, bias, out, left)),
        )
        if number < 0:
            raise MemoryError("no memory for the events of a frame")
        return number

    def weight_gradient(self, x: Tensor, gradient: Tensor, left: Tensor, weight: Tensor) -> Tensor:
        """Gradient of `weight` from the frames of `x` [N, *input] not `left`.

        Args:
            gradient: of the outputs, [N, *out] with the channels moved last, contiguous.
        """
        wide = self._wide(x.dtype)
        outs, channels, g = *weight.shape[:2], self.geometry
        blocks = -(-outs // wide)
        total = x.new_zeros((blocks, weight[0, 0].numel(), channels, wide))
        check(x.dtype, x.shape[0] * g.channels * g.height * g.width, x)
        check(x.dtype, x.shape[0] * math.prod(self.out_shape), gradient)
        check(torch.bool, x.shape[0], left)
        _, scatter, _ = _functions(kernels(self.choice).library, _DTYPES[x.dtype])
        pointers = (t.data_ptr() for t in (x, gradient, left, total))
        if scatter(ctypes.byref(self.geometry), x.shape[0], self.vectors(x.dtype), *pointers) < 0:
            raise MemoryError("no memory for the events of a frame")
        rows = self._swapped(total.flatten(1, 2)).view(blocks * wide, -1, channels)
        return self._swapped(rows).view(-1, *weight.shape[1:])[:outs]

    def _swapped(self, x: Tensor) -> Tensor:
        return self.transposed(x, x.new_empty((x.shape[0], x.shape[2], x.shape[1])))

    def transposed(self, x: Tensor, out: Tensor) -> Tensor:
        """`x` [N, a, b] with its last two axes swapped, in `out` [N, b, a]; both contiguous."""
        check(x.dtype, x.numel(), x, out)
        _, _, transpose = _functions(kernels(self.choice).library, _DTYPES[x.dtype])
        transpose(*x.shape, x.data_ptr(), out.data_ptr())
        return out


@cache
def _functions(library: ctypes.CDLL, dtype: str) -> tuple[Callable[..., int], ...]:
    gather, scatter, transpose = (library[f"{name}_{dtype}"] for name in ("gather", "scatter", "transpose"))
    gather.argtypes = [_POINTER, _LONG, _LONG, ctypes.c_int32, *[_POINTER] * 5]
    scatter.argtypes = [_POINTER, _LONG, ctypes.c_int32, *[_POINTER] * 4]
    transpose.argtypes = [_LONG, _LONG, _LONG, _POINTER, _POINTER]
    gather.restype = scatter.restype = _LONG
    transpose.restype = None
    return gather, scatter, transpose
