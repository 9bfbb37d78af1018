"""The neurons of the torch engine over many steps, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.loihi import limits
from targets.loihi.program import FixedPopulation

_WRAP = 2.0**limits.STATE_BITS
_HALF = 2.0 ** (limits.STATE_BITS - 1)
_SCALE = 2.0**limits.STATE_SHIFT

Sum = tuple[Tensor, int]
"""What a hop delivers, float32 [S, B, neurons] of whole numbers, and its shift to units of u."""


class Stretch(NamedTuple):
    """What some steps gave: spikes float32 [S, B, neurons], their sums, and, where asked for, u and v."""

    spikes: Tensor
    counts: NDArray[np.int64]
    u: NDArray[np.int64] | None
    v: NDArray[np.int64] | None


class Neurons:
    """The update of one population; integers live in float64, which holds them below 2^53."""

    def __init__(self, population: FixedPopulation, device: torch.device) -> None:
        self.size, self.device = int(np.prod(population.shape)), device
        self.bias_u = torch.from_numpy(population.bias_u * _SCALE).to(device)
        self.bias_v = torch.from_numpy(population.bias_v.astype(np.float64)).to(device)
        self.keep_u, self.keep_v = (
            torch.from_numpy(np.asarray((limits.DECAY_ONE - lost) / limits.DECAY_ONE)).to(device)
            for lost in (population.du + 1, population.dv)
        )
        self.remembers = bool(self.keep_u.any())
        self.threshold = float(population.vth << limits.STATE_SHIFT)
        self.subtract = population.subtract

    def start(self, batch: int) -> list[Tensor]:
        """u and v of `batch` samples before the first step, float64 [B, neurons]."""
        return [torch.zeros((batch, self.size), dtype=torch.float64, device=self.device) for _ in "uv"]

    def advance(
        self, state: list[Tensor], sums: Sequence[Sum], elapsed: int, steps: int, states: bool
    ) -> Stretch:
        """Run `steps` steps after `elapsed`; `state` is brought up to date."""
        spikes, us, vs = [], [], []
        for t in range(steps):
            spikes.append(self._step(state, [(s[t], shift) for s, shift in sums], elapsed + t))
            if states:
                us.append(state[0])
                vs.append(state[1])
        joined = torch.stack(spikes).to(torch.float32)
        counts = joined.sum((0, 1), dtype=torch.float64).to(torch.int64).cpu().numpy()
        if not states:
            return Stretch(joined, counts, None, None)
        u, v = (torch.stack(values).to(torch.int64).cpu().numpy() for values in (us, vs))
        return Stretch(joined, counts, u, v)

    def _step(self, state: list[Tensor], sums: Sequence[Sum], now: int) -> Tensor:
        u, v = state
        u = (u * self.keep_u).trunc_() if self.remembers else torch.zeros_like(u)
        u += self.bias_u[min(now, len(self.bias_u) - 1)]
        for arrived, shift in sums:
            # A power of two times a float is exact.
            u += arrived * 2.0**shift
        # Into (-2^23, 2^23].
        u.sub_((u - _HALF).mul_(1 / _WRAP).ceil_(), alpha=_WRAP)
        v = (v * self.keep_v).trunc_() + u
        v += self.bias_v[min(now, len(self.bias_v) - 1)]
        v.clamp_(-limits.STATE_MAX, limits.STATE_MAX)
        spikes = v > self.threshold
        v = v - spikes * self.threshold if self.subtract else v.masked_fill_(spikes, 0.0)
        state[:] = u, v
        return spikes
