"""MNIST and Fashion-MNIST: files in the idx format, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from msenas_hw.data.place import File, Place
from msenas_hw.data.source import Bytes, Images, Labels
from targets.errors import DataError

_UNSIGNED_BYTE = 0x08
# The largest of the files has 47 MB.
_LARGEST = 1 << 26


def mnist_like(*files: File) -> Callable[[Place], Images]:
    """Reader of a set in four files: pictures and labels of the training part, then of the test part."""

    def read(place: Place) -> Images:
        x, y, test_x, test_y = (idx(place, file) for file in files)
        return {"train": _part(place, x, y), "test": _part(place, test_x, test_y)}

    return read


def idx(place: Place, file: File) -> Bytes:
    """The array of unsigned bytes in an idx file.

    The gzipped file is taken before the unpacked one. The digest is of the unpacked file, since packing it
    again changes the packed one.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database: two zero bytes, the type, the number of
    axes, each axis as a big-endian int32, the values in C order.
    """
    path = place.folder / file.name
    plain = path.with_suffix("")
    if not path.exists() and plain.exists():
        path = plain
    with place.parsing(path):
        raw = _unpacked(place, path)
        place.verify_digest(path, hashlib.md5(raw, usedforsecurity=False).hexdigest(), file.md5)
        axes = raw[3] if raw[:3] == bytes((0, 0, _UNSIGNED_BYTE)) and len(raw) > 3 else 0
        shape = tuple(int(n) for n in np.frombuffer(raw[4 : 4 + 4 * axes], dtype=">u4"))
        if not shape or len(shape) != axes or len(raw) - 4 - 4 * axes != math.prod(shape):
            raise ValueError(f"no idx file of unsigned bytes: {len(raw)} bytes, axes {shape}")
        return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def _part(place: Place, x: Bytes, y: Bytes) -> tuple[Bytes, Labels]:
    if x.ndim != 3 or y.shape != x.shape[:1]:
        raise DataError(f"data {place.name!r}: pictures have shape {x.shape}, labels {y.shape}")
    return x[:, None], y.astype(np.int64)


def _unpacked(place: Place, path: Path) -> bytes:
    try:
        handle = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: no such file ({error.strerror}); {place.mend}") from None
    with handle:
        packed = path.suffix == ".gz"
        raw = gzip.GzipFile(fileobj=handle).read(_LARGEST + 1) if packed else handle.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise ValueError(f"more than {_LARGEST} bytes once unpacked")
    return raw
