"""Spiking Heidelberg Digits and Spiking Speech Commands: 700 cochlea channels, in zipped HDF5 files."""

from __future__ import annotations

import mmap
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from msenas_hw.data.place import File, Place
from msenas_hw.data.source import Recording

_LARGEST = 1 << 33
_PIECE = 1 << 22
# A global heap of HDF5: signature, version 1, three zeros; its size; then objects.
_HEAP = b"GCOL\x01\0\0\0"
_HEADER = 16


def heidelberg(files: Mapping[str, File]) -> Callable[[Place], Iterator[Recording]]:
    """Reader of one zip a part: `spikes/times` (s) and `spikes/units` (channel) of each sample, `labels`.

    Source: B. Cramer et al., The Heidelberg spiking data sets, IEEE TNNLS 33 (2022).
    """

    def read(place: Place) -> Iterator[Recording]:
        for part, file in files.items():
            with place.opened(file) as handle, tempfile.TemporaryFile() as plain:
                _unzip(handle, plain)
                _check_heaps(plain)
                yield from _samples(part, plain)

    return read


def _unzip(handle: BinaryIO, plain: BinaryIO) -> None:
    """The one HDF5 file of the zip, to disk since it is larger than memory should hold."""
    with zipfile.ZipFile(handle) as archive:
        (member,) = [
            m for m in archive.infolist() if m.filename.endswith(".h5") and "__MACOSX" not in m.filename
        ]
        if member.file_size > _LARGEST:
            raise ValueError(f"member {member.filename!r} has {member.file_size} bytes")
        with archive.open(member) as content:
            while piece := content.read(_PIECE):
                plain.write(piece)
    plain.seek(0)


def _check_heaps(plain: BinaryIO) -> None:
    """ValueError where an object of a global heap has a size by which HDF5 would not move on: it walks the
    objects without end.

    Source: HDF5 File Format Specification 3.0, section III.E.
    """
    plain.seek(0, 2)
    if not plain.tell():
        return
    with mmap.mmap(plain.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(_HEAP)
        while at >= 0:
            _check_heap(data, at)
            at = data.find(_HEAP, at + 1)
    plain.seek(0)


def _check_heap(data: mmap.mmap, begin: int) -> None:
    end = begin + int.from_bytes(data[begin + 8 : begin + 16], "little")
    at = begin + _HEADER
    while at + _HEADER <= min(end, len(data)):
        index = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + 8 : at + 16], "little")
        # Object 0 is what is free, its header included; the others are padded to eight bytes.
        taken = size if index == 0 else _HEADER + -(-size // 8) * 8
        if not 0 < taken <= end - at:
            raise ValueError(f"global heap at byte {begin}: object {index} has {size} bytes")
        at += taken


def _samples(part: str, plain: BinaryIO) -> Iterator[Recording]:
    import h5py

    with h5py.File(plain, "r") as file:
        times, units, labels = file["spikes/times"], file["spikes/units"], file["labels"][()]
        if not len(times) == len(units) == len(labels):
            raise ValueError(f"has {len(times)} times, {len(units)} units and {len(labels)} labels")
        for number, label in enumerate(labels):
            t = (np.asarray(times[number], np.float64) * 1e6).astype(np.int64)
            x = np.asarray(units[number], np.int64)
            if len(t) != len(x):
                raise ValueError(f"sample {number} has {len(t)} times and {len(x)} units")
            yield Recording(part, int(label), (number,), t, x, np.zeros_like(x), np.zeros_like(x))
