"""Data sets and encodings: what goes into a network."""

from __future__ import annotations

from pathlib import Path

from msenas_hw.data.catalogue import SETS
from msenas_hw.data.config import DataConfig
from msenas_hw.data.dataset import PARTS, Dataset
from msenas_hw.data.encoding import encode
from msenas_hw.data.frames import Binning
from msenas_hw.data.loading import loaded
from msenas_hw.data.npz import npz
from targets.errors import ConfigError, DataError

__all__ = ["PARTS", "SETS", "Binning", "DataConfig", "Dataset", "configured", "encode", "is_recorded", "load"]

_BINNING = ("binning", "window_s", "downsample", "polarity", "counts")
_UNBINNED = Binning()


def load(
    name: str,
    *,
    validation: int = 200,
    recorded: bool = False,
    folder: str | None = None,
    binning: Binning = _UNBINNED,
) -> Dataset:
    """A data set by name or NPZ path.

    Args:
        name: a set of `SETS`, or the path of an NPZ file (`msenas_hw.data.npz`).
        validation: samples cut from the end of the training part where the data name no such part.
        recorded: whether an NPZ's samples have a time axis (encoding `events`).
        folder: where the files of the set are; by default they are searched.
        binning: how recorded events become steps; their number is that which `Dataset.encoded` asks for.

    Raises:
        DataError: missing, malformed or altered data. Nothing is downloaded.
        ConfigError: a part would be empty, or the data take no folder.
    """
    source = SETS.get(name)
    if folder is not None and not (source and (source.files or source.based_on)):
        raise ConfigError(f"data.folder: found {folder!r}, but {name!r} is not in a folder; leave it out")
    if source is not None:
        return loaded(source, validation, Path(folder).expanduser() if folder else None, binning)
    if Path(name).suffix != ".npz":
        raise DataError(
            f"data {name!r}: no such set; give one of {', '.join(SETS)}, or the path of an NPZ file"
        )
    return npz(Path(name), validation, recorded)


def is_recorded(name: str) -> bool:
    """Whether the set of this name holds events, so that it takes encoding `events`."""
    return name in SETS and SETS[name].kind != "images"


def configured(section: DataConfig) -> Dataset:
    """The data that section `[data]` of a configuration names.

    Raises:
        DataError, ConfigError: as `load`, `Dataset.folded` and `Dataset.with_train`; a key does not suit
            the data.
    """
    recorded = section.encoding == "events"
    if not is_recorded(section.name):
        _refuse_binning(section)
    binning = Binning(
        section.steps, section.binning, section.window_s, section.downsample, section.polarity, section.counts
    )
    data = load(
        section.name,
        validation=section.validation,
        recorded=recorded,
        folder=section.folder,
        binning=binning,
    )
    if section.folds is not None:
        data = _folded(data, section)
    return data if section.train_samples is None else data.with_train(section.train_samples)


def _folded(data: Dataset, section: DataConfig) -> Dataset:
    source = SETS.get(section.name)
    if source is not None and not source.folds:
        free = ", ".join(name for name, row in SETS.items() if row.folds)
        raise ConfigError(
            f"data.folds: found {section.folds}, but the test part of {section.name!r} is fixed "
            f"({source.test}) and stays untouched; leave it out. Allowed for {free} and NPZ files"
        )
    return data.folded(section.folds or 2, section.fold, section.validation)


def _refuse_binning(section: DataConfig) -> None:
    fields = DataConfig.model_fields
    for key in _BINNING:
        if (found := getattr(section, key)) != fields[key].default:
            raise ConfigError(
                f"data.{key}: found {found!r}, but {section.name!r} holds no recordings to bin; leave it out"
            )
