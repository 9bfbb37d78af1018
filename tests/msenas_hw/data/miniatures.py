"""Small copies of the published sets, written byte by byte in their original formats.

`write(name, folder)` gives a row of the table whose digests and counts are those of the copy, and what was
written. Writers follow the formats' descriptions and share no code with the readers. Whoever loads this file
puts its folder on the path.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import miniature_pictures
import miniature_recordings
import numpy as np
from miniature_pictures import Miniature, batch, idx, md5, tarred, zipped
from miniature_recordings import aedat4, event_packet, lz4_frame

from msenas_hw.data.place import File
from msenas_hw.data.readers import cifar, cifar10_dvs, gesture
from msenas_hw.data.readers.heidelberg import heidelberg
from msenas_hw.data.readers.idx import mnist_like
from msenas_hw.data.readers.nmnist import nmnist
from msenas_hw.data.readers.nmnist_subset import nmnist_subset
from msenas_hw.data.source import Source

__all__ = [
    "WRITERS",
    "Miniature",
    "aedat4",
    "batch",
    "event_packet",
    "idx",
    "lz4_frame",
    "md5",
    "tarred",
    "with_files",
    "write",
    "zipped",
]

WRITERS = miniature_pictures.WRITERS | miniature_recordings.WRITERS


def write(name: str, folder: Path, seed: int = 0) -> Miniature:
    """The copy of the set `name`, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[name](folder, np.random.default_rng([seed, len(name)]))


def with_files(source: Source, files: list[File]) -> Source:
    """A row for other files in the same order, whose readers know them."""
    name, parts = source.name, ("train", "validation", "test")
    pair = (files + files)[:2]
    readers: dict[str, dict[str, Any]] = {
        "cifar-10": {"images": cifar.archived(files[0], (), cifar.CIFAR10, "labels", 32)},
        "cifar-100": {"images": cifar.archived(files[0], (), cifar.CIFAR100, "fine_labels", 32)},
        "imagenet16-120": {"images": cifar.loose_batches(files, cifar.IMAGENET16, 16, 120)},
        "nmnist": {"events": nmnist(*pair)},
        "nmnist-1100": {"events": nmnist_subset(files[0])},
        "cifar10-dvs": {"events": cifar10_dvs.class_archives(files)},
        "cifar10-dvs-aedat4": {"events": cifar10_dvs.nested_archive(files[0], source.classes)},
        "dvs128-gesture": {"events": gesture.original(files[0])},
        "dvs128-gesture-npy": {"events": gesture.preprocessed(*pair)},
        "shd": {"events": heidelberg(dict(zip(("train", "test"), files, strict=False)))},
        "ssc": {"events": heidelberg(dict(zip(parts, files, strict=False)))},
    }
    reader = readers.get(name) or {"images": mnist_like(*files)}
    return replace(source, files=tuple(files), **reader)
