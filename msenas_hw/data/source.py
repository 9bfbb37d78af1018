"""What a data set is made of: its files, its samples, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.place import File, Place, located
from msenas_hw.data.published import NAMES
from targets.errors import DataError

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
Kind = Literal["images", "recorded", "simulated"]
# Part -> pictures [N, C, H, W] and classes [N].
Images = Mapping[str, tuple[Bytes, Labels]]


@dataclass(frozen=True, eq=False)
class Recording:
    """Events of one sample, as a reader yields them.

    Attributes:
        part: `train`, `validation` or `test`.
        label: class.
        order: place among the samples of the part; readers may yield in another order.
        t: microseconds since the recording began, [E].
        x: column, [E].
        y: row, [E].
        p: polarity, 0 or 1, [E].
    """

    part: str
    label: int
    order: tuple[int | str, ...]
    t: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    p: NDArray[np.int64]


def _no_reader(place: Place) -> Any:
    raise DataError(f"data {place.name!r}: has no samples of this kind")


def _all_verified(place: Place) -> str:
    return ""


@dataclass(frozen=True)
class Source:
    """A row of the table of sets (`msenas_hw.data.catalogue`).

    Attributes:
        name: as `data.name` takes it.
        title: what it holds, for people.
        kind: `images`, `recorded` events, or events `simulated` from images.
        files: names and digests; `files[i].url` is None where nobody may fetch it for the user.
        marks: names of which one marks a folder as holding the set.
        folders: where below a root the files may lie, the first being that of the cache.
        counts: allowed numbers of samples in each part; several where releases differ.
        classes: names of the classes, in the order of their numbers.
        shape: [C, H, W] of a picture, or of the sensor with its polarities.
        per_class: samples of each class in a part, where they are equal.
        licence: of the data.
        page: who publishes it.
        cite: publication.
        mend: how to get the files without `msenas data fetch`.
        test: who fixed the test part: `official`, or by what convention.
        folds: whether samples may be dealt anew for cross-validation, the test part being small or a
            convention.
        levels: value of a picture that stands for 1.
        small: whether the recordings are held in memory; others are packed in the cache.
        images: reader of pictures.
        events: reader of recordings.
        unverified: what a place holds in a form that has no published digest; empty where nothing.
        based_on: set of pictures from which the events are simulated.
    """

    name: str
    title: str
    kind: Kind
    counts: tuple[Mapping[str, int], ...]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    licence: str
    page: str
    cite: str
    files: tuple[File, ...] = ()
    marks: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    per_class: Mapping[str, int] | None = None
    mend: str | None = None
    test: str = "official"
    folds: bool = False
    levels: int = 255
    small: bool = False
    images: Callable[[Place], Images] = _no_reader
    events: Callable[[Place], Iterator[Recording]] = _no_reader
    unverified: Callable[[Place], str] = _all_verified
    based_on: str | None = None

    @property
    def fetchable(self) -> bool:
        """Whether `msenas data fetch` can get every file."""
        return bool(self.files) and all(file.url for file in self.files)

    def place(self, folder: Path | None = None) -> Place:
        """Where the files are; DataError as `msenas_hw.data.place.located`."""
        if not self.files:
            return Place(self.name, Path("embedded"), "")
        known = NAMES | {file.md5: f"{file.name} of {self.name}" for file in self.files}
        return located(self.name, self.marks, self.folders, self.how(), known, folder)

    def how(self) -> str:
        """How to get the files, for messages."""
        if self.fetchable:
            fetch = f"get the files with: msenas data fetch {self.name}"
            return f"{fetch}, or {self.mend}" if self.mend else fetch
        return self.mend or "nothing to get"
