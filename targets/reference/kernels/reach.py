"""Which outputs of a convolution an input reaches, and its weights in that order, for `scatter.inc`."""

from __future__ import annotations

import ctypes
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from targets.reference.kernels.events import Geometry

_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p
# Floats of a vector in scatter.inc and spikes.inc.
LANES = 8
# Of one class of inputs along an axis: kernel indices, and the first of the outputs that they lead to.
Runs = list[tuple[list[int], int]]


class Reach(ctypes.Structure):
    """As `REACH` in scatter.inc; holds the tables that it points to, and packs weights for them."""

    _fields_ = [
        *((name, _LONG) for name in ("rows", "columns", "wide", "top", "left", "runs")),
        *((name, _POINTER) for name in ("run", "line", "column")),
    ]

    @classmethod
    def of(cls, g: Geometry) -> Reach:
        """The tables of a convolution; outputs lie `wide` floats apart, whole vectors."""
        wide = -(-g.out_channels // LANES) * LANES
        # Down, a run is one output high.
        above = _classes(g.kernel_y, g.stride_y, g.dilation_y, 1)
        beside = _classes(g.kernel_x, g.stride_x, g.dilation_x, g.kernel_x)
        rows, top = _margin(above, g.height, g.out_height, g.stride_y, g.before_y)
        columns, left = _margin(beside, g.width, g.out_width, g.stride_x, g.before_x)
        most = max(len(down) for down in above) * max(len(across) for across in beside)
        runs = np.zeros((len(above) * len(beside), most, 3), dtype=np.int32)
        taps, at = list[tuple[int, list[int]]](), 0
        for row, (down, across) in zip(runs, product(above, beside), strict=True):
            for run, (([ky], y), (kx, x)) in zip(row, product(down, across), strict=False):
                run[:] = (y * columns + x) * wide, at, len(kx) * wide // LANES
                taps.append((ky, kx))
                at += g.channels * len(kx) * wide
        tables = (
            runs,
            _places(g.height, g.stride_y, g.before_y, top, columns * wide, g.stride_x),
            _places(g.width, g.stride_x, g.before_x, left, wide, 1),
        )
        found = cls(rows, columns, wide, top, left, most, *(table.ctypes.data for table in tables))
        found.tables, found.taps = tables, taps
        return found

    def packed(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """`weight` [out, channels, *kernel] run by run [channels, taps, wide], and `bias` [wide]."""
        more = self.wide - len(weight)
        rows = weight.reshape(*weight.shape[:2], -1, weight.shape[-1])
        laid = functional.pad(rows.permute(2, 3, 1, 0), (0, more))
        runs = [laid[ky, kx].transpose(0, 1).flatten() for ky, kx in self.taps]
        held = weight.new_zeros(len(weight)) if bias is None else bias
        return torch.cat(runs), functional.pad(held, (0, more))


def _classes(kernel: int, stride: int, dilation: int, longest: int) -> list[Runs]:
    """Runs of each class of inputs along an axis, of at most `longest` outputs.

    Input i lies at place p = i + before, in class p mod stride; kernel index k leads it to output
    (p - k * dilation) / stride where that is whole, here counted from p // stride.
    """
    found = []
    for r in range(stride):
        runs: Runs = []
        for k in reversed(range(kernel)):
            output, rest = divmod(r - k * dilation, stride)
            if rest:
                continue
            if runs and len(runs[-1][0]) < longest and output == runs[-1][1] + len(runs[-1][0]):
                runs[-1][0].append(k)
            else:
                runs.append(([k], output))
        found.append(runs)
    return found


def _margin(classes: list[Runs], size: int, outs: int, stride: int, before: int) -> tuple[int, int]:
    """Outputs with their margin, and the margin before them."""
    margin = max((-output for runs in classes for _, output in runs), default=0)
    return margin + max(outs, (size - 1 + before) // stride + 1), margin


def _places(size: int, stride: int, before: int, margin: int, apart: int, classes: int) -> NDArray[np.int32]:
    """Of each input of an axis, where output p // stride lies and its class, times `classes`."""
    output, alike = np.divmod(np.arange(size) + before, stride)
    return np.stack([(output + margin) * apart, alike * classes], axis=1).astype(np.int32)
