"""What the variants read of the membranes of a run that shows them a few samples at a time."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.reference.kernels.build import kernels
from targets.reference.kernels.layout import layout
from targets.reference.kernels.spikes import Movement


class Moving(Protocol):
    """How far the potentials of a population move; `largest` is the largest one seen."""

    @property
    def largest(self) -> float: ...

    def see(self, v: Tensor) -> None:
        """Contiguous potentials [T, some samples, ...]."""

    def total(self) -> float:
        """Squared deviations from each sample's mean over time, held above minus the largest one."""


class Membranes:
    """Watches the membranes of every population.

    Args:
        samples: keep the potentials of so many of the first samples.
        movement: add up how far potentials move (`msenas_hw.fitness.rdm.movement`).
    """

    def __init__(self, samples: int, movement: bool) -> None:
        self.samples, self._asked = samples, movement
        self._moving: dict[str, Moving] = {}
        self._first: dict[str, list[Tensor]] = {}
        self._seen: dict[str, int] = {}

    def anew(self) -> Membranes:
        """One that watches for the same, and has seen nothing."""
        return Membranes(self.samples, self._asked)

    def forget(self, population: str) -> None:
        """Begin anew with one population."""
        for seen in (self._moving, self._first, self._seen):
            seen.pop(population, None)

    def __call__(self, population: str, v: Tensor) -> None:
        """See `v` [T, some samples, *shape], all steps of the next samples."""
        self.movement(population).see(layout(v, 2).laid(v, 2))
        self.saw(population, v.shape[1], v)

    def movement(self, population: str) -> Moving:
        """What is to see the population's membranes."""
        if population not in self._moving:
            self._moving[population] = _Moving() if kernels().library is None else Movement()
        return self._moving[population]

    def saw(self, population: str, samples: int, v: Tensor | None) -> None:
        """`movement` has seen so many samples more; `v` [T, samples, *shape], where samples are kept."""
        at = self._seen.get(population, 0)
        self._seen[population] = at + samples
        if v is not None and at < self.samples:
            self._first.setdefault(population, []).append(v[:, : self.samples - at].clone())

    @property
    def largest(self) -> dict[str, float]:
        """`{population: the largest potential of all samples and steps}`."""
        return {name: moving.largest for name, moving in self._moving.items()}

    def potentials(self) -> dict[str, NDArray[np.floating[Any]]]:
        """`{population: [T, samples, *shape]}` of the first samples."""
        return {name: torch.cat(parts, dim=1).numpy() for name, parts in self._first.items()}

    def moved(self) -> dict[str, float]:
        """`{population: its movement within `bounded`, a sample}`, where that was asked for."""
        moving = self._moving if self._asked else {}
        return {name: one.total() / self._seen[name] for name, one in moving.items()}


class _Moving:
    """As the kernels' `Movement`, in torch."""

    def __init__(self) -> None:
        self.largest = -float("inf")
        self._moved = 0.0
        self._low: list[Tensor] = []

    def see(self, v: Tensor) -> None:
        flat = v.flatten(1)
        self.largest = max(self.largest, float(flat.max()))
        around = flat - flat.mean(0)
        # A potential below what has been seen so far of the bound waits until all of it is known.
        low = (flat.amin(0) < -max(self.largest, 0.0)).nonzero()[:, 0]
        if len(low):
            self._low.append(flat[:, low])
            around[:, low] = 0.0
        self._moved += _deviations(around)

    def total(self) -> float:
        held = (series.clamp(min=-max(self.largest, 0.0)) for series in self._low)
        return self._moved + sum(_deviations(v - v.mean(0)) for v in held)


def _deviations(around: Tensor) -> float:
    """Sum of squares; rows in float32, their sum in float64."""
    rows = around.reshape(-1, around.shape[-1])
    return float(sum(float(torch.dot(row, row)) for row in rows))
