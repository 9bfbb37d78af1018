"""Global heaps of HDF5 on whose objects the library would never move on."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from msenas_hw.data.readers.heidelberg import _check_heaps


def ragged(path: Path) -> bytearray:
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("rows", (300,), h5py.vlen_dtype(np.float32))
        for i in range(300):
            rows[i] = np.arange(i, dtype=np.float32)
    return bytearray(path.read_bytes())


def checked(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with path.open("rb") as file:
        _check_heaps(file)
        assert file.tell() == 0


def test_what_the_library_wrote_passes(tmp_path: Path) -> None:
    data = ragged(tmp_path / "a.h5")
    assert data.count(b"GCOL") >= 2
    checked(tmp_path / "a.h5", data)
    checked(tmp_path / "a.h5", b"")


@pytest.mark.parametrize("size", [0, 2**63, 2**64 - 8, 2**64 - 16, 2**64 - 24, 2**32])
def test_a_size_that_leads_nowhere_is_refused(tmp_path: Path, size: int) -> None:
    data = ragged(tmp_path / "a.h5")
    first = data.find(b"GCOL") + 16
    if size == 0:  # an object of no bytes is in order, free space of none is not
        data[first : first + 2] = bytes(2)
    data[first + 8 : first + 16] = size.to_bytes(8, "little")
    with pytest.raises(ValueError, match=rf"global heap at byte \d+: object \d+ has {size} bytes"):
        checked(tmp_path / "a.h5", data)
