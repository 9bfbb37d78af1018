"""Folded matrices against torch's own operators."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

from targets.graph.fold import fold
from targets.graph.shapes import output_shape


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 3), (5, 1)])
@pytest.mark.parametrize("stride", [1, 2, (2, 1)])
@pytest.mark.parametrize(
    ("padding", "dilation", "groups"), [(0, 1, 1), (1, 1, 2), ((2, 1), 1, 4), (2, (1, 2), 1)]
)
def test_convolution(
    kernel: tuple[int, int], stride: object, padding: object, dilation: object, groups: int
) -> None:
    rng = np.random.default_rng(1)
    # Values on a grid, so that rounding to float32 leaves them as they are.
    weight, bias = (np.round(rng.normal(size=size) * 256) / 256 for size in ((8, 4 // groups, *kernel), 8))
    node = nir.Conv2d((9, 7), weight, stride, padding, dilation, groups, bias)
    x = rng.normal(size=(4, 9, 7))
    expected = functional.conv2d(
        torch.from_numpy(x)[None],
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride,
        padding,
        dilation,
        groups,
    )[0].numpy()
    matrix, added = fold(node, x.shape)
    assert output_shape("c", node, x.shape) == expected.shape
    np.testing.assert_allclose(matrix @ x.ravel() + added, expected.ravel(), atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0))])
@pytest.mark.parametrize("sums", [True, False])
def test_pooling(kernel: object, stride: object, padding: object, sums: bool) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 8, 7))
    node = (nir.SumPool2d if sums else nir.AvgPool2d)(np.array(kernel), np.array(stride), np.array(padding))
    expected = functional.avg_pool2d(
        torch.from_numpy(x)[None], kernel, stride, padding, divisor_override=1 if sums else None
    )[0].numpy()
    matrix, added = fold(node, x.shape)
    assert added is None
    np.testing.assert_allclose(matrix @ x.ravel(), expected.ravel(), atol=1e-12)
