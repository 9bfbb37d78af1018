"""Convolutions on spikes by the C kernels (`events.inc`, `gradients.inc`); channels lie last."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import nir
import torch
from torch import Tensor
from torch.nn import functional

from targets.graph.shapes import Shape, conv_margins, per_axis
from targets.reference.kernels.build import kernels
from targets.reference.kernels.layout import DTYPES
from targets.reference.kernels.memory import check

_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_VECTOR_BYTES = 32
_VECTORS = (8, 4, 2, 1)
# Above this share of active inputs the dense product is about as fast (measured on convolutions of 3 x 3).
DENSEST = 0.3
_NO_MEMORY = "no memory for the events of a frame"


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
        return _vectors(self.geometry.out_channels, _VECTOR_BYTES // dtype.itemsize)

    def _wide(self, dtype: torch.dtype) -> int:
        return self.vectors(dtype) * (_VECTOR_BYTES // dtype.itemsize)

    def packed(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weight as [blocks, taps, channels, wide] and bias as [blocks * wide], zeros where padded."""
        wide = self._wide(weight.dtype)
        outs, channels, *kernel = weight.shape
        rows = torch.empty((-(-outs // wide), math.prod(kernel), channels, wide), dtype=weight.dtype)
        self._packing("pack", wide, weight.detach(), rows)
        more = -outs % wide
        if bias is None:
            return rows, weight.new_zeros(outs + more)
        return rows, functional.pad(bias.detach(), (0, more)) if more else bias.detach().contiguous()

    def packed_back(self, weight: Tensor) -> Tensor:
        """Weight as [blocks, taps, out_channels, wide], input channels side by side, zeros where padded."""
        wide = self._wide_back(weight.dtype)
        outs, channels, *kernel = weight.shape
        rows = torch.empty((-(-channels // wide), math.prod(kernel), outs, wide), dtype=weight.dtype)
        self._packing("pack_back", wide, weight.detach(), rows)
        return rows

    def worthwhile(self) -> bool:
        """Whether gathering can beat the dense product at all (measured)."""
        g = self.geometry
        return g.out_channels >= 16 and g.channels * g.kernel_y * g.kernel_x >= 16

    def run(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, left: Tensor) -> int:
        """Outputs [N, *size, channels] of `x`, and which frames were `left` [N]; how many were.

        Every tensor is contiguous.
        """
        frames = x.shape[0]
        self._check(x, out)
        self.check_packed(weight, bias)
        check(torch.bool, frames, left)
        number = self._functions(x.dtype).gather(
            ctypes.byref(self.geometry),
            frames,
            self._most(x),
            self.vectors(x.dtype),
            *(t.data_ptr() for t in (x, weight, bias, out, left)),
        )
        if number < 0:
            raise MemoryError(_NO_MEMORY)
        return number

    def forward_fields(self, x: Tensor, out: Tensor, weight: Tensor, bias: Tensor) -> dict[str, Any]:
        """What `program` needs for steps like `x` [B, *size, channels] and `out`, parameters packed."""
        self._check(x, out)
        self.check_packed(weight, bias)
        return {
            "geometry": self.geometry,
            "weight": weight,
            "bias": bias,
            "most": self._most(x),
            "vectors": self.vectors(x.dtype),
        }

    def backward_fields(self, x: Tensor, out: Tensor, back: Tensor, total: Tensor) -> dict[str, Any]:
        """The same for the gradient: `back` of `packed_back`, `total` of the packed weight."""
        self._check(x, out)
        self._check_back(back)
        self.check_packed(total, None)
        wide = self._wide_back(x.dtype)
        return {"weight_back": back, "vectors_back": wide * x.dtype.itemsize // _VECTOR_BYTES}

    def weight_gradient(self, x: Tensor, gradient: Tensor, left: Tensor, total: Tensor) -> None:
        """Gradient of the packed weight from the frames of `x` not `left`, added to `total`.

        Args:
            gradient: of the outputs, [N, *size, channels], contiguous.
        """
        self._check(x, gradient)
        check(torch.bool, x.shape[0], left)
        self.check_packed(total, None)
        pointers = (t.data_ptr() for t in (x, gradient, left, total))
        geometry = ctypes.byref(self.geometry)
        if self._functions(x.dtype).collect(geometry, x.shape[0], self.vectors(x.dtype), *pointers) < 0:
            raise MemoryError(_NO_MEMORY)

    def zeros(self, weight: Tensor) -> Tensor:
        """A packed weight of zeros."""
        wide, (outs, channels, *kernel) = self._wide(weight.dtype), weight.shape
        return torch.zeros((-(-outs // wide), math.prod(kernel), channels, wide), dtype=weight.dtype)

    def unpacked(self, total: Tensor, weight: Tensor) -> Tensor:
        """`total`, packed, in the shape of `weight`."""
        out = torch.empty(weight.shape, dtype=weight.dtype)
        self._packing("unpack", total.shape[-1], total, out)
        return out

    def _packing(self, name: str, wide: int, given: Tensor, out: Tensor) -> None:
        given = given.contiguous()
        check(out.dtype, given.numel(), given)
        run = getattr(self._functions(out.dtype), name)
        run(ctypes.byref(self.geometry), wide, given.data_ptr(), out.data_ptr())

    def input_gradient(self, gradient: Tensor, weight: Tensor, out: Tensor) -> None:
        """Gradient of the input into `out`, from that of the output and `packed_back`; all contiguous."""
        self._check(out, gradient)
        self._check_back(weight)
        wide = self._wide_back(out.dtype)
        pointers = (t.data_ptr() for t in (gradient, weight, out))
        geometry, vectors = ctypes.byref(self.geometry), wide * out.dtype.itemsize // _VECTOR_BYTES
        if self._functions(out.dtype).spread(geometry, out.shape[0], vectors, *pointers) < 0:
            raise MemoryError(_NO_MEMORY)

    def _check(self, x: Tensor, out: Tensor) -> None:
        frames, g = x.shape[0], self.geometry
        check(x.dtype, frames * g.channels * g.height * g.width, x)
        check(x.dtype, frames * math.prod(self.out_shape), out)

    def _most(self, x: Tensor) -> int:
        """Active inputs of a frame that is still gathered."""
        return int(DENSEST * (x.numel() // max(x.shape[0], 1)))

    def check_packed(self, weight: Tensor, bias: Tensor | None) -> None:
        """Whether the kernels may read parameters packed as by `packed`."""
        g, wide = self.geometry, self._wide(weight.dtype)
        padded = -(-g.out_channels // wide) * wide
        check(weight.dtype, padded * g.channels * g.kernel_y * g.kernel_x, weight)
        check(weight.dtype, padded, bias)

    def _check_back(self, weight: Tensor) -> None:
        g, wide = self.geometry, self._wide_back(weight.dtype)
        check(weight.dtype, -(-g.channels // wide) * wide * g.kernel_y * g.kernel_x * g.out_channels, weight)

    def _wide_back(self, dtype: torch.dtype) -> int:
        lanes = _VECTOR_BYTES // dtype.itemsize
        return lanes if self.geometry.channels <= lanes else 2 * lanes

    def _functions(self, dtype: torch.dtype) -> _Functions:
        return _functions(self.choice, DTYPES[dtype])


@cache
def _vectors(outs: int, lanes: int) -> int:
    return min(_VECTORS, key=lambda v: -(-outs // (v * lanes)) * (v + 1))


class _Functions(NamedTuple):
    gather: Any
    collect: Any
    spread: Any
    pack: Any
    unpack: Any
    pack_back: Any


@cache
def _functions(choice: str, dtype: str) -> _Functions:
    library = kernels(choice).library
    assert library is not None
    found = _Functions(*(library[f"{name}_{dtype}"] for name in _Functions._fields))
    found.gather.argtypes = [_POINTER, _LONG, _LONG, ctypes.c_int32, *[_POINTER] * 5]
    found.collect.argtypes = [_POINTER, _LONG, ctypes.c_int32, *[_POINTER] * 4]
    found.spread.argtypes = [_POINTER, _LONG, ctypes.c_int32, *[_POINTER] * 3]
    for packing in (found.pack, found.unpack, found.pack_back):
        packing.argtypes, packing.restype = [_POINTER, _LONG, _POINTER, _POINTER], None
    found.gather.restype = found.collect.restype = found.spread.restype = _LONG
    return found
