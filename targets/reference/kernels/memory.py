"""Large results of the kernels in memory that is used again.

The system gives out large blocks page by page, zeroed, and takes them back when a tensor goes; at each
step of a training that costs more than the kernels themselves. Here a block waits for the next tensor of
its size instead.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
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
    """A block in use; arrays made of it keep it alive."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        self.__array_interface__ = block.__array_interface__


class _Blocks:
    def __init__(self) -> None:
        self.waiting: dict[int, list[NDArray[np.uint8]]] = {}
        self.held = 0
        self.lock = threading.RLock()

    def take(self, size: int) -> NDArray[np.uint8]:
        """An array of `size` bytes; its memory waits again once neither it nor a view of it is left."""
        with self.lock:
            same = self.waiting.get(size)
            block = same.pop() if same else None
            if block is not None:
                self.held -= size
        if block is None:
            block = np.empty(size, dtype=np.uint8)
        lease = _Lease(block)
        weakref.finalize(lease, self.give_back, block).atexit = False
        return np.asarray(lease)

    def give_back(self, block: NDArray[np.uint8]) -> None:
        with self.lock:
            if self.held + block.nbytes <= _MOST_BYTES:
                self.waiting.setdefault(block.nbytes, []).append(block)
                self.held += block.nbytes


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
    return torch.from_numpy(_BLOCKS.take(size)).view(dtype).view(shape)


def array(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The same as an array."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST_BYTES:
        return np.empty(shape, dtype)
    return _BLOCKS.take(size).view(dtype).reshape(shape)
