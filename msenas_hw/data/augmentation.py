"""What is done to training samples, and what is usual for each set.

python -m msenas_hw.data.augmentation > docs/augmentation.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Augmentation:
    """Changes of a training sample, drawn anew for each sample in each epoch.

    All steps change alike but for `drop` and `jitter`.

    Attributes:
        shift: pixels by which a sample moves at most, along each axis that is longer than 1; zeros move
            in. A random crop of the picture padded by as many zeros is the same.
        flip: whether half of the samples are mirrored, left to right.
        cutout: side in pixels of a square of zeros, whose centre may be any pixel.
        drop: largest share of a sample's spikes that vanish; the share is drawn uniformly from 0.
        jitter: standard deviation, in steps, by which each spike moves in time; what leaves the recording
            is gone, and spikes that meet are one.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0
    drop: float = 0.0
    jitter: float = 0.0


NONE = Augmentation()
LIGHT = Augmentation(shift=1)


@dataclass(frozen=True)
class Usual:
    """What is usual for a set.

    Attributes:
        augmentation: with pixels of a frame of `side` columns.
        source: who does so.
    """

    augmentation: Augmentation
    side: int
    source: str


_OURS = "no custom; a pixel, as by default"
_DVS = Usual(
    Augmentation(shift=5, flip=True),
    48,
    "S. Deng et al., ICLR 2022 (there, what leaves comes in opposite)",
)
_GESTURE = Usual(
    Augmentation(shift=5), 48, "as CIFAR10-DVS, not mirrored: classes differ by the left and the right arm"
)
_SPOKEN = Usual(Augmentation(shift=40), 700, "T. Nowotny, J. P. Turner, J. C. Knight, arXiv 2212.01232")
_NMNIST = Usual(Augmentation(shift=1), 34, _OURS)
USUAL: Mapping[str, Usual] = {
    "digits": Usual(Augmentation(shift=1), 8, _OURS),
    "mnist": Usual(
        Augmentation(shift=2),
        28,
        "Y. LeCun et al., Proc. IEEE 86 (1998), translate, scale and shear; the two pixels are ours",
    ),
    "fashion-mnist": Usual(
        Augmentation(shift=4, flip=True), 28, "Z. Zhong et al., Random Erasing, AAAI 2020: the baseline"
    ),
    "cifar-10": Usual(
        Augmentation(shift=4, flip=True, cutout=16),
        32,
        "K. He et al., CVPR 2016; cutout: T. DeVries, G. W. Taylor, arXiv 1708.04552",
    ),
    "cifar-100": Usual(
        Augmentation(shift=4, flip=True, cutout=8),
        32,
        "K. He et al., CVPR 2016; cutout: T. DeVries, G. W. Taylor, arXiv 1708.04552",
    ),
    "imagenet16-120": Usual(Augmentation(shift=2, flip=True), 16, "X. Dong, Y. Yang, ICLR 2020"),
    "nmnist": _NMNIST,
    "nmnist-1100": _NMNIST,
    "cifar10-dvs": _DVS,
    "cifar10-dvs-aedat4": _DVS,
    "dvs128-gesture": _GESTURE,
    "dvs128-gesture-npy": _GESTURE,
    "shd": _SPOKEN,
    "ssc": _SPOKEN,
    "digits-saccade-sim": _NMNIST,
    "mnist-saccade-sim": _NMNIST,
    "fashion-mnist-saccade-sim": _NMNIST,
}


def light(frame: tuple[int, ...]) -> Augmentation:
    """Pictures of `frame` (channels, rows, columns) move by up to a pixel; other samples stay."""
    return LIGHT if min(frame[-2:]) > 1 else NONE


def usual(name: str, frame: tuple[int, ...]) -> Augmentation:
    """What is usual for a set, in pixels of `frame` (channels, rows, columns), which may be smaller than the
    sensor; `light` where nothing is known of the set."""
    found = USUAL.get(name)
    if found is None:
        return light(frame)
    how, side = found.augmentation, found.side
    return replace(how, shift=_scaled(how.shift, frame, side), cutout=_scaled(how.cutout, frame, side))


def _scaled(pixels: int, frame: tuple[int, ...], side: int) -> int:
    return max(1, round(pixels * frame[-1] / side)) if pixels else 0


_HEAD = """# Augmentations usual for each set

Made from `msenas_hw.data.augmentation`, by `python -m msenas_hw.data.augmentation`. They apply where
`training.augmentation` is `"usual"`. Pixels are those of frames with so many columns; frames of another
size take their share of it, a pixel at least. `drop` and `jitter` are usual for none of these sets.

| set | shift | flip | cutout | columns | source |
| --- | --- | --- | --- | --- | --- |
"""


def markdown() -> str:
    """The page `docs/augmentation.md`."""
    return _HEAD + "\n".join(_row(name, one) for name, one in USUAL.items())


def _row(name: str, one: Usual) -> str:
    how = one.augmentation
    flip, cutout = "yes" if how.flip else "-", how.cutout or "-"
    return f"| `{name}` | {how.shift} | {flip} | {cutout} | {one.side} | {one.source} |"


if __name__ == "__main__":
    print(markdown())
