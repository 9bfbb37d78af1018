"""Samples of one part of a data set, encoded as they are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import targets
from msenas_hw.data import Dataset
from msenas_hw.training.augment import asked, augmented
from msenas_hw.training.config import TrainingConfig
from targets.errors import DataError
from targets.graph.graph import SpikingGraph

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
# Samples encoded at once where a whole part is run.
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Samples:
    """A part of a data set for a network; only the samples of a batch are ever encoded.

    Attributes:
        shape: of one sample at one step, as the network takes it.
    """

    data: Dataset
    part: str
    encoding: str
    steps: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, data: Dataset, part: str, encoding: str, steps: int, shape: tuple[int, ...]) -> Samples:
        """The `part` of `data`, tried on one sample.

        Raises:
            ConfigError, DataError: as `Dataset.encoded`; or samples that the network cannot take.
        """
        data.inputs(part, encoding, steps, 1)
        return cls(data, part, encoding, steps, fitting(data.name, data.input_shape, shape))

    def __len__(self) -> int:
        return len(self.data.part(self.part)[1])

    def digest(self) -> str:
        """Hash of the samples, their classes and their encoding."""
        digest = hashlib.sha256(repr((self.encoding, self.steps, self.shape)).encode())
        for piece in self.data.content(self.part):
            digest.update(piece)
        return digest.hexdigest()[:16]

    def first(self, count: int) -> Floats:
        """Input [T, count, *shape] of the first samples."""
        return self._shaped(self._encoded(slice(count))[0])

    def blocks(self) -> Iterator[tuple[Floats, Labels]]:
        """All samples in their order: input [T, B, *shape] and classes [B]."""
        for at in range(0, len(self), _BLOCK):
            x, y = self._encoded(slice(at, at + _BLOCK))
            yield self._shaped(x), y

    def batches(self, config: TrainingConfig, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass in random order, the samples augmented."""
        order, how = rng.permutation(len(self)), asked(config, self.data)
        for at in range(0, len(self), config.batch):
            x, y = self._encoded(order[at : at + config.batch])
            x = self._shaped(augmented(x, how, rng))
            yield torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y)

    def _encoded(self, rows: NDArray[np.int64] | slice) -> tuple[Floats, Labels]:
        """[T, B, C, H, W] and classes [B]."""
        return self.data.encoded(self.part, rows, self.encoding, self.steps)

    def _shaped(self, x: Floats) -> Floats:
        return x.reshape(*x.shape[:2], *self.shape)


def fitting(name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """`wanted`, if samples of shape `found` can take it: axes of 1 are free, a flat Input takes any sample.

    Raises:
        DataError: they cannot.
    """
    same = [n for n in found if n > 1] == [n for n in wanted if n > 1]
    if not same and not (len(wanted) == 1 and math.prod(found) == wanted[0]):
        raise DataError(f"data {name!r} have samples of shape {found}, the network takes {wanted}")
    return wanted


@dataclass(frozen=True)
class Evaluation:
    """Fraction of samples classified rightly, and spikes a sample (input included)."""

    accuracy: float
    spikes: float


def evaluate(
    graph: SpikingGraph, samples: Samples, target: str = "reference", **options: object
) -> Evaluation:
    """Run every sample on a target."""
    executable = targets.compile(graph, target, **options)
    right = spikes = 0
    for x, y in samples.blocks():
        run = executable.run(x)
        right += int((run.classes() == y).sum())
        spikes += sum(int(count.sum()) for count in run.spike_counts.values())
    return Evaluation(right / len(samples), spikes / len(samples))
