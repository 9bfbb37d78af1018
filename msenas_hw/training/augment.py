"""Augmentation of encoded training samples, [T, B, C, H, W].

The generator is that of the training, which a checkpoint holds, so a resumed training draws what an
uninterrupted one draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data import Dataset
from msenas_hw.data.augmentation import NONE, Augmentation, light, usual
from msenas_hw.training.config import TrainingConfig

Floats = NDArray[np.float32]


def asked(config: TrainingConfig, data: Dataset) -> Augmentation:
    """What a configuration does to the training samples of `data`: its keys, and for those that are left
    out what `augmentation` says."""
    # A file of the user's own may be called as a set is.
    name = "" if data.facts.get("kind", "own") == "own" else str(data.facts["set"])
    frame = data.input_shape
    named = {"none": NONE, "light": light(frame), "usual": usual(name, frame)}[config.augmentation]
    own = {key: getattr(config, key) for key in asdict(NONE)}
    return replace(named, **{key: value for key, value in own.items() if value is not None})


def augmented(x: Floats, how: Augmentation, rng: np.random.Generator) -> Floats:
    """The samples `x` [T, B, C, H, W], each changed on its own; `x` itself stays as it is."""
    for name, change in CHANGES.items():
        amount = getattr(how, name)
        if amount:
            x = change(x, amount, rng)
    return x


def shifted(x: Floats, pixels: int, rng: np.random.Generator) -> Floats:
    """Each sample moved by up to `pixels` along each axis longer than 1, zeros moving in."""
    moved = np.zeros_like(x)
    offsets: NDArray[np.int64] = rng.integers(-pixels, pixels + 1, size=(x.shape[1], 2))
    offsets[:, np.array(x.shape[-2:]) == 1] = 0
    for dy, dx in np.unique(offsets, axis=0):
        chosen = (offsets == (dy, dx)).all(axis=1)
        (to_y, from_y), (to_x, from_x) = _slices(dy), _slices(dx)
        moved[:, chosen, :, to_y, to_x] = x[:, chosen, :, from_y, from_x]
    return moved


def _slices(offset: int) -> tuple[slice, slice]:
    """Target and source slices of an axis moved by `offset`."""
    if offset >= 0:
        return slice(offset, None), slice(None, -offset or None)
    return slice(None, offset), slice(-offset, None)


def flipped(x: Floats, flip: bool, rng: np.random.Generator) -> Floats:
    """Half of the samples, at random, mirrored left to right."""
    chosen = rng.random((x.shape[1],)) < 0.5
    return np.where(chosen[:, None, None, None], x[..., ::-1], x)


def cut_out(x: Floats, side: int, rng: np.random.Generator) -> Floats:
    """Each sample with a square of zeros through all steps; at an edge only part of it is inside.

    Source: T. DeVries, G. W. Taylor, arXiv 1708.04552.
    """
    left, centres = x.copy(), rng.integers(0, x.shape[-2:], size=(x.shape[1], 2))
    for sample, (y, x0) in enumerate(centres - side // 2):
        left[:, sample, :, max(y, 0) : max(y + side, 0), max(x0, 0) : max(x0 + side, 0)] = 0
    return left


def dropped(x: Floats, most: float, rng: np.random.Generator) -> Floats:
    """Each sample without a share of its spikes, the share being uniform in [0, `most`].

    Source: random drop of EventDrop, F. Gu et al., IJCAI 2021.
    """
    share = rng.uniform(0, most, (x.shape[1],))
    fired = np.flatnonzero(x)
    sample = fired // (x.size // (x.shape[0] * x.shape[1])) % x.shape[1]
    left = x.copy()
    left.reshape(-1)[fired[rng.random(len(fired)) < share[sample]]] = 0
    return left


def jittered(x: Floats, deviation: float, rng: np.random.Generator) -> Floats:
    """Each spike moved in time by a rounded normal number of steps.

    What leaves the T steps is gone; of spikes that meet, the larger value stays.
    """
    fired = np.flatnonzero(x)
    step, cell = np.divmod(fired, x[0].size)
    step += np.rint(rng.normal(0, deviation, len(fired))).astype(np.int64)
    inside = (step >= 0) & (step < len(x))
    moved = np.zeros_like(x)
    at = step[inside] * x[0].size + cell[inside]
    np.maximum.at(moved.reshape(-1), at, x.reshape(-1)[fired[inside]])
    return moved


Change = Callable[[Floats, Any, np.random.Generator], Floats]
# In the order in which they are made.
CHANGES: Mapping[str, Change] = {
    "shift": shifted, "flip": flipped, "cutout": cut_out, "drop": dropped, "jitter": jittered,
}  # fmt: skip
