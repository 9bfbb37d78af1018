"""The neurons of the dense engine over many steps: in torch on any device, or in C on the processor."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.loihi import limits
from targets.loihi.program import FixedPopulation

_WRAP = 2.0**limits.STATE_BITS
_HALF = 2.0 ** (limits.STATE_BITS - 1)
_SCALE = 2.0**limits.STATE_SHIFT
# Where a bias of the membrane is cut: it is clipped from there on, whatever the rest.
_BIAS_LIMIT = 2**26

Sum = tuple[Tensor, int]
"""What a hop delivers, float32 [S, B, neurons] of whole numbers, and its shift to units of u."""


class Stretch(NamedTuple):
    """What some steps gave: spikes float32 [S, B, neurons], their sums, and, where asked for, u and v."""

    spikes: Tensor
    counts: NDArray[np.int64]
    u: NDArray[np.int64] | None
    v: NDArray[np.int64] | None


class Neurons(Protocol):
    """The update of one population."""

    def start(self, batch: int) -> Any:
        """State of `batch` samples before the first step."""
        ...

    def advance(self, state: Any, sums: Sequence[Sum], elapsed: int, steps: int, states: bool) -> Stretch:
        """Run `steps` steps after `elapsed`; `state` is brought up to date."""
        ...


class TorchNeurons:
    """In torch: integers live in float64, which holds them below 2^53."""

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
        """u and v, float64 [B, neurons]."""
        return [torch.zeros((batch, self.size), dtype=torch.float64, device=self.device) for _ in "uv"]

    def advance(
        self, state: list[Tensor], sums: Sequence[Sum], elapsed: int, steps: int, states: bool
    ) -> Stretch:
        """See `Neurons.advance`."""
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


class _Scan(ctypes.Structure):
    """`scan` in scan.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "batch", "neurons", "elapsed", "products")),
        *((name, ctypes.c_void_p) for name in ("sums", "shifts", "keep_u", "keep_v", "bias_u", "bias_v")),
        *((name, ctypes.c_int64) for name in ("rows_u", "rows_v")),
        *((name, ctypes.c_int32) for name in ("threshold", "subtract")),
        *((name, ctypes.c_void_p) for name in ("u", "v", "spikes", "counts", "u_every", "v_every")),
    ]


class CNeurons:
    """In C: 32-bit integers."""

    def __init__(self, population: FixedPopulation, library: ctypes.CDLL) -> None:
        self.size, self._scan = int(np.prod(population.shape)), library["fixed_scan"]
        self._scan.argtypes = [ctypes.c_void_p]
        self.keep_u, self.keep_v = (
            np.full(self.size, limits.DECAY_ONE - np.asarray(lost), np.int32)
            for lost in (population.du + 1, population.dv)
        )
        shifted = (population.bias_u << limits.STATE_SHIFT).astype(np.uint32)
        self.bias_u = np.ascontiguousarray(shifted).view(np.int32)
        self.bias_v = np.clip(population.bias_v, -_BIAS_LIMIT, _BIAS_LIMIT).astype(np.int32)
        self.threshold, self.subtract = population.vth << limits.STATE_SHIFT, population.subtract

    def start(self, batch: int) -> list[NDArray[np.int32]]:
        """u and v, int32 [B, neurons]."""
        return [np.zeros((batch, self.size), np.int32) for _ in "uv"]

    def advance(
        self, state: list[NDArray[np.int32]], sums: Sequence[Sum], elapsed: int, steps: int, states: bool
    ) -> Stretch:
        """See `Neurons.advance`."""
        shape = (steps, len(state[0]), self.size)
        spikes, counts = torch.empty(shape), np.zeros(self.size, np.int32)
        every = [np.empty(shape, np.int64) if states else None for _ in "uv"]
        held = [part.contiguous() for part, _ in sums]
        pointers = (ctypes.c_void_p * len(sums))(*(part.data_ptr() for part in held))
        shifts = (ctypes.c_int32 * len(sums))(*(shift for _, shift in sums))
        given = _Scan(
            *(steps, shape[1], self.size, elapsed, len(sums)),
            *(ctypes.addressof(part) for part in (pointers, shifts)),
            *(a.ctypes.data for a in (self.keep_u, self.keep_v, self.bias_u, self.bias_v)),
            *(len(self.bias_u), len(self.bias_v), self.threshold, self.subtract),
            *(state[0].ctypes.data, state[1].ctypes.data, spikes.data_ptr(), counts.ctypes.data),
            *(None if a is None else a.ctypes.data for a in every),
        )
        if self._scan(ctypes.byref(given)) < 0:
            raise MemoryError("no memory for the currents of one step")
        return Stretch(spikes, counts.astype(np.int64), *every)
