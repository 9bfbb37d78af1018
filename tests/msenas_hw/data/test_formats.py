from __future__ import annotations

import base64
import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from msenas_hw.data.archives import checked, tar_members, zip_content, zip_members
from msenas_hw.data.readers import lz4
from msenas_hw.data.readers.aedat import aedat2, aedat3
from msenas_hw.data.readers.aedat4 import aedat4
from msenas_hw.data.readers.nmnist import atis

LZ4_DATA = b"abcdefgh" * 400 + bytes(range(64))
# Package `lz4` 4.4.5 of LZ4_DATA: by default, and with all checksums and linked blocks.
LZ4_FRAMES = (
    "BCJNGGhAwAwAAAAAAAA+WgAAAI9hYmNkZWZnaAgA////////////////cfAxAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka"
    "GxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+PwAAAAA=",
    "BCJNGHxAwAwAAAAAAADYWgAAAI9hYmNkZWZnaAgA////////////////cfAxAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka"
    "GxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+PyzXBdEAAAAALqwk1g==",
)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "C:\\x", "a\\..\\..\\b", "a\0b"])
def test_members_that_lead_out_of_an_archive_are_refused(name):
    with pytest.raises(ValueError, match="leads out"):
        checked(name)


def tar(*infos: tarfile.TarInfo) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return io.BytesIO(gzip.compress(out.getvalue()))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind):
    info = tarfile.TarInfo("a")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(ValueError, match="no regular file"):
        list(tar_members(tar(info), ("a",)))


def test_archives_are_read_member_by_member(miniatures):
    members = {"x/a.bin": b"one", "x/b.txt": b"two", "y/c.bin": b""}
    assert dict(tar_members(io.BytesIO(miniatures.tarred(members)), (".bin",))) == {
        "x/a.bin": b"one",
        "y/c.bin": b"",
    }
    handle = io.BytesIO(miniatures.zipped(members))
    found = zip_members(handle, (".bin",))
    assert list(zip_content(handle, list(found.values()))) == [b"one", b""]


def test_a_member_that_says_it_is_huge_is_not_read(miniatures):
    handle = io.BytesIO(miniatures.zipped({"a.bin": b"abc"}))
    raw = bytearray(handle.getvalue())
    at = raw.index(b"PK\1\2")
    struct.pack_into("<I", raw, at + 24, 2**31)
    with pytest.raises(ValueError, match="allowed 536870912"):
        zip_members(io.BytesIO(bytes(raw)), (".bin",))
    with pytest.raises(zipfile.BadZipFile):
        zip_members(io.BytesIO(b"PK"), (".bin",))


@pytest.mark.parametrize(
    "data", [b"", b"a", b"abcabcabcabc" * 30, bytes(3000), LZ4_DATA, np.random.default_rng(0).bytes(5000)]
)
def test_lz4_frames_are_unpacked(miniatures, data, monkeypatch):
    monkeypatch.setattr(lz4, "_library", lambda: None)
    assert lz4.decompressed(miniatures.lz4_frame(data)) == data


@pytest.mark.parametrize("frame", LZ4_FRAMES)
def test_lz4_frames_of_the_library_are_unpacked(frame, monkeypatch):
    monkeypatch.setattr(lz4, "_library", lambda: None)
    assert lz4.decompressed(base64.b64decode(frame)) == LZ4_DATA


def test_lz4_follows_its_description(monkeypatch):
    monkeypatch.setattr(lz4, "_library", lambda: None)
    block = bytes([0x32]) + b"abc" + b"\x03\x00" + bytes([0x10]) + b"d"
    size = struct.pack("<I", len(block))
    plain = struct.pack("<I", 2 | 1 << 31) + b"xy"
    # Flags: version 1, block checksums, content size, content checksum; checksums are left out of account.
    frame = (
        b"\x04\x22\x4d\x18\x7c\x40" + bytes(8) + b"\0" + size + block + b"SUM1" + plain + b"SUM2" + bytes(4)
    )
    assert lz4.decompressed(frame + b"SUM3") == b"abcabcabc" + b"d" + b"xy"


