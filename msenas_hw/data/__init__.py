"""Data sets and encodings: what goes into a network."""

from __future__ import annotations

from pathlib import Path

from msenas_hw.data.config import DataConfig
from msenas_hw.data.dataset import PARTS, Dataset
from msenas_hw.data.digits import TRAIN, digits
from msenas_hw.data.encoding import encode
from msenas_hw.data.npz import npz
from targets.errors import ConfigError, DataError

__all__ = ["PARTS", "DataConfig", "Dataset", "encode", "load"]


def load(name: str, *, validation: int = 200, recorded: bool = False) -> Dataset:
    """A data set by built-in name or NPZ path.

    Args:
        name: `digits`, or the path of an NPZ file (`msenas_hw.data.npz`).
        validation: samples cut from the end of the training part where the data name no such part.
        recorded: whether an NPZ's samples have a time axis (encoding `events`).

    Raises:
        DataError: missing or malformed data.
        ConfigError: a part would be empty.
    """
    if name == "digits":
        if validation >= TRAIN:
            raise ConfigError(f"data.validation: found {validation}, allowed 1 to {TRAIN - 1}")
        return digits(validation)
    if Path(name).suffix != ".npz":
        raise DataError(
            f"data {name!r}: no such set; give a built-in name (digits) or the path of an NPZ file"
        )
    return npz(Path(name), validation, recorded)
