"""What the variants read of the membranes of a run that shows them a few samples at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.reference.kernels.layout import layout


class Membranes:
    """Watches the membranes of every population.

    Args:
        samples: keep the potentials of so many of the first samples.
        movement: add up how far potentials move (`msenas_hw.fitness.rdm.movement`).

    Attributes:
        largest: `{population: the largest potential of all samples and steps}`.
    """

    def __init__(self, samples: int, movement: bool) -> None:
        self.samples, self.movement = samples, movement
        self.largest: dict[str, float] = {}
        self._first: dict[str, list[Tensor]] = {}
        self._moved: dict[str, float] = {}
        self._low: dict[str, list[Tensor]] = {}
        self._seen: dict[str, int] = {}

    def anew(self) -> Membranes:
        """One that watches for the same, and has seen nothing."""
        return Membranes(self.samples, self.movement)

    def forget(self, population: str) -> None:
        """Begin anew with one population."""
        for seen in (self.largest, self._first, self._moved, self._low, self._seen):
            seen.pop(population, None)

    def __call__(self, population: str, v: Tensor) -> None:
        """See `v` [T, some samples, *shape], all steps of the next samples."""
        at = self._seen.get(population, 0)
        self._seen[population] = at + v.shape[1]
        self.largest[population] = max(self.largest.get(population, -np.inf), float(v.max()))
        if at < self.samples:
            self._first.setdefault(population, []).append(v[:, : self.samples - at].clone())
        if self.movement:
            self._move(population, v)

    def potentials(self) -> dict[str, NDArray[np.floating[Any]]]:
        """`{population: [T, samples, *shape]}` of the first samples."""
        return {name: torch.cat(parts, dim=1).numpy() for name, parts in self._first.items()}

    def moved(self) -> dict[str, float]:
        """`{population: its movement within `bounded`, a sample}`."""
        found = {}
        for name, total in self._moved.items():
            held = (series.clamp(min=-max(self.largest[name], 0.0)) for series in self._low[name])
            found[name] = (total + sum(_deviations(v - v.mean(0)) for v in held)) / self._seen[name]
        return found

    def _move(self, population: str, v: Tensor) -> None:
        flat = layout(v, 2).laid(v, 2).flatten(1)
        around = flat - flat.mean(0)
        kept = self._low.setdefault(population, [])
        # A potential below what has been seen so far of the bound waits until all of it is known.
        low = (flat.amin(0) < -max(self.largest[population], 0.0)).nonzero()[:, 0]
        if len(low):
            kept.append(flat[:, low])
            around[:, low] = 0.0
        self._moved[population] = self._moved.get(population, 0.0) + _deviations(around)


def _deviations(around: Tensor) -> float:
    """Sum of squares; rows in float32, their sum in float64."""
    rows = around.reshape(-1, around.shape[-1])
    return float(sum(float(torch.dot(row, row)) for row in rows))
