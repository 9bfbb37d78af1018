"""Data sets and encodings: what goes into a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msenas_hw.data.config import DataConfig
from msenas_hw.data.dataset import PARTS, Dataset
from msenas_hw.data.digits import digits
from msenas_hw.data.encoding import encode
from msenas_hw.data.fashion import fashion_mnist
from msenas_hw.data.npz import npz
from targets.errors import ConfigError, DataError

__all__ = ["PARTS", "DataConfig", "Dataset", "configured", "encode", "load"]

_BUILT_IN: Mapping[str, Callable[[int], Dataset]] = {"digits": digits, "fashion-mnist": fashion_mnist}


def load(name: str, *, validation: int = 200, recorded: bool = False, folder: str | None = None) -> Dataset:
    """A data set by built-in name or NPZ path.

    Args:
        name: `digits`, `fashion-mnist`, or the path of an NPZ file (`msenas_hw.data.npz`).
        validation: samples cut from the end of the training part where the data name no such part.
        recorded: whether an NPZ's samples have a time axis (encoding `events`).
        folder: where the files of `fashion-mnist` are (`msenas_hw.data.fashion`).

    Raises:
        DataError: missing or malformed data.
        ConfigError: a part would be empty.
    """
    if folder is not None:
        if name != "fashion-mnist":
            raise ConfigError(f"data.folder: found {folder!r}, but {name!r} is not in a folder; leave it out")
        return fashion_mnist(validation, Path(folder).expanduser())
    if name in _BUILT_IN:
        return _BUILT_IN[name](validation)
    if Path(name).suffix != ".npz":
        names = ", ".join(_BUILT_IN)
        raise DataError(
            f"data {name!r}: no such set; give a built-in name ({names}) or the path of an NPZ file"
        )
    return npz(Path(name), validation, recorded)


def configured(section: DataConfig) -> Dataset:
    """The data that section `[data]` of a configuration names; errors as `load` and `Dataset.with_train`."""
    recorded = section.encoding == "events"
    data = load(section.name, validation=section.validation, recorded=recorded, folder=section.folder)
    return data if section.train_samples is None else data.with_train(section.train_samples)
