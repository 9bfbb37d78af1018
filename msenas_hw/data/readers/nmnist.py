"""N-MNIST: events of 40 bits, one file a recording, in two zips or their folders."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.archives import zip_content, zip_members
from msenas_hw.data.place import File, Place
from msenas_hw.data.source import Recording

Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
_SUFFIX = ".bin"
# A row that marks a wrap of the clock instead of a pixel, and what a wrap adds.
_OVERFLOW_ROW = 240
_WRAP_US = 1 << 13


def atis(raw: bytes) -> Columns:
    """t (us), x, y and p of 40-bit events: x 8, y 8, polarity 1, microseconds 23, the highest bit first.

    Source: G. Orchard et al., Converting static image datasets to spiking neuromorphic datasets using
    saccades, Frontiers in Neuroscience 9 (2015), and the notes of its data page.
    """
    if len(raw) % 5:
        raise ValueError(f"{len(raw)} bytes are no whole number of 40-bit events")
    byte = np.frombuffer(raw, np.uint8).reshape(-1, 5).astype(np.int64)
    x, y, high = byte[:, 0], byte[:, 1], byte[:, 2]
    t = ((high & 0x7F) << 16) | (byte[:, 3] << 8) | byte[:, 4]
    wraps = y == _OVERFLOW_ROW
    t += np.cumsum(wraps) * _WRAP_US
    kept = ~wraps
    return t[kept], x[kept], y[kept], (high >> 7)[kept]


def nmnist(train: File, test: File) -> Callable[[Place], Iterator[Recording]]:
    """Reader of the two zips, or of the folders `Train` and `Test` where the zips are not there.

    Recordings are ordered by their number, which is the index in MNIST; the archives sort them by class.
    Single recordings have no published digest, so that unpacked folders cannot be verified; a warning says
    so.
    """

    def read(place: Place) -> Iterator[Recording]:
        zipped = any((place.folder / file.name).exists() for file in (train, test))
        for part, file in (("train", train), ("test", test)):
            yield from _zipped(place, part, file) if zipped else _folder(place, part)

    return read


def unpacked(place: Place) -> str:
    """Number, bytes and newest time of unpacked recordings, where the archives are not there."""
    if any(place.folder.glob("*.zip")):
        return ""
    found = [path.stat() for path in place.folder.glob("T*/*/*.bin")]
    return f"{len(found)} {sum(s.st_size for s in found)} {max((s.st_mtime_ns for s in found), default=0)}"


def _zipped(place: Place, part: str, file: File) -> Iterator[Recording]:
    with place.opened(file) as handle:
        members = sorted(
            (_numbered(name), member) for name, member in zip_members(handle, (_SUFFIX,)).items()
        )
        chosen: list[zipfile.ZipInfo] = [member for _, member in members]
        for ((number, label), member), raw in zip(members, zip_content(handle, chosen), strict=True):
            with place.parsing(f"{place.folder / file.name}, member {member.filename}"):
                yield Recording(part, label, (number,), *atis(raw))


def _folder(place: Place, part: str) -> Iterator[Recording]:
    folder = place.folder / part.title()
    warnings.warn(
        f"{folder}: unpacked recordings have no published checksum, so only their counts are verified",
        stacklevel=2,
    )
    with place.parsing(folder):
        paths = sorted((_numbered(str(path.relative_to(folder))), path) for path in folder.glob("*/*.bin"))
    for (number, label), path in paths:
        with place.parsing(path):
            yield Recording(part, label, (number,), *atis(path.read_bytes()))


def _numbered(name: str) -> tuple[int, int]:
    """Number and class of a recording `.../<class>/<number>.bin`."""
    path = PurePosixPath(name)
    return int(path.stem), int(path.parent.name)
