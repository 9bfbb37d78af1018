"""Small copies of the published sets of recordings."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from miniature_pictures import Miniature, Sample, stored, tarred, zipped

from msenas_hw.data.catalogue import SETS
from msenas_hw.data.readers import cifar10_dvs, gesture
from msenas_hw.data.readers.heidelberg import heidelberg
from msenas_hw.data.readers.nmnist import nmnist
from msenas_hw.data.readers.nmnist_subset import nmnist_subset


def events(rng: np.random.Generator, label: int, sensor: tuple[int, int, int], longest: int) -> Sample:
    """A recording of 5 to 40 events, times rising from 0."""
    count = int(rng.integers(5, 40))
    t = np.sort(rng.integers(0, longest, count))
    p, y, x = (rng.integers(0, limit, count) for limit in sensor)
    return label, t - t[0], x, y, p


def atis(sample: Sample) -> bytes:
    """40 bits an event: x, y, polarity, 23 bits of time."""
    _, t, x, y, p = sample
    out = bytearray()
    for i in range(len(t)):
        out += bytes((x[i], y[i])) + struct.pack(">I", int(p[i]) << 23 | int(t[i]))[1:]
    return bytes(out)


def nmnist_zips(folder: Path, rng: np.random.Generator) -> Miniature:
    found, files = {}, []
    for part, count in (("train", 12), ("test", 5)):
        samples = [events(rng, i * 7 % 10, (2, 34, 34), 300_000) for i in range(count)]
        members = {
            f"{part.title()}/{sample[0]}/{i + 1:05d}.bin": atis(sample) for i, sample in enumerate(samples)
        }
        files.append(stored(folder, f"{part}.zip", zipped(dict(sorted(members.items())))))
        found[part] = samples
    source = replace(
        SETS["nmnist"], files=tuple(files), counts=({"train": 12, "test": 5},), events=nmnist(*files)
    )
    return Miniature(source, folder, {}, found)


def nmnist_npz(folder: Path, rng: np.random.Generator) -> Miniature:
    samples = [events(rng, i % 10, (2, 34, 34), 300_000) for i in range(25)]
    columns = {
        "xyp": np.concatenate([np.stack(s[2:], axis=1) for s in samples]).astype(np.uint8),
        "t": np.concatenate([s[1] for s in samples]).astype(np.uint32),
        "off": np.cumsum([0, *(len(s[1]) for s in samples)]).astype(np.int64),
        "y": np.array([s[0] for s in samples], np.uint8),
        "n_train": np.int64(20),
    }
    out = io.BytesIO()
    np.savez_compressed(out, **columns)
    file = stored(folder, "nmnist_1100.npz", out.getvalue())
    source = replace(
        SETS["nmnist-1100"],
        files=(file,),
        counts=({"train": 20, "test": 5},),
        events=nmnist_subset(file),
    )
    return Miniature(source, folder, {}, {"train": samples[:20], "test": samples[20:]})


def aedat2(sample: Sample, begin: int) -> bytes:
    """Big-endian address and time; the address holds the camera's own, turned axes."""
    _, t, x, y, p = sample
    raw = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"
    for i in range(len(t)):
        column, row = 127 - int(y[i]), 127 - int(x[i])
        raw += struct.pack(">II", row << 8 | column << 1 | (1 - int(p[i])), int(t[i]) + begin)
    return raw


def dvs_archives(folder: Path, rng: np.random.Generator) -> Miniature:
    """Of each class, recordings 0 and 1 (test) and 100 to 102 (train)."""
    numbers, samples = (1, 0, 102, 100, 101), {}
    files = []
    for label, file in enumerate(SETS["cifar10-dvs"].files):
        stem = file.name.removesuffix(".zip")
        samples |= {(n, label): events(rng, label, (2, 128, 128), 1_300_000) for n in numbers}
        members = {f"{stem}/cifar10_{stem}_{n}.aedat": aedat2(samples[n, label], 77 + n) for n in numbers}
        files.append(stored(folder, file.name, zipped(members)))
    source = replace(
        SETS["cifar10-dvs"],
        files=tuple(files),
        counts=({"train": 30, "test": 20},),
        per_class={"train": 3, "test": 2},
        events=cifar10_dvs.class_archives(files),
    )
    return Miniature(source, folder, {}, _parted(samples))


