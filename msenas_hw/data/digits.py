"""Handwritten digits, 8 x 8, from scikit-learn."""

from __future__ import annotations

import numpy as np

from msenas_hw.data.place import Place
from msenas_hw.data.source import Images

TRAIN = 1297


def digits(_: Place) -> Images:
    """The 1797 digits in file order: the first 1297 train, the last 500 test. Values 0 to 16.

    The order is kept because a shuffled split puts the same writers on both sides and saturates.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits

    pictures, classes = load_digits(return_X_y=True)
    x = np.asarray(pictures).astype(np.uint8).reshape(-1, 1, 8, 8)
    y = np.asarray(classes, dtype=np.int64)
    return {"train": (x[:TRAIN], y[:TRAIN]), "test": (x[TRAIN:], y[TRAIN:])}
