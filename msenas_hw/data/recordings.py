"""Event recordings packed one after another: in memory, or in the cache and read by the piece."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from msenas_hw.data.place import MALFORMED, cache
from msenas_hw.data.source import Labels, Recording
from targets.errors import DataError

FORMAT = 1
_TYPES: Mapping[str, str] = {"t": "<u4", "address": "<u2"}


@dataclass(frozen=True, eq=False)
class Recordings:
    """Events of all samples of a part.

    Attributes:
        t: microseconds since the recording began, uint32 [E].
        address: (polarity * rows + y) * columns + x, uint16 [E].
        start: first event of each recording and the end of the last, int64 [N + 1].
        sensor: (polarities, rows, columns).
        fingerprint: of the files they come from.
    """

    t: NDArray[np.uint32]
    address: NDArray[np.uint16]
    start: NDArray[np.int64]
    sensor: tuple[int, int, int]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.start) - 1


# Part -> which recordings are its samples, in order, and the class of each.
Parts = Mapping[str, tuple[NDArray[np.int64], Labels]]


def packed(
    name: str, fingerprint: str, sensor: tuple[int, int, int], events: Iterable[Recording]
) -> tuple[Recordings, Parts]:
    """Recordings of a set from the cache, into which they are first written where they are not.

    Memory holds one recording at a time while they are written, and what a batch needs afterwards. They
    take 6 bytes an event in the folder `packed` of the cache.

    Raises:
        DataError: an event lies outside of the sensor, the cache cannot be written, or is damaged;
            whatever the reader raises.
    """
    folder = _folder(name, fingerprint)
    if not is_packed(name, fingerprint):
        _write(name, folder, sensor, events)
    return _read(folder, sensor, fingerprint)


def is_packed(name: str, fingerprint: str) -> bool:
    """Whether the cache holds these recordings."""
    return (_folder(name, fingerprint) / "meta.json").is_file()


def _folder(name: str, fingerprint: str) -> Path:
    return cache() / "packed" / f"{name}-{fingerprint}"


def in_memory(
    name: str, fingerprint: str, sensor: tuple[int, int, int], events: Iterable[Recording]
) -> tuple[Recordings, Parts]:
    """The same, held in memory; for small sets."""
    index, columns = _Index(), [(np.empty(0, np.uint32), np.empty(0, np.uint16))]
    for item in events:
        columns.append(_packed(name, item, sensor))
        index.add(item)
    t, address = (np.concatenate([pair[i] for pair in columns]) for i in (0, 1))
    return Recordings(t, address, np.array(index.start, np.int64), sensor, fingerprint), index.parts()


def _packed(
    name: str, item: Recording, sensor: tuple[int, int, int]
) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    polarities, rows, columns = sensor
    for axis, limit in ((item.x, columns), (item.y, rows), (item.p, polarities), (item.t, 1 << 32)):
        if len(axis) and not 0 <= int(axis.min()) <= int(axis.max()) < limit:
            raise DataError(
                f"data {name!r}, {item.part} recording {item.order}: events have {int(axis.min())} to "
                f"{int(axis.max())}, allowed 0 to {limit - 1} (sensor {sensor})"
            )
    address = (item.p * rows + item.y) * columns + item.x
    return item.t.astype(np.uint32), address.astype(np.uint16)


class _Index:
    """Where each recording is, while they come."""

    def __init__(self) -> None:
        self.start = [0]
        self.found: dict[str, list[tuple[tuple[int | str, ...], int, int]]] = {}

    def add(self, item: Recording) -> None:
        row = len(self.start) - 1
        self.start.append(self.start[-1] + len(item.t))
        self.found.setdefault(item.part, []).append((item.order, row, item.label))

    def parts(self) -> dict[str, tuple[NDArray[np.int64], Labels]]:
        """Samples of each part in their order."""
        ordered = {part: sorted(items) for part, items in self.found.items()}
        return {
            part: (np.array([i[1] for i in items], np.int64), np.array([i[2] for i in items], np.int64))
            for part, items in ordered.items()
        }


def _write(name: str, folder: Path, sensor: tuple[int, int, int], events: Iterable[Recording]) -> None:
    """Write beside `folder`, then move there, so that no half of it is ever read."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot be written ({error.strerror}); set XDG_CACHE_HOME"
        ) from None
    index = _Index()
    try:
        with (beside / "t").open("wb") as times, (beside / "address").open("wb") as addresses:
            for item in events:
                t, address = _packed(name, item, sensor)
                times.write(t.astype(_TYPES["t"]).tobytes())
                addresses.write(address.astype(_TYPES["address"]).tobytes())
                index.add(item)
        arrays: dict[str, Any] = {"start": np.array(index.start, np.int64)}
        for part, (rows, labels) in index.parts().items():
            arrays |= {f"{part}_rows": rows, f"{part}_labels": labels}
        np.savez(beside / "index.npz", **arrays)
        (beside / "meta.json").write_text(json.dumps({"format": FORMAT, "parts": list(index.found)}))
        _moved(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _moved(beside: Path, folder: Path) -> None:
    try:
        os.rename(beside, folder)
    except OSError:
        # Another process wrote the same at the same time.
        if not (folder / "meta.json").is_file():
            raise


def _read(folder: Path, sensor: tuple[int, int, int], fingerprint: str) -> tuple[Recordings, Parts]:
    try:
        names = json.loads((folder / "meta.json").read_text())["parts"]
        # np.load leaves the file open where it is no archive.
        with (folder / "index.npz").open("rb") as file, NpzFile(file, allow_pickle=False) as index:
            start = index["start"]
            parts = {name: (index[f"{name}_rows"], index[f"{name}_labels"]) for name in names}
        if start.dtype != np.int64 or start.ndim != 1 or start[0] != 0 or (np.diff(start) < 0).any():
            raise ValueError("the index is not in order")
        for rows, labels in parts.values():
            if rows.shape != labels.shape or not 0 <= rows.min() <= rows.max() < len(start) - 1:
                raise ValueError("the index names recordings that are not there")
        t, address = (_column(folder / key, kind, int(start[-1])) for key, kind in _TYPES.items())
        return Recordings(t, address, start, sensor, fingerprint), parts
    except (*MALFORMED, MemoryError) as error:
        raise DataError(f"{folder}: damaged ({error}); remove it, and it is written again") from None


def _column(path: Path, kind: str, count: int) -> NDArray[Any]:
    size = path.stat().st_size
    if size != count * np.dtype(kind).itemsize:
        raise ValueError(f"{path.name} has {size} bytes for {count} events")
    return np.memmap(path, kind, "r") if count else np.empty(0, kind)


def fingerprint_of(name: str, digests: Iterable[str]) -> str:
    """What recordings packed from files with these digests are kept under."""
    return hashlib.sha256("\n".join([str(FORMAT), name, *digests]).encode()).hexdigest()[:16]
