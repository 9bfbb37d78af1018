"""Events in the format AEDAT 4: packets of flatbuffers, compressed by LZ4 or not at all."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from msenas_hw.data.readers.lz4 import decompressed
from msenas_hw.data.readers.nmnist import Columns

_MAGIC = b"#!AER-DAT4.0\r\n"
_EVENTS = b"EVTS"
_EVENT = np.dtype({"names": ["t", "x", "y", "on"], "formats": ["<i8", "<i2", "<i2", "u1"],
                   "offsets": [0, 8, 10, 12], "itemsize": 16})  # fmt: skip
_CODECS: dict[int, Callable[[bytes], bytes]] = {0: lambda data: data, 1: decompressed, 2: decompressed}
_ZSTD = (3, 4)


def aedat4(raw: bytes) -> Columns:
    """t (us), x, y and p of the events of the first stream that has any.

    The header's flatbuffer has the fields compression, position of the table that ends the file, and an
    XML description, which is not read: a packet's identifier says what it holds.

    Source: iniVation, AEDAT file formats, 4.0; Google, FlatBuffers internals.
    """
    if not raw.startswith(_MAGIC):
        raise ValueError("no AEDAT 4 file")
    (size,) = struct.unpack_from("<I", raw, len(_MAGIC))
    at = len(_MAGIC) + 4
    header = _Table(raw[at : at + size])
    codec = header.number(0, "<i", 0)
    if codec in _ZSTD:
        raise ValueError("is compressed by Zstandard, allowed LZ4 or none; write it anew with LZ4")
    if codec not in _CODECS:
        raise ValueError(f"has compression {codec}, allowed 0 (none), 1 and 2 (LZ4)")
    unpack, stop = _CODECS[codec], header.number(1, "<q", -1)
    at, stop = at + size, len(raw) if stop == -1 else stop
    if not at <= stop <= len(raw):
        raise ValueError(f"its table begins at byte {stop}, the packets at {at} of {len(raw)}")
    streams: dict[int, list[np.ndarray[tuple[int], np.dtype[np.void]]]] = {}
    while at < stop:
        stream, size = struct.unpack_from("<iI", raw, at)
        if at + 8 + size > stop:
            raise ValueError(f"a packet at byte {at} is cut off")
        packet = unpack(raw[at + 8 : at + 8 + size])
        if packet[8:12] == _EVENTS:
            streams.setdefault(stream, []).append(_Table(packet[4:]).structs(0, _EVENT))
        at += 8 + size
    if not streams:
        raise ValueError("holds no events")
    found = np.concatenate(streams[min(streams)])
    return (
        found["t"].astype(np.int64), found["x"].astype(np.int64), found["y"].astype(np.int64),
        (found["on"] != 0).astype(np.int64),
    )  # fmt: skip


class _Table:
    """The root table of a flatbuffer: its fields lie where a table of offsets says."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        (self.at,) = struct.unpack_from("<I", data, 0)
        (back,) = struct.unpack_from("<i", data, self.at)
        self.offsets = self.at - back
        if self.offsets < 0:
            raise ValueError("a flatbuffer points outside of itself")
        (self.size,) = struct.unpack_from("<H", data, self.offsets)

    def _field(self, index: int) -> int | None:
        """Where field `index` is; None where it has its default."""
        entry = 4 + 2 * index
        if entry + 2 > self.size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, self.offsets + entry)
        return self.at + offset if offset else None

    def number(self, index: int, form: str, default: int) -> int:
        at = self._field(index)
        return default if at is None else int(struct.unpack_from(form, self.data, at)[0])

    def structs(self, index: int, kind: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """A vector of structs."""
        at = self._field(index)
        if at is None:
            return np.empty(0, kind)
        at += struct.unpack_from("<I", self.data, at)[0]
        (count,) = struct.unpack_from("<I", self.data, at)
        return np.frombuffer(self.data, kind, count, at + 4) if count else np.empty(0, kind)
