"""Samples and labels in three parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.encoding import Floats, encode
from msenas_hw.data.frames import Frames
from msenas_hw.data.pictures import Pictures
from msenas_hw.data.splits import dealt
from targets.errors import ConfigError, DataError

Labels = NDArray[np.int64]
# Samples of a part: held as they are, or made as they are read.
Samples = Floats | Pictures | Frames
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as it enters an experiment.

    Attributes:
        name: what it is called in reports.
        train_x: static [N, C, H, W] in [0, 1], or recorded events [N, T, C, H, W]; the same for
            `validation_x` and `test_x`. `Pictures` and `Frames` make the samples that are indexed.
        train_y: class of each sample; the same for `validation_y` and `test_y`.
        classes: number of classes.
        recorded: whether the samples have a time axis of their own.
        facts: where the samples come from: set, kind, licence, files with digests, split.
    """

    name: str
    train_x: Samples
    train_y: Labels
    validation_x: Samples
    validation_y: Labels
    test_x: Samples
    test_y: Labels
    classes: int
    recorded: bool
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample at one step."""
        return tuple(self.train_x.shape[2 if self.recorded else 1 :])

    def part(self, name: str) -> tuple[Samples, Labels]:
        """Samples and labels of `train`, `validation` or `test`."""
        if name not in PARTS:
            raise ConfigError(f"split: found {name!r}, allowed {', '.join(PARTS)}")
        return getattr(self, f"{name}_x"), getattr(self, f"{name}_y")

    def content(self, name: str) -> Iterator[bytes | memoryview]:
        """What tells the samples and classes of a part from others, piece by piece, for a digest."""
        for array in self.part(name):
            yield f"{array.dtype} {array.shape}".encode()
            if isinstance(array, Pictures | Frames):
                yield from array.content()
            else:
                yield np.ascontiguousarray(array).data

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
        if isinstance(x, Frames):
            x = x.at(steps)
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
        return replace(self, train_x=taken(self.train_x, kept), train_y=self.train_y[kept])

    def folded(self, folds: int, fold: int, validation: int) -> Dataset:
        """All samples dealt anew, in the classes' shares: fold `fold` is the test part.

        Validation is the end of what is left.

        Raises:
            ConfigError: too many folds, or no training sample would be left.
        """
        x = _pooled([self.part(name)[0] for name in PARTS])
        y = np.concatenate([self.part(name)[1] for name in PARTS])
        number = dealt(y, folds)
        rest, test = np.flatnonzero(number != fold), np.flatnonzero(number == fold)
        kept = train_rows(len(rest), validation)
        parts = {"train": rest[:kept], "validation": rest[kept:], "test": test}
        columns: dict[str, Any] = {f"{name}_x": taken(x, rows) for name, rows in parts.items()}
        columns |= {f"{name}_y": y[rows] for name, rows in parts.items()}
        split = f"fold {fold} of {folds}, all samples dealt anew by class"
        return replace(self, **columns, facts={**self.facts, "split": split})

    def _check_encoding(self, encoding: str) -> None:
        if self.recorded != (encoding == "events"):
            kind, need = (
                ("recorded", "'events'") if self.recorded else ("static", "'rate', 'latency' or 'graded'")
            )
            raise ConfigError(
                f"data.encoding: found {encoding!r}, but {self.name!r} is {kind}; allowed {need}"
            )


def taken(x: Samples, rows: NDArray[np.int64] | slice) -> Samples:
    """Some of the samples, in the form in which they are."""
    return x.take(rows) if isinstance(x, Pictures | Frames) else x[rows]


def _pooled(parts: list[Samples]) -> Samples:
    """Samples of several parts of one set, in the form in which they are."""
    first = parts[0]
    if isinstance(first, Frames):
        return replace(first, rows=np.concatenate([x.rows for x in parts if isinstance(x, Frames)]))
    if isinstance(first, Pictures):
        return replace(first, raw=np.concatenate([x.raw for x in parts if isinstance(x, Pictures)]))
    return np.concatenate([np.asarray(x) for x in parts])


def train_rows(count: int, validation: int) -> int:
    """Training samples left of `count` once `validation` are cut from their end; ConfigError if none."""
    if validation >= count:
        raise ConfigError(f"data.validation: found {validation}, allowed 1 to {count - 1}")
    return count - validation
