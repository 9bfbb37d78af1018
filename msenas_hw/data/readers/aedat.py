"""Events in the formats AEDAT 2.0 and AEDAT 3.1."""

from __future__ import annotations

import struct

import numpy as np

from msenas_hw.data.readers.nmnist import Columns

_HEADER = 28
_POLARITY = 1
_END = b"#!END-HEADER\r\n"


def aedat2(raw: bytes) -> Columns:
    """t (us), x, y and p of a DVS128 recording in AEDAT 2.0: big-endian address and time, 32 bits each.

    Bits 1 to 7 of the address are the column from the right, 8 to 14 the row, bit 0 the polarity: 0 is on.
    As in the CIFAR10-DVS loaders of others, the sensor's axes are turned so that pictures stand upright.

    Source: H. Li et al., CIFAR10-DVS, Frontiers in Neuroscience 11 (2017); jAER's AEDAT 2.0.
    """
    at = 0
    while raw[at : at + 1] == b"#":
        at = raw.index(b"\n", at) + 1
    if not at or (len(raw) - at) % 8:
        raise ValueError(f"no AEDAT 2.0 file: {len(raw) - at} bytes after a header of {at}")
    address, t = np.frombuffer(raw, ">u4", offset=at).reshape(-1, 2).T.astype(np.int64)
    column, row = (address >> 1) & 0x7F, (address >> 8) & 0x7F
    return t, 127 - row, 127 - column, 1 - (address & 1)


def aedat3(raw: bytes) -> Columns:
    """t (us), x, y and p of the polarity packets of AEDAT 3.1.

    A packet has a header of 28 bytes (type, source, event size, offset of the time, overflows of its 31
    bits, capacity, events, valid events), then events of 32 bits of data (polarity bit 1, y bits 2 to 16, x
    bits 17 to 31) and 32 bits of time.

    Source: iniVation, AEDAT file formats, 3.1; A. Amir et al., CVPR 2017.
    """
    if not raw.startswith(b"#!AER-DAT3.") or _END not in raw:
        raise ValueError("no AEDAT 3 file")
    at = raw.index(_END) + len(_END)
    parts = []
    while at < len(raw):
        kind, _, size, _, overflows, capacity, count, _ = struct.unpack_from("<HHIIIIII", raw, at)
        at += _HEADER
        stop = at + size * capacity
        if size < 8 or size % 4 or capacity < count or stop > len(raw):
            raise ValueError(f"a packet at byte {at} has {capacity} events of {size} bytes, {count} used")
        if kind == _POLARITY:
            words = np.frombuffer(raw, "<u4", size // 4 * count, at).reshape(count, -1).astype(np.int64)
            parts.append(np.stack((words[:, 0], words[:, 1] | overflows << 31)))
        at = stop
    data, t = np.concatenate([np.zeros((2, 0), np.int64), *parts], axis=1)
    return t, (data >> 17) & 0x7FFF, (data >> 2) & 0x7FFF, (data >> 1) & 1