def _parted(samples: dict[tuple[int, int], Sample]) -> dict[str, list[Sample]]:
    ordered = [(key, samples[key]) for key in sorted(samples)]
    return {
        "train": [sample for (n, _), sample in ordered if n >= 100],
        "test": [sample for (n, _), sample in ordered if n < 100],
    }


def flatbuffer(fields: list[tuple[int, bytes]], identifier: bytes, tail: bytes = b"") -> bytes:
    """A root table whose fields (slot, bytes in place) stand behind it; `tail` follows the table."""
    slots = max(slot for slot, _ in fields) + 1
    offsets, body = [0] * slots, b""
    for slot, raw in sorted(fields, key=lambda field: -len(field[1])):
        body += bytes(-(4 + len(body)) % min(len(raw), 8))
        offsets[slot] = 4 + len(body)
        body += raw
    table = struct.pack(f"<HH{slots}H", 4 + 2 * slots, 4 + len(body), *offsets)
    table += bytes(-len(table) % 4)
    root = 8 + len(table)
    return struct.pack("<I", root) + identifier + table + struct.pack("<i", len(table)) + body + tail


def event_packet(sample: Sample, begin: int) -> bytes:
    """A size-prefixed EventPacket: one field, the offset of a vector of structs of 16 bytes."""
    _, t, x, y, p = sample
    rows = b"".join(
        struct.pack("<qhhB3x", int(t[i]) + begin, int(x[i]), int(y[i]), int(p[i])) for i in range(len(t))
    )
    head = flatbuffer([(0, struct.pack("<I", 0))], b"EVTS")
    # The vector begins 4 bytes before a multiple of 8 of the buffer without its prefix.
    pad = -(len(head) + 4) % 8
    offset_at = len(head) - 4
    head = head[:offset_at] + struct.pack("<I", 4 + pad) + bytes(pad)
    buffer = head + struct.pack("<I", len(t)) + rows
    return struct.pack("<I", len(buffer)) + buffer


def lz4_frame(data: bytes) -> bytes:
    """An LZ4 frame of one block, with copies of what repeats at a distance of 16."""
    out, literals, at = bytearray(), bytearray(), 0
    while at < len(data):
        run = 0
        while at >= 16 and at + run < len(data) - 12 and data[at + run] == data[at + run - 16]:
            run += 1
        if run < 4:
            literals.append(data[at])
            at += 1
            continue
        out += _lz4_sequence(literals, run) + struct.pack("<H", 16) + _lz4_rest(run - 4)
        literals.clear()
        at += run
    out += _lz4_sequence(literals, 4)
    header = b"\x04\x22\x4d\x18\x60\x40"
    return header + bytes([_xxh32(header[4:6]) >> 8 & 255]) + struct.pack("<I", len(out)) + out + bytes(4)


def _lz4_sequence(literals: bytearray, run: int) -> bytes:
    token = min(len(literals), 15) << 4 | min(run - 4, 15)
    return bytes([token]) + _lz4_rest(len(literals)) + literals


