"""Seeded random matrices: each depends on the seed, what it is for and its node, never on any order."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def uniform(bound: float, shape: tuple[int, ...], seed: int, purpose: str, name: str, at: int = 0) -> Tensor:
    """Float32 `shape`, uniform in +-`bound`; `at` numbers the draws of one matrix."""
    key = [seed, zlib.crc32(purpose.encode()), zlib.crc32(name.encode()), at]
    drawn = np.random.default_rng(key).uniform(-bound, bound, shape)
    return torch.from_numpy(drawn.astype(np.float32))
