"""DVS128 Gesture: the original recordings with their labels, or the copy that others cut up before."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.archives import tar_members
from msenas_hw.data.place import File, Place
from msenas_hw.data.readers.aedat import aedat3
from msenas_hw.data.source import Recording

_LISTS = {"trials_to_train.txt": "train", "trials_to_test.txt": "test"}
_LABELS = "_labels.csv"


def original(archive: File) -> Callable[[Place], Iterator[Recording]]:
    """Reader of the archive of AEDAT 3.1 recordings, each cut by the times of its labels.

    Every labelled stretch `start <= t < end` is a sample, which gives the 1,176 and 288 of most papers;
    classes are numbered from 0 in place of 1.

    Source: A. Amir et al., A low power, fully event-based gesture recognition system, CVPR 2017.
    """

    def read(place: Place) -> Iterator[Recording]:
        with place.opened(archive) as handle:
            trials, labels = _index(
                dict(tar_members(handle, ("trials_to_train.txt", "trials_to_test.txt", _LABELS)))
            )
            handle.seek(0)
            for name, raw in tar_members(handle, (".aedat",)):
                trial = PurePosixPath(name).name
                if trial in trials:
                    with place.parsing(f"{place.folder / archive.name}, member {name}"):
                        yield from _cut(raw, *trials[trial], labels[trial])

    return read


def _index(files: dict[str, bytes]) -> tuple[dict[str, tuple[str, int]], dict[str, NDArray[np.int64]]]:
    """Part and place of each trial, and its rows of class, start and end."""
    by_name = {PurePosixPath(name).name: raw.decode() for name, raw in files.items()}
    trials = {
        trial.strip(): (part, number)
        for name, part in _LISTS.items()
        for number, trial in enumerate(by_name[name].split())
    }
    tables = {trial: by_name[trial.removesuffix(".aedat") + _LABELS] for trial in trials}
    return trials, {trial: _rows(table) for trial, table in tables.items()}


def _rows(table: str) -> NDArray[np.int64]:
    lines = table.split()[1:]
    return np.array([[int(value) for value in line.split(",")] for line in lines], np.int64).reshape(-1, 3)


def _cut(raw: bytes, part: str, trial: int, rows: NDArray[np.int64]) -> Iterator[Recording]:
    t, x, y, p = aedat3(raw)
    for number, (label, start, end) in enumerate(rows):
        kept = (t >= start) & (t < end)
        yield Recording(part, int(label) - 1, (trial, number), t[kept] - start, x[kept], y[kept], p[kept])


def preprocessed(train: File, test: File) -> Callable[[Place], Iterator[Recording]]:
    """Reader of the two archives of arrays [E, 4] (x, y, p, t in ms): 1,077 and 264 samples.

    A sample is `user<number>_<light>/<class>.npy`. Times are whole milliseconds.
    """

    def read(place: Place) -> Iterator[Recording]:
        for part, file in (("train", train), ("test", test)):
            with place.opened(file) as handle:
                for name, raw in tar_members(handle, (".npy",)):
                    with place.parsing(f"{place.folder / file.name}, member {name}"):
                        yield _sample(part, PurePosixPath(name), raw)

    return read


def _sample(part: str, path: PurePosixPath, raw: bytes) -> Recording:
    events = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    if events.ndim != 2 or events.shape[1] != 4 or not np.issubdtype(events.dtype, np.number):
        raise ValueError(f"has shape {events.shape} and type {events.dtype}, allowed [E, 4] numbers")
    x, y, p, t = events.astype(np.int64).T
    user, light = path.parent.name.removeprefix("user").split("_", 1)
    begin = t.min() if len(t) else 0
    return Recording(part, int(path.stem), (int(user), light, int(path.stem)), (t - begin) * 1000, x, y, p)
