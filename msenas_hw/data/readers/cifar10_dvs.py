"""CIFAR10-DVS: a thousand recordings a class, as ten archives of AEDAT 2.0 or converted to AEDAT 4."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO

from msenas_hw.data.archives import zip_content, zip_members
from msenas_hw.data.place import File, Place
from msenas_hw.data.readers.aedat import aedat2
from msenas_hw.data.readers.aedat4 import aedat4
from msenas_hw.data.readers.nmnist import Columns
from msenas_hw.data.source import Recording

# Of each class the recordings below this number are the test part, as in the literature.
TEST = 100


def class_archives(files: Sequence[File]) -> Callable[[Place], Iterator[Recording]]:
    """Reader of one zip of AEDAT 2.0 files a class, in the order of the classes."""

    def read(place: Place) -> Iterator[Recording]:
        for label, file in enumerate(files):
            with place.opened(file) as handle:
                yield from _class(place, file.name, handle, label, ".aedat", aedat2)

    return read


def nested_archive(file: File, classes: Sequence[str]) -> Callable[[Place], Iterator[Recording]]:
    """Reader of one zip that holds a zip of AEDAT 4 files for each class, or folders of them."""

    def read(place: Place) -> Iterator[Recording]:
        with place.opened(file) as handle:
            inner = zip_members(handle, (".zip",))
            if not inner:
                for label, name in enumerate(classes):
                    yield from _class(place, file.name, handle, label, ".aedat4", aedat4, name)
                return
            for label, name in enumerate(classes):
                (member,) = [m for path, m in inner.items() if PurePosixPath(path).stem == name]
                (raw,) = zip_content(handle, [member])
                yield from _class(place, f"{name}.zip", io.BytesIO(raw), label, ".aedat4", aedat4)

    return read


def _class(
    place: Place,
    archive: str,
    handle: BinaryIO,
    label: int,
    suffix: str,
    decode: Callable[[bytes], Columns],
    folder: str = "",
) -> Iterator[Recording]:
    """Recordings of one class by their number `..._<number>.<suffix>`; times begin with the first event."""
    members = {
        int(PurePosixPath(name).stem.rsplit("_", 1)[-1]): member
        for name, member in zip_members(handle, (suffix,)).items()
        if not folder or PurePosixPath(name).parent.name == folder
    }
    numbers = sorted(members)
    for number, raw in zip(numbers, zip_content(handle, [members[n] for n in numbers]), strict=True):
        with place.parsing(f"{place.folder / archive}, member {members[number].filename}"):
            t, x, y, p = decode(raw)
            begin = t.min() if len(t) else 0
            yield Recording("test" if number < TEST else "train", label, (number, label), t - begin, x, y, p)
