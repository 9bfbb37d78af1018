"""The miniatures as tonic, aedat, SpikingJelly and torchvision read them (`golden/record.py`)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).with_name("golden")
RECORDED = {
    key: rows
    for library in ("tonic", "spikingjelly")
    for key, rows in json.loads((GOLDEN / f"{library}.json").read_text()).items()
}
SPEECH = {"train": "train", "validation": "valid", "test": "test"}


def digest(*columns: np.ndarray) -> str:
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column, np.int64).tobytes())
    return found.hexdigest()[:16]


def recorded(name: str, part: str) -> list[list]:
    """What the other library read; sets without a split of theirs are compared as a whole."""
    for key in (f"{name}/{part}", name, f"{name}/{name}_{SPEECH[part]}.h5.zip"):
        if key in RECORDED:
            return RECORDED[key]
    raise KeyError(name)


@pytest.mark.parametrize(
    "name", ["nmnist", "shd", "ssc", "dvs128-gesture", "cifar10-dvs", "cifar10-dvs-aedat4"]
)
def test_events_are_those_that_others_read(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path)
    found: dict[str, list[tuple[tuple, int, str]]] = {}
    for item in miniature.source.events(miniature.source.place(tmp_path)):
        row = (item.order, item.label, digest(item.t, item.x, item.y, item.p))
        found.setdefault(item.part, []).append(row)
    if name in RECORDED:
        # Listed by class and file name, with the recording's number in place of the class.
        ours = [(order[0], order[1], d) for rows in found.values() for order, _, d in rows]
        classes = sorted(range(10), key=lambda label: miniature.source.classes[label])
        ours.sort(key=lambda row: (classes.index(row[1]), str(row[0])))
        assert [[number, d] for number, _, d in ours] == RECORDED[name]
        return
    for part, rows in found.items():
        assert [[label, d] for _, label, d in sorted(rows)] == recorded(name, part)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar-10", "cifar-100"])
def test_pictures_are_those_that_others_read(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path)
    found = miniature.source.images(miniature.source.place(tmp_path))
    for part, (x, y) in found.items():
        ours = [
            [int(label), hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()[:16]]
            for sample, label in zip(x, y, strict=True)
        ]
        assert ours == recorded(name, part)