def _lz4_rest(length: int) -> bytes:
    return b"" if length < 15 else b"\xff" * ((length - 15) // 255) + bytes([(length - 15) % 255])


def _xxh32(data: bytes) -> int:
    """xxHash of fewer than 4 bytes."""
    mask, one, two, three, five = 2**32 - 1, 2654435761, 2246822519, 3266489917, 374761393
    value = five + len(data) & mask
    for byte in data:
        value = value + byte * five & mask
        value = ((value << 11 | value >> 21) & mask) * one & mask
    value = (value ^ value >> 15) * two & mask
    value = (value ^ value >> 13) * three & mask
    return value ^ value >> 16


XML = (
    '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" path="/0/">'
    '<attr key="compression" type="string">LZ4</attr><attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/0/info/"><attr key="sizeX" type="int">128</attr>'
    '<attr key="sizeY" type="int">128</attr></node></node></node></dv>'
)


def aedat4(sample: Sample, begin: int, compressed: bool = True) -> bytes:
    """Header, and the events in two packets."""
    label, *columns = sample
    half = len(columns[0]) // 2
    text = XML.encode()
    # Slots: 0 compression, 1 position of the closing table (none), 2 description.
    head = flatbuffer(
        [(0, struct.pack("<i", 1 if compressed else 0)), (1, struct.pack("<q", -1)), (2, bytes(4))], b"IOHE"
    )
    head = _with_string(head, text)
    raw = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head
    for cut in (slice(half), slice(half, None)):
        packet = event_packet((label, *(column[cut] for column in columns)), begin)
        packet = lz4_frame(packet) if compressed else packet
        raw += struct.pack("<iI", 0, len(packet)) + packet
    return raw


def _with_string(head: bytes, text: bytes) -> bytes:
    """Let the offset of field 2 point to a string behind the table."""
    root = struct.unpack_from("<I", head)[0]
    vtable = root - struct.unpack_from("<i", head, root)[0]
    at = root + struct.unpack_from("<H", head, vtable + 4 + 2 * 2)[0]
    pad = -len(head) % 4
    head = head[:at] + struct.pack("<I", len(head) + pad - at) + head[at + 4 :] + bytes(pad)
    return head + struct.pack("<I", len(text)) + text + b"\0"


def dvs_aedat4(folder: Path, rng: np.random.Generator) -> Miniature:
    name = "cifar10-dvs-aedat4"
    classes, samples, inner = SETS[name].classes, {}, {}
    for label, stem in enumerate(classes):
        samples |= {(n, label): events(rng, label, (2, 128, 128), 1_300_000) for n in (1, 0, 100, 101, 102)}
        members = {
            f"{stem}/cifar10_{stem}_{n}.aedat4": aedat4(samples[n, label], 10**12 + n, n != 101)
            for n in (1, 0, 100, 101, 102)
        }
        inner[f"{stem}.zip"] = zipped(members)
    file = stored(folder, "CIFAR10DVS.zip", zipped(inner))
    source = replace(
        SETS[name],
        files=(file,),
        counts=({"train": 30, "test": 20},),
        per_class={"train": 3, "test": 2},
        events=cifar10_dvs.nested_archive(file, classes),
    )
    return Miniature(source, folder, {}, _parted(samples))


def aedat3(samples: list[Sample], begins: list[int]) -> bytes:
    """Polarity packets of five events, packets of another kind between them; times may pass 2^31."""
    raw = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    rows = [
        (int(t) + begin, int(x), int(y), int(p))
        for (_, ts, xs, ys, ps), begin in zip(samples, begins, strict=True)
        for t, x, y, p in zip(ts, xs, ys, ps, strict=True)
    ]
    for at in range(0, len(rows), 5):
        piece = [row for row in rows[at : at + 5] if row[0] >> 31 == rows[at][0] >> 31]
        later = [row for row in rows[at : at + 5] if row[0] >> 31 != rows[at][0] >> 31]
        for part in filter(None, (piece, later)):
            raw += struct.pack("<HHIIIIII", 1, 1, 8, 4, part[0][0] >> 31, len(part), len(part), len(part))
            for t, x, y, p in part:
                raw += struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t & (2**31 - 1))
        raw += struct.pack("<HHIIIIII", 0, 1, 8, 4, 0, 1, 1, 1) + bytes(8)
    return raw


