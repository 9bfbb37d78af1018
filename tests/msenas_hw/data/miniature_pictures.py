"""Small copies of the published picture sets, and what every copy is made of."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msenas_hw.data.catalogue import SETS
from msenas_hw.data.place import File
from msenas_hw.data.readers import cifar
from msenas_hw.data.readers.idx import mnist_like
from msenas_hw.data.source import Source

# (class, t in us, x, y, p) of a recording, in the order in which a part must hold them.
Sample = tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Miniature:
    """A copy: `images` is {part: (x, y)}, `events` {part: [sample]}; the other is empty."""

    source: Source
    folder: Path
    images: dict[str, tuple[np.ndarray, np.ndarray]]
    events: dict[str, list[Sample]]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def stored(folder: Path, name: str, data: bytes, url: str | None = None) -> File:
    (folder / name).write_bytes(data)
    return File(name, md5(data), len(data), url)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2015, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def pictures(rng: np.random.Generator, counts: dict[str, int], shape: tuple[int, ...], classes: int) -> Any:
    return {
        part: (rng.integers(0, 256, (n, *shape)).astype(np.uint8), np.arange(n) % classes)
        for part, n in counts.items()
    }


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist_set(name: str) -> Callable[[Path, np.random.Generator], Miniature]:
    def made(folder: Path, rng: np.random.Generator) -> Miniature:
        images = pictures(rng, {"train": 40, "test": 10}, (1, 28, 28), 10)
        columns = [array for part in ("train", "test") for array in images[part]]
        files = []
        for file, array in zip(SETS[name].files, columns, strict=True):
            raw = idx(array[:, 0] if array.ndim == 4 else array)
            packed = gzip.compress(raw, mtime=0)
            (folder / file.name).write_bytes(packed)
            files.append(File(file.name, md5(raw), len(packed), None, md5(packed)))
        source = replace(
            SETS[name],
            files=tuple(files),
            counts=({"train": 40, "test": 10},),
            per_class=None,
            images=mnist_like(*files),
        )
        return Miniature(source, folder, images, {})

    return made


def python2(value: Any) -> bytes:
    """A pickle of protocol 2 as Python 2 wrote it: texts are byte strings, arrays too."""
    return b"\x80\x02" + _py2(value) + b"."


def _py2(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_py2(key) + _py2(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_py2, value)) + b"e"
    if isinstance(value, int):
        return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin1")
    raw = value.tobytes()
    shape = b"(" + b"".join(_py2(n) for n in value.shape) + b"t"
    code = f"{value.dtype.kind}{value.dtype.itemsize}"
    dtype = b"cnumpy\ndtype\n" + _py2(code) + b"K\x00K\x01\x87R(K\x03" + _py2("|") + b"NNN"
    dtype += b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _py2("b") + b"\x87R"
    return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"


def batch(x: np.ndarray, y: np.ndarray, key: str) -> bytes:
    table = {
        "batch_label": "a batch",
        key: [int(n) for n in y],
        "data": x.reshape(len(x), -1),
        "filenames": [f"{n}.png" for n in range(len(x))],
    }
    return python2(table)


def cifar10(folder: Path, rng: np.random.Generator) -> Miniature:
    images = pictures(rng, {"train": 50, "test": 10}, (3, 32, 32), 10)
    x, y = images["train"]
    members = {f"cifar-10-batches-py/data_batch_{i + 1}": batch(x[i::5], y[i::5], "labels") for i in range(5)}
    order = np.concatenate([np.arange(i, 50, 5) for i in range(5)])
    members["cifar-10-batches-py/test_batch"] = batch(*images["test"], "labels")
    members["cifar-10-batches-py/batches.meta"] = python2({"label_names": ["a"]})
    file = stored(folder, "cifar-10-python.tar.gz", tarred(members))
    loose = [File(name.rsplit("/")[-1], md5(raw)) for name, raw in members.items() if "meta" not in name]
    source = replace(
        SETS["cifar-10"],
        files=(file,),
        counts=({"train": 50, "test": 10},),
        per_class={"train": 5, "test": 1},
        images=cifar.archived(file, loose, cifar.CIFAR10, "labels", 32),
    )
    return Miniature(source, folder, {**images, "train": (x[order], y[order])}, {})


def cifar100(folder: Path, rng: np.random.Generator) -> Miniature:
    images = pictures(rng, {"train": 20, "test": 10}, (3, 32, 32), 100)
    members = {f"cifar-100-python/{part}": batch(*images[part], "fine_labels") for part in images}
    file = stored(folder, "cifar-100-python.tar.gz", tarred(members))
    loose = [File(part, md5(members[f"cifar-100-python/{part}"])) for part in images]
    source = replace(
        SETS["cifar-100"],
        files=(file,),
        counts=({"train": 20, "test": 10},),
        per_class=None,
        images=cifar.archived(file, loose, cifar.CIFAR100, "fine_labels", 32),
    )
    return Miniature(source, folder, images, {})


def imagenet16(folder: Path, rng: np.random.Generator) -> Miniature:
    """Eleven batches by Python 3, classes from 1, some above 120."""
    files, images = [], {}
    for part, names in cifar.IMAGENET16.items():
        kept = []
        for number, name in enumerate(names):
            x = rng.integers(0, 256, (6, 3 * 16 * 16)).astype(np.uint8)
            y = [1, 121, 120, 1000, 1 + number, 60]
            mean = x.mean(axis=0)
            raw = pickle.dumps({"data": x, "labels": y, "mean": mean}, protocol=3 + number % 2)
            files.append(stored(folder, name, raw))
            kept.append((x.reshape(-1, 3, 16, 16)[[0, 2, 4, 5]], np.array(y)[[0, 2, 4, 5]] - 1))
        images[part] = tuple(np.concatenate(column) for column in zip(*kept, strict=True))
    source = replace(
        SETS["imagenet16-120"],
        files=tuple(files),
        counts=({"train": 40, "test": 4},),
        images=cifar.loose_batches(files, cifar.IMAGENET16, 16, 120),
    )
    return Miniature(source, folder, images, {})


WRITERS: dict[str, Callable[[Path, np.random.Generator], Miniature]] = {
    "mnist": mnist_set("mnist"),
    "fashion-mnist": mnist_set("fashion-mnist"),
    "cifar-10": cifar10,
    "cifar-100": cifar100,
    "imagenet16-120": imagenet16,
}
