"""Fashion-MNIST: 28 x 28 pictures of clothes, 60,000 to train and 10,000 to test, from the original files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.dataset import Dataset, Labels, train_rows
from msenas_hw.data.encoding import Floats
from msenas_hw.data.idx import idx
from targets.errors import DataError

NAME = "fashion-mnist"
CLASSES = 10
VARIABLE = "MSENAS_DATA"
DEBIAN = Path("usr/share/datasets") / NAME
# Of the unpacked files: Debian packs them anew, so the digests that other loaders list do not hold.
MD5: Mapping[str, str] = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


def fashion_mnist(validation: int, folder: Path | None = None, md5: Mapping[str, str] = MD5) -> Dataset:
    """The official split; validation is the end of the training part. Values 0 to 255 become 0 to 1.

    Args:
        validation: samples cut from the training part; the test part stays whole.
        folder: holds the four `*-ubyte.gz` files, directly or as the Debian package lays them out.
            By default the folder that `MSENAS_DATA` names, then Debian's own, then the user's cache.
        md5: digests of the unpacked files.

    Raises:
        DataError: a file is missing, truncated or altered. Nothing is downloaded.
        ConfigError: no training sample would be left.

    Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747 (2017); Debian dataset-fashion-mnist.
    """
    root, place = _found(folder)
    mend = _mend(root)
    pictures, labels, test_pictures, test_labels = (
        idx(place / f"{name}.gz", digest, mend) for name, digest in md5.items()
    )
    kept = train_rows(len(labels), validation)
    x, y = _samples(pictures), _classes(labels)
    return Dataset(
        NAME,
        x[:kept],
        y[:kept],
        x[kept:],
        y[kept:],
        _samples(test_pictures),
        _classes(test_labels),
        classes=CLASSES,
        recorded=False,
    )


def cache() -> Path:
    """The user's cache of this project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msenas-hw"


def _found(folder: Path | None) -> tuple[Path, Path]:
    """The first place that holds any of the files, after the root under which it is."""
    named = [Path(value)] if (value := os.environ.get(VARIABLE)) else []
    roots = [*named, Path("/"), cache()] if folder is None else [folder]
    for root in roots:
        # Debian's layout first, so that files unpacked again take the place of damaged ones.
        for place in (root / DEBIAN, root / NAME, root):
            if any((place / f"{name}.gz").is_file() for name in MD5):
                return root, place
    searched = ", ".join(str(root / DEBIAN if root == Path("/") else root) for root in roots)
    raise DataError(f"data {NAME!r}: no file of it in {searched}; {_mend(roots[-1])}")


def _mend(root: Path) -> str:
    return (
        "get the files with: apt-get download dataset-fashion-mnist && "
        f"dpkg-deb -x dataset-fashion-mnist_*.deb {root}"
    )


def _samples(pictures: NDArray[np.uint8]) -> Floats:
    return pictures[:, None].astype(np.float32) / np.float32(255)


def _classes(labels: NDArray[np.uint8]) -> Labels:
    return labels.astype(np.int64)
