"""Channels come first in every value, and last in memory where the kernels run.

A value [*lead, channels, *size] then lies as [*lead, *size, channels]: a pixel's spikes and gradients of all
channels side by side, as the weight rows of a convolution are. Its shape stays what it was.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from targets.reference.kernels.build import kernels
from targets.reference.kernels.memory import check, empty

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
# A kernel that only moves values moves any of their size.
_MOVED_AS = {**DTYPES, torch.int64: "float64"}


@dataclass(frozen=True)
class Layout:
    """Where the channels of a value lie in memory."""

    last: bool

    def laid(self, x: Tensor, lead: int) -> Tensor:
        """`x` [*lead, channels, *size] as it lies, contiguous; copied where it lies otherwise."""
        return channels_last(x, lead) if self.last else x.contiguous()

    def seen(self, x: Tensor, lead: int) -> Tensor:
        """What `laid` gave, as everyone sees it."""
        return channels_first(x, lead) if self.last else x


def layout(x: Tensor, lead: int) -> Layout:
    """How `x` [*lead, channels, *size] lies; channels first where it lies in neither way."""
    inside = x.dim() > lead + 1
    return Layout(inside and not x.is_contiguous() and x.movedim(lead, -1).is_contiguous())


def channels_last(x: Tensor, lead: int) -> Tensor:
    """`x` [*lead, channels, *size] as a contiguous [*lead, *size, channels]; a copy if it lies otherwise."""
    moved = x.movedim(lead, -1)
    if moved.is_contiguous():
        return moved
    out = empty(moved.shape, x.dtype)
    fill(out, x, lead)
    return out


def fill(out: Tensor, x: Tensor, lead: int) -> None:
    """`x` [*lead, channels, *size] into a contiguous `out` [*lead, *size, channels] of its dtype."""
    if x.is_contiguous() and x.dtype in _MOVED_AS and x.dim() > lead + 1:
        check(x.dtype, x.numel(), out)
        rows, columns = x.shape[lead], out[(0,) * lead].numel() // x.shape[lead]
        frames = x.numel() // max(rows * columns, 1)
        transposer(_MOVED_AS[x.dtype])(frames, rows, columns, x.data_ptr(), out.data_ptr())
    else:
        out.copy_(x.movedim(lead, -1))


def count_active(x: Tensor, total: int, blank: bool) -> None:
    """How often each value of `x` [S, B, *size, channels] is not 0, added to what lies at address `total`."""
    frames = x.shape[0] * x.shape[1]
    check(x.dtype, x.numel(), x)
    _counter(DTYPES[x.dtype])(frames, x.numel() // max(frames, 1), x.data_ptr(), total, blank)


def channels_first(x: Tensor, lead: int) -> Tensor:
    """A view of `x` [*lead, *size, channels] as [*lead, channels, *size]."""
    return x.movedim(-1, lead)


@cache
def transposer(dtype: str) -> Callable[..., None]:
    """The kernel from [frames, rows, columns] to [frames, columns, rows]: their numbers and two addresses."""
    library = kernels("c").library
    assert library is not None
    found = library[f"transpose_{dtype}"]
    found.argtypes = [*[ctypes.c_int64] * 3, ctypes.c_void_p, ctypes.c_void_p]
    found.restype = None
    return found


@cache
def _counter(dtype: str) -> Callable[..., None]:
    library = kernels("c").library
    assert library is not None
    found = library[f"count_active_{dtype}"]
    found.argtypes, found.restype = [*[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 2, ctypes.c_int], None
    return found
