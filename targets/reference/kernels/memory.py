"""Large results of the kernels in memory that is used again.

The system gives out large blocks page by page, zeroed, and takes them back when a tensor goes; at each
step of a training that costs more than the kernels themselves. Here a block waits for the next tensor of
about its size instead: sizes are rounded up to a quarter of a power of two, so that
networks of other shapes find blocks as well. What lies beyond a tensor is never touched. Of too many blocks,
those go first whose size was not asked for longest.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Smaller tensors come from the allocator's own heap.
_LEAST_BYTES = 1 << 17
# The most that waits.
_MOST_BYTES = 1 << 29


class _Lease:
    """A block in use as an array of some shape, which keeps it alive."""

    def __init__(self, owner: _Blocks, block: NDArray[np.uint8], shape: Sequence[int], kind: str) -> None:
        self._owner, self._block = owner, block
        data = block.__array_interface__["data"]
        self.__array_interface__ = {"version": 3, "data": data, "shape": tuple(shape), "typestr": kind}

    def __del__(self) -> None:
        self._owner.give_back(self._block)


class _Blocks:
    def __init__(self) -> None:
        # Sizes asked for last come last.
        self.waiting: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()
        self.held = 0
        self.lock = threading.RLock()

    def take(self, least: int, shape: Sequence[int], kind: str) -> NDArray[Any]:
        """An array of `least` bytes; its memory waits again once neither it nor a view of it is left.

        Args:
            kind: of its elements, as in an array interface.
        """
        step = 1 << max(least.bit_length() - 3, 0)
        size = -(-least // step) * step
        with self.lock:
            same = self.waiting.setdefault(size, [])
            self.waiting.move_to_end(size)
            block = same.pop() if same else None
            if block is not None:
                self.held -= size
        if block is None:
            block = np.empty(size, dtype=np.uint8)
        return np.asarray(_Lease(self, block, shape, kind))

    def give_back(self, block: NDArray[np.uint8]) -> None:
        with self.lock:
            self.waiting.setdefault(block.nbytes, []).append(block)
            self.held += block.nbytes
            while self.held > _MOST_BYTES:
                size, oldest = next(iter(self.waiting.items()))
                if oldest:
                    oldest.pop()
                    self.held -= size
                else:
                    del self.waiting[size]


_BLOCKS = _Blocks()


def check(dtype: torch.dtype, elements: int, *tensors: Tensor | None) -> None:
    """Whether the kernels may read and write `tensors`: their number of elements, dtype, place and layout.

    Raises:
        ValueError: one that they would overrun or misread.
    """
    for x in tensors:
        if x is None or (x.numel() == elements and x.dtype == dtype and x.is_contiguous() and x.is_cpu):
            continue
        raise ValueError(
            f"kernels: found {x.dtype} {tuple(x.shape)} with strides {x.stride()} on {x.device}, "
            f"allowed {elements} contiguous {dtype} on the CPU"
        )


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST_BYTES:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(_BLOCKS.take(size, shape, _kind(dtype)))


@cache
def _kind(dtype: torch.dtype) -> str:
    return torch.empty(0, dtype=dtype).numpy().dtype.str


def array(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same as an array."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return _BLOCKS.take(size, shape, dtype.str)
