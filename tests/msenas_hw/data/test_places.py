from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.data import PARTS, SETS, DataConfig, configured, load
from msenas_hw.data.frames import Binning
from msenas_hw.data.loading import is_here, loaded
from msenas_hw.data.place import SYSTEM, VARIABLE
from targets.errors import ConfigError, DataError

NAME = "fashion-mnist"
# Where real files are, if anywhere; the fixture `nowhere` hides them from the other tests.
REAL = os.environ.get(VARIABLE, "")


def lengths(data):
    return [len(data.part(part)[1]) for part in PARTS]


@pytest.fixture
def copies(miniatures, monkeypatch):
    """`copies(name, folder)` writes a copy and puts its row into the table."""

    def write(name: str, folder: Path, seed: int = 0):
        miniature = miniatures.write(name, folder, seed)
        monkeypatch.setitem(SETS, name, miniature.source)
        return miniature

    return write


def test_folders_are_searched_in_order(copies, tmp_path, monkeypatch, nowhere):
    if (SYSTEM / NAME).exists():
        pytest.skip("the Debian package is installed")
    with pytest.raises(DataError, match=r"no file of it in /usr/share/datasets, .*cache") as caught:
        load(NAME)
    assert "msenas data fetch fashion-mnist" in str(caught.value)
    assert not is_here(SETS[NAME])
    copies(NAME, nowhere / NAME)
    assert load(NAME, validation=8).facts["place"] == str(nowhere / NAME)
    first, second = tmp_path / "first", tmp_path / "second"
    copies(NAME, second / "FashionMNIST" / "raw")
    monkeypatch.setenv(VARIABLE, f"{first}{os.pathsep}{second}")
    assert load(NAME, validation=8).facts["place"] == str(second / "FashionMNIST" / "raw")
    copies(NAME, first / "usr" / "share" / "datasets" / NAME)
    assert load(NAME, validation=8).facts["place"] == str(first / "usr" / "share" / "datasets" / NAME)
    copies(NAME, tmp_path / "own")
    assert load(NAME, validation=8, folder=str(tmp_path / "own")).facts["place"] == str(tmp_path / "own")
    with pytest.raises(DataError, match=f"no file of it in {tmp_path / 'other'};"):
        load(NAME, folder=str(tmp_path / "other"))


def test_digests_are_of_the_unpacked_idx_files(copies, tmp_path):
    miniature = copies("mnist", tmp_path)
    for number, file in enumerate(miniature.source.files):
        path = tmp_path / file.name
        raw = gzip.decompress(path.read_bytes())
        path.unlink()
        if number % 2:
            path.with_suffix("").write_bytes(raw)
        else:
            with gzip.GzipFile(path, "wb", compresslevel=1, mtime=1590000000) as packed:
                packed.write(raw)
    assert lengths(load("mnist", validation=8, folder=str(tmp_path))) == [32, 8, 10]


def test_a_right_digest_of_what_is_no_idx_file_is_refused(miniatures, tmp_path):
    from msenas_hw.data.place import File, Place
    from msenas_hw.data.readers.idx import idx

    for raw in (
        b"\0\0\x0d\1" + bytes(8),
        miniatures.idx(np.zeros((2, 3)))[:-1],
        b"\0\0\x08\3",
        b"\0\0\x08\0",
    ):
        (tmp_path / "a.gz").write_bytes(gzip.compress(raw))
        with pytest.raises(DataError, match=r"a\.gz: malformed \(no idx file"):
            idx(Place("x", tmp_path, "mend"), File("a.gz", miniatures.md5(raw)))


def test_loose_batches_serve_where_the_archive_is_not_there(copies, miniatures, tmp_path):
    import io
    import tarfile

    miniature = copies("cifar-10", tmp_path / "a")
    wanted = np.asarray(load("cifar-10", validation=5, folder=str(tmp_path / "a")).train_x)
    raw = (tmp_path / "a" / "cifar-10-python.tar.gz").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        archive.extractall(tmp_path / "b", filter="data")
    data = load("cifar-10", validation=5, folder=str(tmp_path / "b"))
    assert (np.asarray(data.train_x) == wanted).all()
    batch = tmp_path / "b" / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="data_batch_3: altered or incomplete"):
        load("cifar-10", validation=5, folder=str(tmp_path / "b"))
    assert miniature.source.files[0].name == "cifar-10-python.tar.gz"


