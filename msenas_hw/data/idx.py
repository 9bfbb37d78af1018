"""Gzipped files in the idx format, checked against a known digest before anything is read from them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError

_BYTES = 0x08


def idx(path: Path, md5: str, mend: str) -> NDArray[np.uint8]:
    """The array of unsigned bytes in a gzipped idx file.

    Args:
        md5: hexadecimal digest of the unpacked file; packing it again changes the packed one.
        mend: what to do about a missing or damaged file, for the message.

    Raises:
        DataError: the file is missing, truncated, altered, or holds something else.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database: two zero bytes, the type, the number of
    axes, each axis as a big-endian int32, the values in C order.
    """
    raw = _unpacked(path, mend)
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{path}: altered or incomplete: the unpacked file has md5 {found}, allowed {md5}; {mend}"
        )
    axes = raw[3] if raw[:3] == bytes((0, 0, _BYTES)) and len(raw) > 3 else 0
    shape = tuple(int(n) for n in np.frombuffer(raw[4 : 4 + 4 * axes], dtype=">i4"))
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * len(shape))
    if not shape or len(shape) != axes or values.size != np.prod(shape):
        raise DataError(f"{path}: no idx file of unsigned bytes: {len(raw)} bytes, axes {shape}")
    return values.reshape(shape)


def _unpacked(path: Path, mend: str) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {mend}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); {mend}") from None
