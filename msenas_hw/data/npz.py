"""A user's own data from an NPZ file."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.dataset import PARTS, Dataset, Labels
from msenas_hw.data.encoding import Floats
from msenas_hw.data.place import MALFORMED
from targets.errors import DataError

TEST_SHARE = 0.2


def npz(path: Path, validation: int, recorded: bool) -> Dataset:
    """Read `x`, `y` and, where given, `split` from an NPZ file.

    Args:
        path: the file. `x` is [N, ...] static values in [0, 1], or [N, T, ...] recorded events;
            `y` is [N] whole class numbers from 0; `split` is [N] words `train`, `validation`,
            `test`. Without `split` the last fifth is the test part. A single whole number `classes` is
            how many there are, for files that lack samples of some; without it one more than the largest.
        validation: samples cut from the end of the training part where `split` names none, at most
            half of it.
        recorded: whether axis 1 of `x` is time.

    Samples of 1 or 2 axes become [C, H, W] with ones: [F] -> [1, 1, F], [H, W] -> [1, H, W].

    Raises:
        DataError: a missing, corrupt or inconsistent file.
    """
    found = arrays(path)
    x, y = _samples(path, found, recorded), _labels(path, found)
    if len(x) != len(y):
        raise DataError(f"{path}: x has {len(x)} samples, y has {len(y)}")
    rows = _parts(path, found.get("split"), len(y), validation)
    train, check, test = (rows[name] for name in PARTS)
    classes = _classes(path, y, found.get("classes"))
    facts = {
        "set": path.stem,
        "kind": "own",
        "files": {path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()},
        "place": str(path.parent),
        "split": "the file's" if "split" in found else f"test: the last {TEST_SHARE:.0%}",
    }
    return Dataset(
        path.stem, x[train], y[train], x[check], y[check], x[test], y[test], classes, recorded, facts
    )


def arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an NPZ file, `x` and `y` among them; DataError where there is none."""
    try:
        # np.load also opens .npy and pickles; NpzFile reads nothing but archives.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            found = {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a built-in name or an NPZ file") from None
    except MemoryError:
        raise DataError(f"{path}: asks for more memory than there is") from None
    except MALFORMED as error:
        raise DataError(f"{path}: not a readable NPZ file ({error})") from None
    # What is no array comes as bytes.
    found = {key: array for key, array in found.items() if isinstance(array, np.ndarray)}
    for key in ("x", "y"):
        if key not in found:
            raise DataError(f"{path}: array {key!r} is missing, found {', '.join(sorted(found)) or 'none'}")
    return found


def _samples(path: Path, found: dict[str, NDArray[np.generic]], recorded: bool) -> Floats:
    raw = found["x"]
    if raw.dtype.kind not in "biuf":
        raise DataError(f"{path}: x has type {raw.dtype}, allowed bool, integers and floats")
    lead = 2 if recorded else 1
    if not lead + 1 <= raw.ndim <= lead + 3:
        form = "[N, T, ...] with 1 to 3 further axes" if recorded else "[N, ...] with 1 to 3 further axes"
        form += "" if recorded else " (recorded events take encoding 'events')"
        raise DataError(f"{path}: x has shape {raw.shape}, allowed {form}")
    if not raw.size:
        axis, axes = raw.shape.index(0), ("samples", "time steps")[:lead]
        what = axes[axis] if axis < lead else "values"
        raise DataError(f"{path}: x has shape {raw.shape}, so no {what}; allowed at least 1 along each axis")
    x = raw.astype(np.float32)
    bad = int(x.size - np.isfinite(x).sum())
    if bad:
        raise DataError(f"{path}: x holds {bad} NaN or infinite values of {x.size}")
    shape = {1: (1, 1, *x.shape[lead:]), 2: (1, *x.shape[lead:])}.get(x.ndim - lead, x.shape[lead:])
    return x.reshape(*x.shape[:lead], *shape)


def _labels(path: Path, found: dict[str, NDArray[np.generic]]) -> Labels:
    raw = found["y"]
    whole = raw.ndim == 1 and np.issubdtype(raw.dtype, np.integer)
    # What int64 cannot hold becomes negative.
    y = raw.astype(np.int64) if whole else np.array([-1])
    if y.size and int(y.min()) < 0:
        raise DataError(
            f"{path}: y has shape {raw.shape} and type {raw.dtype}, allowed [N] whole numbers >= 0"
        )
    return y


def _classes(path: Path, y: Labels, stated: NDArray[np.generic] | None) -> int:
    least, most = int(y.min()), int(y.max())
    if stated is None:
        if least == 1 and most > 1:
            raise DataError(
                f"{path}: y has classes 1 to {most} and none of class 0; number them from 0 (y - 1), or, "
                f"where only the samples of class 0 are missing, add an array classes = {most + 1}"
            )
        return most + 1
    if stated.size != 1 or not np.issubdtype(stated.dtype, np.integer):
        raise DataError(
            f"{path}: classes has shape {stated.shape} and type {stated.dtype}, allowed one whole number"
        )
    count = int(stated.reshape(-1)[0])
    if count <= most:
        raise DataError(f"{path}: classes is {count}, but y has class {most}; allowed at least {most + 1}")
    return count


def _parts(
    path: Path, split: NDArray[np.generic] | None, count: int, validation: int
) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each part."""
    if split is None:
        words = np.full(count, "train", dtype="<U10")
        words[count - math.ceil(count * TEST_SHARE) :] = "test"
    else:
        if split.dtype.kind == "S":
            split = np.char.decode(split.astype(np.bytes_), "ascii", "replace")
        words = split.astype(str)
    if words.shape != (count,) or (unknown := sorted(set(words.tolist()) - set(PARTS))):
        found = f"shape {words.shape}" if words.shape != (count,) else ", ".join(unknown)
        raise DataError(f"{path}: split has {found}, allowed [{count}] words of {', '.join(PARTS)}")
    rows = {name: np.flatnonzero(words == name) for name in PARTS}
    if not len(rows["validation"]):
        cut = len(rows["train"]) - min(validation, len(rows["train"]) // 2)
        rows["train"], rows["validation"] = rows["train"][:cut], rows["train"][cut:]
    return rows
