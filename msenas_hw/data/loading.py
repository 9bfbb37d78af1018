"""From a row of the table to a data set: found, verified, read, counted and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msenas_hw.data.catalogue import SETS
from msenas_hw.data.dataset import Dataset, Labels, Samples, taken, train_rows
from msenas_hw.data.frames import Binning, Frames
from msenas_hw.data.pictures import Pictures
from msenas_hw.data.place import Place, cache
from msenas_hw.data.recordings import Parts, Recordings, fingerprint_of, in_memory, is_packed, packed
from msenas_hw.data.saccades import SENSOR, simulated
from msenas_hw.data.source import Images, Recording, Source
from msenas_hw.data.splits import check_counts
from targets.errors import DataError


def loaded(source: Source, validation: int, folder: Path | None, binning: Binning) -> Dataset:
    """The data set of a row of the table.

    Args:
        validation: samples cut from the end of the training part where the set has no such part; may be 0.
        folder: holds the files; by default they are searched.
        binning: of recorded and simulated events.

    Raises:
        DataError: a file is missing, truncated, altered or mislabelled; samples are not what the release
            holds. Nothing is downloaded.
        ConfigError: no training sample would be left.
    """
    if source.kind == "images":
        return _of_images(source, validation, folder)
    return _of_events(source, validation, folder, binning)


def images_of(source: Source, folder: Path | None) -> tuple[Images, Place]:
    """Pictures and classes of each part, counted; and where the files are."""
    place = source.place(folder)
    found = source.images(place)
    check_counts(source, {part: y for part, (_, y) in found.items()})
    return found, place


def recordings_of(source: Source, folder: Path | None) -> tuple[Recordings, Parts, Place]:
    """Recordings of each part, counted; read from the files unless they are packed in the cache."""
    fingerprint, events, place = _simulated(source, folder) if source.based_on else _recorded(source, folder)
    store = in_memory if source.small else packed
    recordings, parts = store(source.name, fingerprint, source.shape, events)
    check_counts(source, {part: y for part, (_, y) in parts.items()})
    return recordings, parts, place


def _recorded(source: Source, folder: Path | None) -> tuple[str, Iterator[Recording], Place]:
    """Fingerprint and recordings of a set, none of which is read yet, and where the files are."""
    fingerprint = _fingerprint(source)
    if folder is None and is_packed(source.name, fingerprint):
        return fingerprint, iter(()), Place(source.name, cache(), "")
    place = source.place(folder)
    return _fingerprint(source, source.unverified(place)), source.events(place), place


def _simulated(source: Source, folder: Path | None) -> tuple[str, Iterator[Recording], Place]:
    fingerprint = _fingerprint(source)
    if is_packed(source.name, fingerprint):
        return fingerprint, iter(()), Place(source.name, cache(), "")
    base = SETS[str(source.based_on)]
    images, place = images_of(base, folder)
    return fingerprint, simulated(images, base.levels, dict(source.counts[0])), place


def _fingerprint(source: Source, unverified: str = "") -> str:
    """Of the files of a set, or of those of the pictures from which it is simulated, and how."""
    base = SETS[source.based_on] if source.based_on else source
    simulation = [repr(SENSOR), repr(source.counts)] if source.based_on else []
    return fingerprint_of(
        source.name, [*(file.md5 for file in base.files), *simulation, *filter(None, [unverified])]
    )


def _of_images(source: Source, validation: int, folder: Path | None) -> Dataset:
    found, place = images_of(source, folder)
    parts: dict[str, tuple[Samples, Labels]] = {
        part: (Pictures(x, source.levels), y) for part, (x, y) in found.items()
    }
    return _split(source, parts, validation, place)


def _of_events(source: Source, validation: int, folder: Path | None, binning: Binning) -> Dataset:
    recordings, found, place = recordings_of(source, folder)
    parts: dict[str, tuple[Samples, Labels]] = {
        part: (Frames(recordings, rows, binning), y) for part, (rows, y) in found.items()
    }
    return _split(source, parts, validation, place)


def _split(
    source: Source, parts: dict[str, tuple[Samples, Labels]], validation: int, place: Place
) -> Dataset:
    x, y = parts["train"]
    cut = "the release's"
    if "validation" not in parts:
        kept = train_rows(len(y), validation)
        parts["validation"] = (taken(x, slice(kept, None)), y[kept:])
        parts["train"] = (taken(x, slice(kept)), y[:kept])
        cut = f"the last {validation} of the training part" if validation else "none"
    columns: dict[str, Any] = {
        f"{part}_{axis}": value
        for part, pair in parts.items()
        for axis, value in zip("xy", pair, strict=True)
    }
    facts = _facts(source, place, f"test: {source.test}; validation: {cut}")
    recorded = source.kind != "images"
    return Dataset(source.name, classes=len(source.classes), recorded=recorded, facts=facts, **columns)


def _facts(source: Source, place: Place, split: str) -> Mapping[str, Any]:
    files = (SETS[source.based_on] if source.based_on else source).files
    return {
        "set": source.name,
        "kind": source.kind,
        "licence": source.licence,
        "cite": source.cite,
        "files": {file.name: file.md5 for file in files},
        "place": str(place.folder),
        "split": split,
        **({"based_on": source.based_on, "simulator": repr(SENSOR)} if source.based_on else {}),
    }


def is_here(source: Source) -> bool:
    """Whether the files of a set are found, or its recordings are packed; no file is read."""
    try:
        (SETS[source.based_on] if source.based_on else source).place()
    except DataError:
        return is_packed(source.name, _fingerprint(source))
    return True
