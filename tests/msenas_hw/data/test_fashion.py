from __future__ import annotations

import gzip
import hashlib
import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.data import DataConfig, Dataset, configured, load
from msenas_hw.data.fashion import DEBIAN, MD5, VARIABLE, fashion_mnist
from targets.errors import ConfigError, DataError

TRAIN, TEST = 40, 10
# Where the real files are, if anywhere.
REAL = Path(os.environ.get(VARIABLE, "/"))


def packed(array: np.ndarray) -> bytes:
    """The idx format as its authors describe it: magic number, big-endian axes, values."""
    header = struct.pack(f">{1 + array.ndim}i", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def contents() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((TRAIN, 28, 28), (TRAIN,), (TEST, 28, 28), (TEST,))
    return {
        name: rng.integers(0, 256 if len(shape) == 3 else 10, shape)
        for name, shape in zip(MD5, shapes, strict=True)
    }


def written(folder: Path) -> dict[str, str]:
    """A miniature of the four files, and their digests."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = {name: packed(array) for name, array in contents().items()}
    for name, data in raw.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    return {name: hashlib.md5(data).hexdigest() for name, data in raw.items()}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_files_become_the_official_split(tmp_path):
    data, given = fashion_mnist(8, tmp_path, written(tmp_path)), list(contents().values())
    assert [len(data.part(name)[1]) for name in ("train", "validation", "test")] == [32, 8, TEST]
    assert data.input_shape == (1, 28, 28)
    joined = np.concatenate([data.train_x, data.validation_x, data.test_x])[:, 0]
    assert joined.dtype == np.float32
    assert (np.rint(joined * 255) == np.concatenate([given[0], given[2]])).all()
    assert (np.concatenate([data.train_y, data.validation_y]) == given[1]).all()
    assert (data.test_y == given[3]).all()
    assert data.inputs("test", "rate", 5, 3)[0].shape == (5, 3, 1, 28, 28)
    with pytest.raises(ConfigError, match=r"data\.validation: found 40, allowed 1 to 39"):
        fashion_mnist(TRAIN, tmp_path, written(tmp_path))


def test_digests_are_of_the_unpacked_files(tmp_path):
    digests = written(tmp_path)
    for name in MD5:
        raw = gzip.decompress((tmp_path / f"{name}.gz").read_bytes())
        with gzip.GzipFile(tmp_path / f"{name}.gz", "wb", compresslevel=1, mtime=1590000000) as file:
            file.write(raw)
    assert len(fashion_mnist(8, tmp_path, digests).train_y) == 32


def damage() -> Iterator[tuple[str, bytes, str]]:
    whole = gzip.compress(packed(contents()["t10k-images-idx3-ubyte"]))
    raw = bytearray(packed(contents()["t10k-images-idx3-ubyte"]))
    raw[500] ^= 1
    yield "truncated", whole[:-200], "cannot be unpacked"
    yield "empty", b"", "md5 d41d8cd98f00b204e9800998ecf8427e"
    yield "no gzip", b"x" * 100, "cannot be unpacked"
    yield "broken inside", whole[:300] + b"\0" * 50 + whole[350:], "cannot be unpacked"
    yield "one bit", gzip.compress(bytes(raw)), "altered or incomplete"


@pytest.mark.parametrize(("data", "message"), [pytest.param(*values, id=name) for name, *values in damage()])
def test_a_damaged_file_is_refused_by_name_with_what_mends_it(tmp_path, data, message):
    digests = written(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(DataError, match=f"t10k-images-idx3-ubyte.gz: .*{message}") as caught:
        fashion_mnist(8, tmp_path, digests)
    assert f"dpkg-deb -x dataset-fashion-mnist_*.deb {tmp_path}" in str(caught.value)


def test_what_mends_a_damaged_file_does(tmp_path):
    digests = written(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: no such file; get the files with"):
        fashion_mnist(8, tmp_path, digests)
    written(tmp_path / DEBIAN)
    assert len(fashion_mnist(8, tmp_path, digests).train_y) == 32


def test_a_right_digest_of_what_is_no_idx_file_is_refused(tmp_path):
    digests = written(tmp_path)
    name = "train-images-idx3-ubyte"
    for raw in (b"\0\0\x0d\1" + bytes(8), packed(contents()[name])[:-1], b"\0\0\x08\3", b"\0\0\x08\0"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(raw))
        with pytest.raises(DataError, match="no idx file"):
            fashion_mnist(8, tmp_path, {**digests, name: hashlib.md5(raw).hexdigest()})


def test_folders_are_searched_in_order(tmp_path, monkeypatch):
    if any((Path("/") / DEBIAN).glob("*.gz")):
        pytest.skip("the Debian package is installed")
    with pytest.raises(
        DataError, match=r"no file of it in /usr/share/datasets/fashion-mnist, .*cache"
    ) as caught:
        load("fashion-mnist")
    assert str(tmp_path / "cache" / "msenas-hw") in str(caught.value)
    digests = written(tmp_path / "cache" / "msenas-hw" / DEBIAN)
    assert fashion_mnist(8, md5=digests).name == "fashion-mnist"
    first = tmp_path / "own" / "fashion-mnist"
    written(first)
    (first / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    with pytest.raises(DataError, match=str(first)):
        fashion_mnist(8, md5=digests)
    with pytest.raises(DataError, match=f"no file of it in {tmp_path / 'other'};"):
        load("fashion-mnist", folder=str(tmp_path / "other"))


def test_a_folder_belongs_to_fashion_mnist_alone():
    with pytest.raises(ConfigError, match=r"data\.folder: found 'x', but 'digits'"):
        load("digits", folder="x")


def toy(labels: list[int]) -> Dataset:
    y = np.array(labels)
    x = np.arange(len(y), dtype=np.float32).reshape(-1, 1, 1, 1) / len(y)
    return Dataset("toy", x, y, x[:0], y[:0], x[:1], y[:1], classes=3, recorded=False)


def test_fewer_training_samples_keep_the_shares_and_the_order():
    data = toy([0] * 10 + [1] * 20 + [2] * 30)
    half = data.with_train(30)
    assert np.bincount(half.train_y).tolist() == [5, 10, 15]
    assert np.allclose(half.train_x.ravel() * 60, [*range(5), *range(10, 20), *range(30, 45)])
    kept = [set(data.with_train(n).train_x.ravel().tolist()) for n in range(1, 61)]
    assert all(len(few) == n for n, few in enumerate(kept, 1))
    assert all(few < more for few, more in pairwise(kept))
    assert len(half.test_y) == 1
    for count in (0, 61):
        with pytest.raises(ConfigError, match=rf"train_samples: found {count}, allowed 1 to 60"):
            data.with_train(count)


def test_chosen_rows_are_encoded_as_the_whole_is():
    data = load("digits")
    x, y = data.inputs("train", "rate", 4)
    rows = np.array([5, 900, 17])
    some_x, some_y = data.encoded("train", rows, "rate", 4)
    assert (some_x == x[:, rows]).all()
    assert (some_y == y[rows]).all()
    assert (data.encoded("train", slice(64, 128), "rate", 4)[0] == x[:, 64:128]).all()


def test_a_configuration_names_subset_and_folder(tmp_path):
    section = DataConfig(name="digits", train_samples=300, validation=100)
    data = configured(section)
    assert [len(data.part(name)[1]) for name in ("train", "validation", "test")] == [300, 100, 500]
    with pytest.raises(DataError, match=f"no file of it in {tmp_path}"):
        configured(DataConfig(name="fashion-mnist", folder=str(tmp_path)))


@pytest.mark.skipif(not any((REAL / DEBIAN).glob("*.gz")), reason="Fashion-MNIST is absent")
def test_the_real_files():
    data = fashion_mnist(5000, REAL)
    assert [len(data.part(name)[1]) for name in ("train", "validation", "test")] == [55000, 5000, 10000]
    every = np.concatenate([data.train_y, data.validation_y])
    assert np.bincount(every).tolist() == [6000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    parts = [data.train_x, data.validation_x]
    mean = sum(x.sum(dtype=np.float64) for x in parts) / (60000 * 784)
    square = sum(np.square(x).sum(dtype=np.float64) for x in parts) / (60000 * 784)
    # Mean and deviation as torchvision's users normalise by.
    assert (round(mean, 4), round((square - mean**2) ** 0.5, 4)) == (0.2860, 0.3530)
