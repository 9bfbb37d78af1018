"""Samples and labels in three parts."""

from __future__ import annotations

from dataclasses import dataclass

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
        x, y = self.part(name)
        if not len(x):
            raise DataError(f"data {self.name!r}: the {name} part has no samples; give more, or another part")
        self._check_encoding(encoding)
        return encode(x[:samples], encoding, steps), y[:samples]

    def batch(self, encoding: str, steps: int, samples: int) -> Floats:
        """The batch on which candidates are compared: training samples at even distances."""
        self._check_encoding(encoding)
        if not len(self.train_x):
            raise DataError(f"data {self.name!r}: the train part has no samples; give more")
        count = min(samples, len(self.train_x))
        chosen = np.linspace(0, len(self.train_x) - 1, count).round().astype(np.int64)
        return encode(self.train_x[chosen], encoding, steps)

    def _check_encoding(self, encoding: str) -> None:
        if self.recorded != (encoding == "events"):
            kind, need = (
                ("recorded", "'events'") if self.recorded else ("static", "'rate', 'latency' or 'graded'")
            )
            raise ConfigError(
                f"data.encoding: found {encoding!r}, but {self.name!r} is {kind}; allowed {need}"
            )