def test_unpacked_recordings_are_read_with_a_warning_and_kept_apart(copies, tmp_path):
    import zipfile

    copies("nmnist", tmp_path / "a")
    wanted = load("nmnist", validation=2, folder=str(tmp_path / "a"))
    for part in ("train", "test"):
        with zipfile.ZipFile(tmp_path / "a" / f"{part}.zip") as archive:
            archive.extractall(tmp_path / "b")
    with pytest.warns(UserWarning, match="no published checksum"):
        data = load("nmnist", validation=2, folder=str(tmp_path / "b"))
    assert (np.asarray(data.train_x) == np.asarray(wanted.train_x)).all()
    assert data.train_x.recordings.fingerprint != wanted.train_x.recordings.fingerprint
    next((tmp_path / "b" / "Test").glob("*/*.bin")).write_bytes(b"1234")
    with (
        pytest.warns(UserWarning, match="no published checksum"),
        pytest.raises(DataError, match=r"\.bin: malformed \(4 bytes are no whole number"),
    ):
        load("nmnist", validation=2, folder=str(tmp_path / "b"))


def test_packed_recordings_serve_without_their_files(copies, tmp_path, monkeypatch):
    miniature = copies("shd", tmp_path / "shd")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    wanted = np.asarray(load("shd", validation=2).test_x)
    for file in miniature.source.files:
        (tmp_path / "shd" / file.name).unlink()
    assert is_here(SETS["shd"])
    assert (np.asarray(load("shd", validation=2).test_x) == wanted).all()


def test_other_counts_than_the_release_are_refused(miniatures, tmp_path):
    from dataclasses import replace

    source = miniatures.write("cifar-10", tmp_path).source
    with pytest.raises(
        DataError, match=r"found \{'train': 50, 'test': 10\} samples, allowed \{'train': 60\}"
    ):
        loaded(replace(source, counts=({"train": 60},)), 5, tmp_path, Binning())
    with pytest.raises(DataError, match="part train: found 5 to 5 samples a class, allowed 6"):
        loaded(replace(source, per_class={"train": 6}), 5, tmp_path, Binning())
    with pytest.raises(DataError, match="part train: found classes 0 to 9, allowed 0 to 2"):
        loaded(replace(source, classes=("a", "b", "c")), 5, tmp_path, Binning())


def test_the_test_part_stays_untouched(copies, tmp_path):
    copies("nmnist", tmp_path / "nmnist")
    copies("nmnist-1100", tmp_path)
    common = {"encoding": "events", "folder": str(tmp_path), "validation": 4}
    tests = [configured(DataConfig(name="nmnist", train_samples=n, **common)).test_y for n in (3, 8)]
    assert tests[0].tolist() == tests[1].tolist()
    with pytest.raises(ConfigError, match=r"data\.folds: found 5.*is fixed \(official\) and stays untouched"):
        configured(DataConfig(name="nmnist", folds=5, **common))


def test_folds_are_disjoint_cover_all_and_keep_the_classes(copies, tmp_path):
    copies("nmnist-1100", tmp_path)
    whole = load("nmnist-1100", validation=4, folder=str(tmp_path))
    rows, labels = [], []
    for fold in range(5):
        section = DataConfig(
            name="nmnist-1100", encoding="events", folder=str(tmp_path), validation=4, folds=5, fold=fold
        )
        data = configured(section)
        assert lengths(data) == [16, 4, 5]
        used = [set(data.part(part)[0].rows.tolist()) for part in PARTS]
        assert sum(map(len, used)) == len(set.union(*used)) == 25
        rows += data.test_x.rows.tolist()
        labels += data.test_y.tolist()
        assert data.facts["split"] == f"fold {fold} of 5, all samples dealt anew by class"
    assert sorted(rows) == list(range(25))
    everything = np.concatenate([whole.part(part)[1] for part in PARTS])
    assert (np.array(labels)[np.argsort(rows)] == everything).all()
    with pytest.raises(ValueError, match=r"fold: found 5, allowed 0 to 4, below folds"):
        DataConfig(folds=5, fold=5)


