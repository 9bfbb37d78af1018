from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from msenas_hw.data import SETS, Dataset
from msenas_hw.data.frames import Binning, Frames
from msenas_hw.data.loading import loaded
from targets.errors import DataError

IMAGES = ("mnist", "fashion-mnist", "cifar-10", "cifar-100", "imagenet16-120")
EVENTS = (
    "nmnist", "nmnist-1100", "cifar10-dvs", "cifar10-dvs-aedat4", "dvs128-gesture", "dvs128-gesture-npy",
    "shd", "ssc",
)  # fmt: skip


def read(miniature) -> Dataset:
    return loaded(miniature.source, 2, miniature.folder, Binning(4))


def joined(data: Dataset, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples and classes of a part of the release, the validation cut from it back in place."""
    names = ("train", "validation") if part == "train" else (part,)
    pairs = [data.part(name) for name in names]
    return np.concatenate([np.asarray(x) for x, _ in pairs]), np.concatenate([y for _, y in pairs])


@pytest.mark.parametrize("name", IMAGES)
def test_pictures_and_classes_are_those_that_were_written(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path / name)
    data = read(miniature)
    assert data.input_shape == SETS[name].shape
    assert data.classes == len(SETS[name].classes)
    for part, (wanted, labels) in miniature.images.items():
        x, y = joined(data, part)
        assert (np.rint(x * 255) == wanted).all()
        assert x.dtype == np.float32
        assert y.tolist() == labels.tolist()


def columns(frames: Frames, row: int) -> list[np.ndarray]:
    """t, x, y, p of a recording, from the packed form."""
    found = frames.recordings
    events = slice(*found.start[frames.rows[row] : frames.rows[row] + 2])
    p, y, x = np.unravel_index(found.address[events], found.sensor)
    return [np.asarray(column, np.int64) for column in (found.t[events], x, y, p)]


@pytest.mark.parametrize("name", EVENTS)
def test_events_and_classes_are_those_that_were_written(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path / name)
    data = read(miniature)
    for part, samples in miniature.events.items():
        names = ("train", "validation") if part == "train" and name != "ssc" else (part,)
        found = [(data.part(n)[0], row, label) for n in names for row, label in enumerate(data.part(n)[1])]
        assert [label for *_, label in found] == [sample[0] for sample in samples]
        for (frames, row, _), (_, *wanted) in zip(found, samples, strict=True):
            for column, other in zip(columns(frames, row), wanted, strict=True):
                assert column.tolist() == other.tolist()
    assert data.recorded
    assert data.facts["kind"] == "recorded"


@pytest.mark.parametrize("name", [*IMAGES, *EVENTS])
def test_truncated_altered_and_missing_files_are_refused_by_name(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path / name)
    file = miniature.source.files[-1].name
    path = miniature.folder / file
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for data in (whole[:-5], whole[: len(whole) // 2], bytes(changed), b""):
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"{file}"):
            read(miniature)
    path.unlink()
    if len(miniature.source.files) > 1:
        with pytest.raises(DataError, match=rf"{file}: no such file"):
            read(miniature)
    else:
        with pytest.raises(DataError, match="no file of it"):
            read(miniature)


@pytest.mark.parametrize("name", ["nmnist", "cifar10-dvs", "shd", "imagenet16-120"])
def test_a_mislabelled_file_is_named(miniatures, tmp_path, name):
    miniature = miniatures.write(name, tmp_path / name)
    first, second = (miniature.folder / file.name for file in miniature.source.files[:2])
    first.write_bytes(second.read_bytes() + bytes(0))
    # Sizes differ by chance; only the digest tells which file it is.
    files = tuple(replace(file, size=None) for file in miniature.source.files)
    source = replace(miniature.source, files=files)
    with pytest.raises(
        DataError, match=rf"{first.name}: (mislabelled: this is {second.name} of {name}|truncated)"
    ):
        loaded(source, 2, miniature.folder, Binning(4))