def gestures(folder: Path, rng: np.random.Generator) -> Miniature:
    """Two trials to train and one to test; events between labelled stretches belong to none."""
    members, found = {}, {"train": [], "test": []}
    trials = {"user01_led.aedat": "train", "user02_lab.aedat": "train", "user24_led.aedat": "test"}
    for number, (trial, part) in enumerate(trials.items()):
        labels = (1, 8, 8, 11) if number else (2, 1, 11)
        samples = [events(rng, label - 1, (2, 128, 128), 5_000_000) for label in labels]
        first = 2**31 - 4_000_000 if number == 1 else 80_000_000
        begins = [first + 6_000_000 * i for i in range(len(samples))]
        stray = [(-1, np.array([3]), np.array([1]), np.array([1]), np.array([0]))]
        members[f"DvsGesture/{trial}"] = aedat3(samples + stray, [*begins, begins[-1] + 5_999_000])
        rows = [f"{label},{begin},{begin + 5_000_000}" for label, begin in zip(labels, begins, strict=True)]
        table = "\n".join(["class,startTime_usec,endTime_usec", *rows, ""])
        members[f"DvsGesture/{trial.removesuffix('.aedat')}_labels.csv"] = table.encode()
        found[part] += samples
    for part in found:
        names = "".join(f"{trial}\n" for trial, of in trials.items() if of == part)
        members[f"DvsGesture/trials_to_{part}.txt"] = names.encode()
    file = stored(folder, "DvsGesture.tar.gz", tarred(members))
    source = replace(
        SETS["dvs128-gesture"],
        files=(file,),
        counts=({part: len(samples) for part, samples in found.items()},),
        events=gesture.original(file),
    )
    return Miniature(source, folder, {}, found)


def cut_gestures(folder: Path, rng: np.random.Generator) -> Miniature:
    """Arrays [E, 4] of x, y, p, t in ms."""
    found, files = {}, []
    for part, users in (("train", (10, 2)), ("test", (24,))):
        samples, members = {}, {}
        for user in users:
            for label in (3, 0, 10):
                label, t, x, y, p = events(rng, label, (2, 128, 128), 5000)
                samples[user, label] = (label, t * 1000, x, y, p)
                out = io.BytesIO()
                np.save(out, np.stack((x, y, p, t + 44), axis=1).astype(np.float64))
                members[f"ibmGesture{part.title()}/user{user:02d}_led/{label}.npy"] = out.getvalue()
        files.append(stored(folder, f"ibmGesture{part.title()}.tar.gz", tarred(members)))
        found[part] = [samples[key] for key in sorted(samples)]
    source = replace(
        SETS["dvs128-gesture-npy"],
        files=tuple(files),
        counts=({"train": 6, "test": 3},),
        events=gesture.preprocessed(*files),
    )
    return Miniature(source, folder, {}, found)


def spoken(
    name: str, parts: dict[str, str], classes: int
) -> Callable[[Path, np.random.Generator], Miniature]:
    def made(folder: Path, rng: np.random.Generator) -> Miniature:
        files, found = {}, {}
        for part, stem in parts.items():
            samples, seconds = [], []
            for i in range(8):
                label, t, x, y, p = events(rng, i * 3 % classes, (1, 1, 700), 1_000_000)
                seconds.append((t / 1e6).astype(np.float16))
                exact = (seconds[-1].astype(np.float64) * 1e6).astype(np.int64)
                samples.append((label, exact, x, y, p))
            out = io.BytesIO()
            with h5py.File(out, "w") as file:
                for key, rows, kind in (
                    ("times", seconds, np.float16),
                    ("units", [s[2] for s in samples], np.uint16),
                ):
                    data = file.create_dataset(f"spikes/{key}", (8,), h5py.vlen_dtype(kind))
                    for i, row in enumerate(rows):
                        data[i] = row.astype(kind)
                file["labels"] = np.array([s[0] for s in samples], np.uint16)
                file["extra/keys"] = np.array([b"zero"])
                file["extra/speaker"] = np.zeros(8, np.uint16)
            files[part] = stored(folder, f"{stem}.h5.zip", zipped({f"{stem}.h5": out.getvalue()}))
            found[part] = samples
        source = replace(
            SETS[name],
            files=tuple(files.values()),
            counts=(dict.fromkeys(parts, 8),),
            events=heidelberg(files),
        )
        return Miniature(source, folder, {}, found)

    return made


WRITERS: dict[str, Callable[[Path, np.random.Generator], Miniature]] = {
    "nmnist": nmnist_zips,
    "nmnist-1100": nmnist_npz,
    "cifar10-dvs": dvs_archives,
    "cifar10-dvs-aedat4": dvs_aedat4,
    "dvs128-gesture": gestures,
    "dvs128-gesture-npy": cut_gestures,
    "shd": spoken("shd", {"train": "shd_train", "test": "shd_test"}, 20),
    "ssc": spoken("ssc", {"train": "ssc_train", "validation": "ssc_valid", "test": "ssc_test"}, 35),
}
