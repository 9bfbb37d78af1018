"""Augmentation of input spikes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shifted(x: NDArray[np.float32], pixels: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Each sample of `x` [T, B, C, H, W] moved by up to `pixels` along both axes, zeros moving in.

    What has a single row or column is no picture, and stays.
    """
    if pixels == 0 or min(x.shape[-2:]) == 1:
        return x
    moved = np.zeros_like(x)
    offsets = rng.integers(-pixels, pixels + 1, size=(x.shape[1], 2))
    for dy, dx in np.unique(offsets, axis=0):
        chosen = (offsets == (dy, dx)).all(axis=1)
        (to_y, from_y), (to_x, from_x) = _slices(dy), _slices(dx)
        moved[:, chosen, :, to_y, to_x] = x[:, chosen, :, from_y, from_x]
    return moved


def _slices(offset: int) -> tuple[slice, slice]:
    """Target and source slices of an axis moved by `offset`."""
    if offset >= 0:
        return slice(offset, None), slice(None, -offset or None)
    return slice(None, offset), slice(-offset, None)