def test_an_npz_has_folds_too(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.linspace(0, 1, 30)[:, None], y=np.arange(30) % 3)
    tests = []
    for fold in range(3):
        data = configured(DataConfig(name=str(tmp_path / "own.npz"), folds=3, fold=fold, validation=5))
        assert np.bincount(data.test_y).max() - np.bincount(data.test_y).min() <= 1
        tests += np.rint(np.asarray(data.test_x).ravel() * 29).astype(int).tolist()
    assert sorted(tests) == list(range(30))


def test_keys_that_do_not_suit_the_data_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.downsample: found 2, but 'digits' holds no recordings"):
        configured(DataConfig(downsample=2))
    with pytest.raises(ConfigError, match=r"data\.folder: found 'x', but 'digits'"):
        load("digits", folder="x")
    with pytest.raises(DataError, match=f"no file of it in {tmp_path}"):
        configured(DataConfig(name=NAME, folder=str(tmp_path)))


def test_binning_keys_reach_the_frames(copies, tmp_path):
    copies("nmnist-1100", tmp_path)
    section = DataConfig(
        name="nmnist-1100", encoding="events", folder=str(tmp_path), validation=4, steps=6, binning="count",
        window_s=0.2, downsample=2, polarity="merge", counts=True,
    )  # fmt: skip
    data = configured(section)
    assert data.train_x.binning == Binning(6, "count", 0.2, 2, "merge", True)
    assert data.input_shape == (1, 17, 17)
    assert data.batch("events", 6, 5).shape == (6, 5, 1, 17, 17)


def test_rows_of_the_table_are_complete():
    for name, source in SETS.items():
        assert name == source.name
        assert ("saccade-sim" in name) == (source.kind == "simulated") == (source.based_on is not None)
        assert all(len(file.md5) == 32 for file in source.files)
        assert source.kind == "images" or np.prod(source.shape) <= 2**16
        assert source.files == () or (source.marks and source.folders and (source.fetchable or source.mend))
        for part, count in (source.per_class or {}).items():
            assert all(counts[part] == count * len(source.classes) for counts in source.counts)


@pytest.mark.skipif(
    not any((Path(root) / "usr/share/datasets" / NAME).exists() for root in [*REAL.split(os.pathsep), "/"]),
    reason="Fashion-MNIST is absent",
)
def test_the_real_fashion_mnist(monkeypatch):
    monkeypatch.setenv(VARIABLE, REAL)
    data = load(NAME, validation=5000)
    assert lengths(data) == [55000, 5000, 10000]
    values = sum(np.bincount(x.raw.ravel(), minlength=256) for x in (data.train_x, data.validation_x))
    mean = (values @ np.arange(256)) / values.sum() / 255
    square = (values @ np.arange(256) ** 2) / values.sum() / 255**2
    # Mean and deviation as torchvision's users normalise by.
    assert (round(mean, 4), round((square - mean**2) ** 0.5, 4)) == (0.2860, 0.3530)


def test_the_real_recordings(shared):
    folder = shared / "data"
    if not (folder / "nmnist_1100.npz").is_file():
        pytest.skip("the recordings are absent")
    data = load("nmnist-1100", validation=100, folder=str(folder), binning=Binning(10, counts=True))
    assert lengths(data) == [900, 100, 100]
    with np.load(folder / "nmnist_1100.npz") as raw:
        assert (data.test_y == raw["y"][1000:]).all()
        begin, end = raw["off"][1003:1005]
        t, xyp = raw["t"][begin:end].astype(int), raw["xyp"][begin:end]
    wanted = np.zeros((10, 2, 34, 34))
    for step, (x, y, p) in zip(t * 10 // (t.max() + 1), xyp, strict=True):
        wanted[step, p, y, x] += 1
    assert (data.test_x[np.array([3])][0] == wanted).all()
