"""The LZ4 frame format."""

from __future__ import annotations

import importlib
from typing import Any

_MAGIC = b"\x04\x22\x4d\x18"
_UNCOMPRESSED = 1 << 31
# A packet of events is far smaller once unpacked.
_LARGEST = 1 << 28


def decompressed(frame: bytes) -> bytes:
    """What an LZ4 frame holds.

    Package `lz4` does it where it is installed; without, 200,000 events (3.2 MB) take half a second.

    Checksums inside the frame are not verified; the file's digest was.

    Raises:
        ValueError, IndexError: a broken frame, or more than 256 MB.

    Source: Y. Collet, LZ4 frame format 1.6 and block format.
    """
    library = _library()
    if library is not None:
        return _by_library(library, frame)
    if frame[:4] != _MAGIC or frame[4] >> 6 != 1:
        raise ValueError("no LZ4 frame")
    flags = frame[4]
    at = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    out = bytearray()
    while size := int.from_bytes(_slice(frame, at, 4), "little"):
        block = _slice(frame, at + 4, size & ~_UNCOMPRESSED)
        if size & _UNCOMPRESSED:
            out += block
        else:
            _block(block, out)
        at += 4 + len(block) + (4 if flags & 0x10 else 0)
    return bytes(out)


def _library() -> Any:
    try:
        return importlib.import_module("lz4.frame")
    except ImportError:
        return None


def _by_library(library: Any, frame: bytes) -> bytes:
    unpacker = library.LZ4FrameDecompressor()
    out: bytes = unpacker.decompress(frame, max_length=_LARGEST)
    if not unpacker.eof:
        raise ValueError("an LZ4 frame is cut off or too large")
    return out


def _slice(data: bytes, at: int, size: int) -> bytes:
    found = data[at : at + size]
    if len(found) != size:
        raise ValueError("an LZ4 frame is cut off")
    return found


def _block(data: bytes, out: bytearray) -> None:
    """Append a block: sequences of literals and a copy from what came before, until the literals end it."""
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        count, at = _length(data, at + 1, token >> 4)
        out += _slice(data, at, count)
        at += count
        if at == end:
            return
        distance = data[at] | data[at + 1] << 8
        count, at = _length(data, at + 2, token & 15)
        count += 4
        start = len(out) - distance
        if distance == 0 or start < 0 or len(out) + count > _LARGEST:
            raise ValueError("an LZ4 block copies from outside of it, or is too large")
        if distance >= count:
            out += out[start : start + count]
        else:
            piece = bytes(out[start:])
            out += (piece * (count // distance + 1))[:count]


def _length(data: bytes, at: int, short: int) -> tuple[int, int]:
    """A length of 4 bits, continued in bytes while they are 255; and where it ends."""
    if short == 15:
        while data[at] == 255:
            short += 255
            at += 1
        short += data[at]
        at += 1
    return short, at
