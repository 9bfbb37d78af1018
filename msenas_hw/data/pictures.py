"""Pictures held as bytes, a quarter of their size as float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from msenas_hw.data.encoding import Floats
from msenas_hw.data.frames import Rows
from msenas_hw.data.source import Bytes


@dataclass(frozen=True, eq=False)
class Pictures:
    """Samples [N, C, H, W] in [0, 1], of which only those that are indexed are ever made.

    Attributes:
        raw: uint8 [N, C, H, W].
        levels: value of `raw` that stands for 1.
    """

    raw: Bytes
    levels: int = 255

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape

    @property
    def ndim(self) -> int:
        return self.raw.ndim

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    def take(self, rows: Rows) -> Pictures:
        """Some of the samples; none is made."""
        return replace(self, raw=self.raw[rows])

    def __getitem__(self, rows: Rows) -> Floats:
        return self.raw[rows].astype(np.float32) / np.float32(self.levels)

    def __array__(self, dtype: object = None, copy: object = None) -> Floats:
        """All samples at once."""
        return self[:]

    def content(self) -> Iterator[bytes | memoryview]:
        """What tells these samples from others, for a digest."""
        yield f"{self.levels} {self.raw.shape}".encode()
        for row in range(0, len(self.raw), 1024):
            yield np.ascontiguousarray(self.raw[row : row + 1024]).data
