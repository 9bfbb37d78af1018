"""Handwritten digits, 8 x 8, from scikit-learn."""

from __future__ import annotations

import numpy as np

from msenas_hw.data.dataset import Dataset, train_rows

TRAIN = 1297


def digits(validation: int) -> Dataset:
    """The 1797 digits in file order: the first 1297 train, the last 500 test.

    The order is kept because a shuffled split puts the same writers on both sides and saturates.
    Validation is the end of the training part. Values 0 to 16 become intensities 0 to 1.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """
    from sklearn.datasets import load_digits

    pictures, classes = load_digits(return_X_y=True)
    x = np.asarray(pictures, dtype=np.float32).reshape(-1, 1, 8, 8) / np.float32(16)
    y = np.asarray(classes, dtype=np.int64)
    cut = train_rows(TRAIN, validation)
    return Dataset(
        "digits",
        x[:cut],
        y[:cut],
        x[cut:TRAIN],
        y[cut:TRAIN],
        x[TRAIN:],
        y[TRAIN:],
        classes=10,
        recorded=False,
    )