@pytest.mark.parametrize(
    "block",
    [
        bytes([0x10]) + b"a" + b"\x02\x00",
        bytes([0x10]) + b"a" + b"\x00\x00",
        bytes([0xF0]) + b"\xff" * 9,
        bytes([0x1F]) + b"a" + b"\x01\x00" + b"\xff" * 2_000_000 + b"\0",
        bytes([0x50]) + b"ab",
    ],
)
def test_broken_lz4_blocks_are_refused(block, monkeypatch):
    monkeypatch.setattr(lz4, "_library", lambda: None)
    frame = b"\x04\x22\x4d\x18\x60\x40\0" + struct.pack("<I", len(block)) + block + bytes(4)
    with pytest.raises((ValueError, IndexError)):
        lz4.decompressed(frame)


def test_the_clock_of_nmnist_wraps():
    def event(x, y, p, t):
        return bytes((x, y)) + struct.pack(">I", p << 23 | t)[1:]

    raw = (
        event(3, 4, 1, 100)
        + event(0, 240, 0, 0)
        + event(5, 6, 0, 7)
        + event(0, 240, 0, 0)
        + event(1, 2, 1, 9)
    )
    assert [column.tolist() for column in atis(raw)] == [
        [100, 8192 + 7, 2 * 8192 + 9],
        [3, 5, 1],
        [4, 6, 2],
        [1, 0, 1],
    ]
    with pytest.raises(ValueError, match="40-bit"):
        atis(raw[:-1])


def test_aedat_2_turns_the_axes_of_the_sensor():
    raw = b"#!AER-DAT2.0\r\n" + struct.pack(">IIII", 10 << 8 | 20 << 1 | 1, 5, 0, 9)
    assert [column.tolist() for column in aedat2(raw)] == [[5, 9], [117, 127], [107, 127], [0, 1]]
    for broken in (raw[:-3], raw[14:], b"", b"# no line ends"):
        with pytest.raises(ValueError, match=r"AEDAT|substring|subsection"):
            aedat2(broken)


def test_aedat_3_takes_no_more_events_than_a_packet_uses():
    head = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n"

    def packet(kind, over, capacity, used):
        return struct.pack("<HHIIIIII", kind, 1, 8, 4, over, capacity, used, used)

    def event(x, y, p, t):
        return struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t)

    raw = head + packet(1, 0, 2, 1) + event(1, 2, 1, 50) + event(9, 9, 0, 99) + packet(0, 0, 1, 1) + bytes(8)
    raw += packet(1, 1, 1, 1) + event(3, 4, 0, 7)
    assert [column.tolist() for column in aedat3(raw)] == [[50, 2**31 + 7], [1, 3], [2, 4], [1, 0]]
    assert [len(column) for column in aedat3(head)] == [0, 0, 0, 0]
    for broken in (raw[:-1], raw[:50], head[:-2], head + packet(1, 0, 1, 2) + event(0, 0, 0, 0)):
        with pytest.raises((ValueError, struct.error)):
            aedat3(broken)


def test_aedat_4_takes_the_first_stream_and_refuses_what_it_does_not_know(miniatures):
    columns = tuple(np.array(values) for values in ([5, 6], [1, 2], [3, 4], [0, 1]))
    raw = miniatures.aedat4((0, *columns), 100, compressed=False)
    assert [column.tolist() for column in aedat4(raw)] == [[105, 106], [1, 2], [3, 4], [0, 1]]
    packet = miniatures.event_packet((0, *columns), 0)
    earlier = raw + struct.pack("<iI", -1, len(packet)) + packet
    assert aedat4(earlier)[0].tolist() == [5, 6]
    for compression, message in ((3, "Zstandard"), (9, "has compression 9")):
        with pytest.raises(ValueError, match=message):
            aedat4(with_compression(raw, compression))
    for broken in (raw[:-1], raw[:30], b"#!AER-DAT4.0\r\n", raw[: raw.index(b"EVTS", 200) - 20]):
        with pytest.raises((ValueError, struct.error)):
            aedat4(broken)


def with_compression(raw: bytes, value: int) -> bytes:
    """The same with another compression in the header, found as flatbuffers lay it out."""
    at = 14 + 4
    root = at + struct.unpack_from("<I", raw, at)[0]
    vtable = root - struct.unpack_from("<i", raw, root)[0]
    field = root + struct.unpack_from("<H", raw, vtable + 4)[0]
    return raw[:field] + struct.pack("<i", value) + raw[field + 4 :]
