"""Record what other libraries read from the miniatures, for `test_cross_reading.py`.

    python record.py write FOLDER                  with this project: the miniatures
    python record.py read FOLDER tonic             with tonic 1.7.0 and aedat 2.3.0
    python record.py read FOLDER spikingjelly      with SpikingJelly 2.0.0 and torchvision 0.29.1

Each `read` writes `<library>.json` beside this file: for every sample the class and a digest of its columns
t, x, y, p (int64) or of its picture (uint8, [C, H, W]), in the order in which the library yields them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np

HERE = Path(__file__).parent
Row = tuple[int, str]


def digest(*columns: Any) -> str:
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column, np.int64).tobytes())
    return found.hexdigest()[:16]


def picture(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, np.uint8).tobytes()).hexdigest()[:16]


def write(folder: Path) -> None:
    sys.path.insert(0, str(HERE.parent))
    import miniatures

    for name in miniatures.WRITERS:
        miniatures.write(name, folder / name)


def unpacked(folder: Path, archive: str) -> Path:
    place = folder / "unpacked"
    with zipfile.ZipFile(folder / archive) as file:
        file.extractall(place)
    return place


def tonic(folder: Path) -> dict[str, list[Row]]:
    import h5py
    from tonic.io import read_aedat4, read_mnist_file

    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    found: dict[str, list[Row]] = {}
    for part in ("train", "test"):
        place = unpacked(folder / "nmnist", f"{part}.zip") / part.title()
        rows = []
        for path in sorted(place.glob("*/*.bin"), key=lambda path: path.stem):
            e = read_mnist_file(str(path), kind)
            rows.append((int(path.parent.name), digest(e["t"], e["x"], e["y"], e["p"])))
        found[f"nmnist/{part}"] = rows
    outer = unpacked(folder / "cifar10-dvs-aedat4", "CIFAR10DVS.zip")
    rows = []
    for archive in sorted(outer.glob("*.zip")):
        for path in sorted(unpacked(outer, archive.name).glob(f"{archive.stem}/*.aedat4")):
            e = read_aedat4(str(path))
            rows.append(
                (int(path.stem.rsplit("_")[-1]), digest(e["t"] - e["t"].min(), e["x"], e["y"], e["on"]))
            )
    found["cifar10-dvs-aedat4"] = rows
    for name in ("shd", "ssc"):
        for archive in sorted((folder / name).glob("*.zip")):
            place = unpacked(folder / name, archive.name)
            with h5py.File(place / archive.stem) as file:
                found[f"{name}/{archive.name}"] = [
                    (int(label), digest((t.astype(np.float64) * 1e6).astype(int), x, x * 0, x * 0))
                    for t, x, label in zip(
                        file["spikes/times"][()], file["spikes/units"][()], file["labels"][()], strict=True
                    )
                ]
    return found


def spikingjelly(folder: Path) -> dict[str, list[Row]]:
    import gzip
    import tarfile

    # torchvision's wheel registers operators at import that a CPU build of torch lacks; none is used.
    # SpikingJelly's package of sets imports torchaudio for another set.
    for name in (
        "torchvision._meta_registrations",
        "torchaudio",
        "torchaudio.transforms",
        "torchaudio.functional",
    ):
        sys.modules[name] = MagicMock()
    from spikingjelly.datasets.cifar10_dvs import _load_origin_data
    from spikingjelly.datasets.utils import load_aedat_v3
    from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

    found: dict[str, list[Row]] = {}
    rows = []
    for archive in sorted((folder / "cifar10-dvs").glob("*.zip")):
        for path in sorted(unpacked(folder / "cifar10-dvs", archive.name).glob(f"{archive.stem}/*.aedat")):
            e = {key: value.astype(np.int64) for key, value in _load_origin_data(path).items()}
            rows.append(
                (int(path.stem.rsplit("_")[-1]), digest(e["t"] - e["t"].min(), e["x"], e["y"], e["p"]))
            )
    found["cifar10-dvs"] = rows
    place = folder / "dvs128-gesture"
    with tarfile.open(place / "DvsGesture.tar.gz") as file:
        file.extractall(place, filter="data")
    for part in ("train", "test"):
        rows = []
        for trial in (place / "DvsGesture" / f"trials_to_{part}.txt").read_text().split():
            e = load_aedat_v3(place / "DvsGesture" / trial)
            table = np.loadtxt(
                place / "DvsGesture" / f"{trial[:-6]}_labels.csv",
                np.int64,
                delimiter=",",
                skiprows=1,
                ndmin=2,
            )
            for label, begin, end in table:
                kept = (e["t"] >= begin) & (e["t"] < end)
                rows.append(
                    (int(label) - 1, digest(e["t"][kept] - begin, e["x"][kept], e["y"][kept], e["p"][kept]))
                )
        found[f"dvs128-gesture/{part}"] = rows
    for name, kind in (("cifar-10", CIFAR10), ("cifar-100", CIFAR100)):
        with tarfile.open(next((folder / name).glob("*.tar.gz"))) as file:
            file.extractall(folder / name, filter="data")
        for part in ("train", "test"):
            data = _unchecked(kind)(str(folder / name), train=part == "train", download=False)
            found[f"{name}/{part}"] = [
                (int(y), picture(x.transpose(2, 0, 1))) for x, y in zip(data.data, data.targets, strict=True)
            ]
    for name, kind in (("mnist", MNIST), ("fashion-mnist", FashionMNIST)):
        raw = folder / name / kind.__name__ / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for path in (folder / name).glob("*.gz"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        for part in ("train", "test"):
            data = kind(str(folder / name), train=part == "train", download=False)
            found[f"{name}/{part}"] = [
                (int(y), picture(x.numpy()[None])) for x, y in zip(data.data, data.targets, strict=True)
            ]
    return found


def _unchecked(kind: Any) -> Any:
    """The torchvision set without its digests, which are those of the whole set."""

    class Unchecked(kind):  # type: ignore[misc]
        def _check_integrity(self) -> bool:
            return True

        def _load_meta(self) -> None:
            self.classes: list[str] = []

    return Unchecked


LIBRARIES: dict[str, Callable[[Path], dict[str, list[Row]]]] = {"tonic": tonic, "spikingjelly": spikingjelly}

if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        table = LIBRARIES[sys.argv[3]](Path(sys.argv[2]))
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(rows)}" for key, rows in table.items())
        (HERE / f"{sys.argv[3]}.json").write_text(f"{{\n{lines}\n}}\n")
