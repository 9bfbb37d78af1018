"""Parts of a data set: what a release must hold, and samples dealt anew for cross-validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.source import Labels, Source
from targets.errors import ConfigError, DataError


def check_counts(source: Source, labels: Mapping[str, Labels]) -> None:
    """DataError unless the parts have the samples, classes and samples a class of a release."""
    found = {part: len(y) for part, y in labels.items()}
    if found not in source.counts:
        raise DataError(f"data {source.name!r}: found {found} samples, allowed {_alternatives(source)}")
    for part, y in labels.items():
        if int(y.min()) < 0 or int(y.max()) >= len(source.classes):
            raise DataError(
                f"data {source.name!r}, part {part}: found classes {y.min()} to {y.max()}, "
                f"allowed 0 to {len(source.classes) - 1}"
            )
        per_class = np.bincount(y, minlength=len(source.classes))
        wanted = (source.per_class or {}).get(part)
        if wanted is not None and set(per_class.tolist()) != {wanted}:
            raise DataError(
                f"data {source.name!r}, part {part}: found {per_class.min()} to {per_class.max()} samples a "
                f"class, allowed {wanted}"
            )


def _alternatives(source: Source) -> str:
    return " or ".join(str(dict(counts)) for counts in source.counts)


def dealt(labels: Labels, folds: int) -> NDArray[np.int64]:
    """Fold of each sample: every class goes round, so that folds differ by one sample of a class at most.

    Raises:
        ConfigError: fewer samples than folds.
    """
    if folds > len(labels):
        raise ConfigError(f"data.folds: found {folds}, allowed 2 to {len(labels)}, one sample a fold")
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return fold
