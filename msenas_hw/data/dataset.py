"""Samples and labels in three parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.encoding import Floats, encode
from targets.errors import ConfigError, DataError

Labels = NDArray[np.int64]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it enters an experiment.

    Attributes:
        name: what it is called in reports.
        train_x: static [N, C, H, W] in [0, 1], or recorded events [N, T, C, H, W]; the same for
            `validation_x` and `test_x`.
        train_y: class of each sample; the same for `validation_y` and `test_y`.
        classes: number of classes.
        recorded: whether the samples have a time axis of their own.
    """

    name: str
    train_x: Floats
    train_y: Labels
    validation_x: Floats
    validation_y: Labels
    test_x: Floats
    test_y: Labels
    classes: int
    recorded: bool

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample at one step."""
        return tuple(self.train_x.shape[2 if self.recorded else 1 :])

    def part(self, name: str) -> tuple[Floats, Labels]:
        """Samples and labels of `train`, `validation` or `test`."""
        if name not in PARTS:
            raise ConfigError(f"split: found {name!r}, allowed {', '.join(PARTS)}")
        return getattr(self, f"{name}_x"), getattr(self, f"{name}_y")

    def inputs(
        self, name: str, encoding: str, steps: int, samples: int | None = None
    ) -> tuple[Floats, Labels]:
        """Encoded input [T, B, *input_shape] and labels of the first `samples` of a part.

        Raises:
            ConfigError: the encoding does not suit the data.
            DataError: the part is empty, or the values do not suit the encoding.
        """
        return self.encoded(name, slice(samples), encoding, steps)

    def encoded(
        self, name: str, rows: NDArray[np.int64] | slice, encoding: str, steps: int
    ) -> tuple[Floats, Labels]:
        """Encoded input [T, B, *input_shape] and labels of chosen `rows` of a part.

        A large part takes T times its size once encoded; batch by batch it does not.

        Raises:
            ConfigError: the encoding does not suit the data.
            DataError: the part is empty, or the values do not suit the encoding.
        """
        x, y = self.part(name)
        if not len(x):
            raise DataError(f"data {self.name!r}: the {name} part has no samples; give more, or another part")
        self._check_encoding(encoding)
        return encode(x[rows], encoding, steps), y[rows]

    def batch(self, encoding: str, steps: int, samples: int) -> Floats:
        """The batch on which candidates are compared: training samples at even distances."""
        count = min(samples, len(self.train_x))
        chosen = np.linspace(0, len(self.train_x) - 1, count).round().astype(np.int64)
        return self.encoded("train", chosen, encoding, steps)[0]

    def with_train(self, samples: int) -> Dataset:
        """The same data with fewer training samples: the first of each class, in the classes' shares.

        Fewer are always among more. Validation and test stay as they are.

        Raises:
            ConfigError: the training part has fewer.
        """
        if not 1 <= samples <= len(self.train_y):
            raise ConfigError(f"data.train_samples: found {samples}, allowed 1 to {len(self.train_y)}")
        share = np.empty(len(self.train_y))
        for label in np.unique(self.train_y):
            rows = np.flatnonzero(self.train_y == label)
            share[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
        kept = np.sort(np.argsort(share, kind="stable")[:samples])
        return replace(self, train_x=self.train_x[kept], train_y=self.train_y[kept])

    def _check_encoding(self, encoding: str) -> None:
        if self.recorded != (encoding == "events"):
            kind, need = (
                ("recorded", "'events'") if self.recorded else ("static", "'rate', 'latency' or 'graded'")
            )
            raise ConfigError(
                f"data.encoding: found {encoding!r}, but {self.name!r} is {kind}; allowed {need}"
            )


def train_rows(count: int, validation: int) -> int:
    """Training samples left of `count` once `validation` are cut from their end; ConfigError if none."""
    if validation >= count:
        raise ConfigError(f"data.validation: found {validation}, allowed 1 to {count - 1}")
    return count - validation
