"""1,100 recordings of N-MNIST in one NPZ file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from msenas_hw.data.place import File, Place
from msenas_hw.data.source import Recording

_ARRAYS = {"xyp": np.uint8, "t": np.uint32, "off": np.int64, "y": np.uint8, "n_train": np.int64}


def nmnist_subset(file: File) -> Callable[[Place], Iterator[Recording]]:
    """Reader of `xyp` [E, 3] (x, y, polarity), `t` [E] (us), `off` [N + 1] (first event of each recording),
    `y` [N] and `n_train`: the first recordings train, the others test."""

    def read(place: Place) -> Iterator[Recording]:
        with place.opened(file) as handle:
            if not zipfile.is_zipfile(handle):
                raise ValueError("no NPZ file")
            handle.seek(0)
            with np.lib.npyio.NpzFile(handle, allow_pickle=False) as archive:
                found = {name: archive[name] for name in _ARRAYS}
            for name, kind in _ARRAYS.items():
                if found[name].dtype != kind:
                    raise ValueError(f"array {name} has type {found[name].dtype}, allowed {np.dtype(kind)}")
            xyp, t, off, y = (found[name] for name in ("xyp", "t", "off", "y"))
            if xyp.shape != (len(t), 3) or len(off) != len(y) + 1 or off[0] != 0 or off[-1] != len(t):
                raise ValueError(f"arrays do not fit: {[found[name].shape for name in _ARRAYS]}")
            for number, (start, stop) in enumerate(pairwise(off.tolist())):
                part = "train" if number < int(found["n_train"]) else "test"
                x, row, p = xyp[start:stop].astype(np.int64).T
                yield Recording(part, int(y[number]), (number,), t[start:stop].astype(np.int64), x, row, p)

    return read
