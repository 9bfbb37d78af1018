"""Element types and filters of HDF5 data sets."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError


class Stored(NamedTuple):
    """How one element is stored: `size` bytes; `dtype` is None for strings of variable length.

    `plain`: the bytes are the element, in the order of this machine.
    """

    size: int
    dtype: np.dtype[np.generic] | None
    boolean: bool = False
    plain: bool = False


_CLASSES = (
    "integer", "float", "time", "string", "bit field", "opaque", "compound",
    "reference", "enumeration", "variable length", "array",
)  # fmt: skip
_TEXT_LIMIT = 2**20
# Exponent position and size, mantissa position and size, exponent bias of IEEE 754 floats.
_IEEE = {2: (10, 5, 0, 10, 15), 4: (23, 8, 0, 23, 127), 8: (52, 11, 0, 52, 1023)}


@lru_cache(maxsize=256)
def stored_type(message: bytes) -> Stored:
    """The element type of a datatype message.

    Raises:
        GraphError: a type that NIR files do not use (references, compounds, other objects).
    """
    kind, size = message[0] & 15, struct.unpack_from("<I", message, 4)[0]
    if kind == 8 and message[8] & 15 == 0:
        base = stored_type(message[8:])
        boolean = base.size == 1 and b"FALSE\0" in message and b"TRUE\0" in message
        return base._replace(boolean=boolean, plain=base.plain and not boolean)
    if kind == 9 and message[1] & 15 == 1 and size == 16:
        return Stored(16, None)
    if kind == 3 and 0 < size < _TEXT_LIMIT:
        return Stored(size, np.dtype(f"S{size}"))
    order = ">" if message[1] & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8) and struct.unpack_from("<HH", message, 8) == (0, 8 * size):
        return _number(f"{order}{'i' if message[1] & 8 else 'u'}{size}")
    if kind == 1 and struct.unpack_from("<BBBBI", message, 12) == _IEEE.get(size):
        return _number(f"{order}f{size}")
    name = _CLASSES[kind] if kind < len(_CLASSES) else str(kind)
    raise GraphError(f"data of type {name} ({size} bytes), allowed integers, IEEE floats, booleans and text")


def _number(code: str) -> Stored:
    dtype: np.dtype[np.generic] = np.dtype(code)
    return Stored(dtype.itemsize, dtype, plain=dtype.isnative)


def filters(message: bytes) -> tuple[tuple[int, int], ...]:
    """`(filter, first parameter)` of a filter pipeline, in the order of writing."""
    version, count = message[0], message[1]
    if version not in (1, 2):
        raise GraphError(f"filter pipeline version {version}, allowed 1 or 2")
    at, found = (8 if version == 1 else 2), []
    for _ in range(count):
        number = struct.unpack_from("<H", message, at)[0]
        named = version == 1 or number >= 256
        length = struct.unpack_from("<H", message, at + 2)[0] if named else 0
        at += 4 if named else 2
        values = struct.unpack_from("<H", message, at + 2)[0]
        at += 4 + ((length + 7) // 8 * 8 if version == 1 else length)
        found.append((number, struct.unpack_from("<I", message, at)[0] if values else 0))
        at += 4 * (values + (values % 2 if version == 1 else 0))
    return tuple(found)


def _inflate(packed: bytes, size: int, _: int) -> bytes:
    # Bounded, so that a bomb gives at most what a chunk may hold.
    return zlib.decompressobj().decompress(packed, size + 4)


def _unshuffle(packed: bytes, size: int, width: int) -> bytes:
    count = len(packed) // width
    planes: NDArray[np.uint8] = np.frombuffer(packed[: count * width], np.uint8).reshape(width, count)
    return planes.T.tobytes() + packed[count * width :]


def _without_checksum(packed: bytes, size: int, _: int) -> bytes:
    return packed[:-4]


_FILTERS: Mapping[int, Callable[[bytes, int, int], bytes]] = {
    1: _inflate,
    2: _unshuffle,
    3: _without_checksum,
}


def decoded_chunk(
    packed: bytes, pipeline: tuple[tuple[int, int], ...], mask: int, size: int, width: int
) -> bytes:
    """The `size` bytes of a chunk of elements of `width` bytes; bit i of `mask` leaves filter i out."""
    for i, (number, _) in reversed(list(enumerate(pipeline))):
        if mask >> i & 1:
            continue
        if number not in _FILTERS:
            raise GraphError(f"filter {number}, allowed deflate (1), shuffle (2), fletcher32 (3)")
        try:
            packed = _FILTERS[number](packed, size, width)
        except zlib.error as error:
            raise GraphError(f"compressed data are damaged: {error}") from None
    if len(packed) != size:
        raise GraphError(f"a chunk holds {len(packed)} bytes, allowed {size}")
    return packed
