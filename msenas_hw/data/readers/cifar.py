"""CIFAR-10, CIFAR-100 and ImageNet16: pictures in pickled batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.archives import tar_members
from msenas_hw.data.place import File, Place
from msenas_hw.data.readers.pickles import unpickled
from msenas_hw.data.source import Bytes, Images, Labels

# Part -> names of its batches, in order.
Batches = dict[str, tuple[str, ...]]
CIFAR10: Batches = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
CIFAR100: Batches = {"train": ("train",), "test": ("test",)}
IMAGENET16: Batches = {
    "train": tuple(f"train_data_batch_{number}" for number in range(1, 11)),
    "test": ("val_data",),
}


def archived(
    archive: File, loose: Sequence[File], batches: Batches, key: str, side: int
) -> Callable[[Place], Images]:
    """Reader of batches in a gzipped tar, or of the batches themselves where the archive is not there.

    Args:
        loose: the batches as files of their own.
        key: of the labels, such as `fine_labels`.
        side: pixels along an edge; a row of `data` holds red, green and blue planes.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """

    def read(place: Place) -> Images:
        path = place.folder / archive.name
        if not path.exists():
            return _read(dict(_loose(place, loose)), batches, key, side, None)
        with place.opened(archive) as handle:
            wanted = tuple(f"/{name}" for names in batches.values() for name in names)
            found = {name.rsplit("/", 1)[-1]: unpickled(raw) for name, raw in tar_members(handle, wanted)}
            return _read(found, batches, key, side, None)

    return read


def loose_batches(
    files: Sequence[File], batches: Batches, side: int, classes: int
) -> Callable[[Place], Images]:
    """Reader of batch files whose classes begin at 1, of which the first `classes` are kept.

    Source: P. Chrabaszcz, I. Loshchilov, F. Hutter, arXiv 1707.08819 (2017); X. Dong, Y. Yang,
    NAS-Bench-201, ICLR 2020, for the choice of classes.
    """

    def read(place: Place) -> Images:
        return _read(dict(_loose(place, files, classes)), batches, "labels", side, classes)

    return read


def _loose(place: Place, files: Sequence[File], classes: int | None = None) -> Iterator[tuple[str, Any]]:
    for file in files:
        with place.opened(file) as handle:
            table = unpickled(handle.read())
            yield file.name, table if classes is None else _first(table, classes)


def _first(table: Any, classes: int) -> dict[str, NDArray[Any]]:
    """The samples of the first classes alone, so that the others' memory is free before the next batch."""
    y = np.asarray(table["labels"], dtype=np.int64)
    kept = np.flatnonzero((y >= 1) & (y <= classes))
    return {"data": table["data"][kept], "labels": y[kept] - 1}


def _read(found: dict[str, Any], batches: Batches, key: str, side: int, classes: int | None) -> Images:
    missing = [name for names in batches.values() for name in names if name not in found]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}")
    parts = {part: [_batch(found[name], key, side) for name in names] for part, names in batches.items()}
    return {
        part: (np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs]))
        for part, pairs in parts.items()
    }


def _batch(table: Any, key: str, side: int) -> tuple[Bytes, Labels]:
    x, y = np.asarray(table["data"]), np.asarray(table[key], dtype=np.int64)
    if x.dtype != np.uint8 or x.shape != (len(y), 3 * side * side) or y.ndim != 1:
        raise ValueError(f"data have shape {x.shape} and type {x.dtype}, labels {y.shape}")
    return x.reshape(-1, 3, side, side), y
