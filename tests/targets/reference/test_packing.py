"""How the kernels lay out the weights of a convolution, against torch's own permutations."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather

pytestmark = pytest.mark.skipif(kernels().library is None, reason="no C kernels here")


CASES = [(16, 3, (3, 3)), (37, 20, (3, 2)), (128, 64, (1, 5))]


def padded(weight: Tensor, outs: int, channels: int) -> Tensor:
    """`weight` [*, *, taps] with rows and channels of zeros."""
    return functional.pad(weight.flatten(2), (0, 0, 0, channels, 0, outs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("outs", "channels", "kernel"), CASES)
def test_weights_are_packed_side_by_side(
    outs: int, channels: int, kernel: tuple[int, int], dtype: torch.dtype
) -> None:
    weight, bias = torch.randn(outs, channels, *kernel, dtype=dtype), torch.randn(outs, dtype=dtype)
    size = tuple(9 - k for k in kernel)
    node = nir.Conv2d((8, 8), weight.numpy(), 1, 0, 1, 1, np.zeros(outs))
    gather = Gather.of("c", node, (channels, 8, 8), (outs, *size))
    assert gather is not None
    rows, biases = gather.packed(weight, bias)
    _, taps, _, wide = rows.shape
    expected = padded(weight, -outs % wide, 0).view(-1, wide, channels, taps)
    assert torch.equal(rows, expected.permute(0, 3, 2, 1))
    assert torch.equal(biases, functional.pad(bias, (0, -outs % wide)))
    assert torch.equal(gather.unpacked(rows, weight), weight)
    back = gather.packed_back(weight)
    wide = back.shape[-1]
    expected = padded(weight, 0, -channels % wide).view(outs, -1, wide, taps)
    assert torch.equal(back, expected.permute(1, 3, 0, 2))
