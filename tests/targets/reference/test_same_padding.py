"""Padding "same" where the window reaches further to one side, against torch's own convolution."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

import cost_models
import targets
from targets import SpikingGraph
from targets.graph.fold import fold
from targets.graph.shapes import output_shape

KERNELS: list[tuple[tuple[int, ...], int | tuple[int, ...]]] = [
    ((2,), 1), ((4,), 1), ((2,), 3), ((3,), 2), ((4,), 5),
    ((2, 2), 1), ((4, 3), 1), ((2, 3), (3, 2)), ((1, 2), 1), ((6, 4), (1, 3)),
]  # fmt: skip


def node(kernel: tuple[int, ...], dilation: int | tuple[int, ...], groups: int = 1) -> nir.NIRNode:
    """A convolution of 4 to 6 channels; weights on a grid, so that float32 holds every sum."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-64, 65, (6, 4 // groups, *kernel)) / 64
    cls = nir.Conv1d if len(kernel) == 1 else nir.Conv2d
    return cls(None, weight, 1, "same", dilation, groups, rng.integers(-64, 65, 6) / 64)


def expected(conv: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    """torch's own padding; x [N, channels, *places]."""
    run = functional.conv1d if conv.weight.ndim == 3 else functional.conv2d
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even")
        return run(
            torch.from_numpy(x).double(),
            torch.from_numpy(conv.weight),
            torch.from_numpy(conv.bias),
            1,
            "same",
            conv.dilation,
            conv.groups,
        ).numpy()


def graph(conv: nir.NIRNode, shape: tuple[int, ...], neurons: bool = False) -> SpikingGraph:
    """Input, the convolution, IF neurons of gain one where asked for, and Output."""
    nodes = {"in": nir.Input(np.array(shape)), "c": conv}
    if neurons:
        one = np.ones((6, *shape[1:]))
        nodes["n"] = nir.IF(one * 1e3, one * 2)
    nodes["out"] = nir.Output(np.array([1]))
    return SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": 1e-3})


def shape_of(conv: nir.NIRNode) -> tuple[int, ...]:
    return (4, 9) if conv.weight.ndim == 3 else (4, 9, 8)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), KERNELS)
def test_folded_and_run(kernel: tuple[int, ...], dilation: int | tuple[int, ...], groups: int) -> None:
    conv = node(kernel, dilation, groups)
    shape = shape_of(conv)
    x = np.random.default_rng(1).integers(-8, 9, (3, 2, *shape)) / 8
    found = expected(conv, x.reshape(-1, *shape)).reshape(3, 2, 6, *shape[1:])
    assert output_shape("c", conv, shape) == found.shape[2:]
    matrix, bias = fold(conv, shape)
    np.testing.assert_array_equal(matrix @ x[0, 0].ravel() + bias, found[0, 0].ravel())
    for target in ("reference", "onnx"):
        run = targets.compile(graph(conv, shape), target).run(x.astype(np.float32))
        np.testing.assert_array_equal(run.outputs["out"], found, err_msg=target)


@pytest.mark.parametrize(("kernel", "dilation"), [((4,), 1), ((2, 3), (3, 2))])
def test_the_chip_holds_it(
    kernel: tuple[int, ...], dilation: int | tuple[int, ...], spikes: Callable[..., np.ndarray]
) -> None:
    """Fixed point on the simulator and on onnxruntime, and a place on a chip."""
    conv = node(kernel, dilation)
    conv.bias = np.zeros(6)
    shape = shape_of(conv)
    one = graph(conv, shape, neurons=True)
    x = spikes(0, 10, 2, *shape)
    outputs = [
        targets.compile(one, target, **options).run(x).outputs["out"]
        for target, options in (("loihi", {}), ("onnx", {"arithmetic": "fixed"}))
    ]
    np.testing.assert_array_equal(*outputs)
    assert 0 < outputs[0].mean() < 1
    report = cost_models.check(one, "loihi2")
    assert report.fits, report.broken


def test_same_with_a_stride_stays_refused() -> None:
    conv = node((3, 2), 1)
    conv.stride = (2, 1)
    with pytest.raises(targets.GraphError, match=r"'c' \(Conv2d\): padding 'same' with stride \(2, 1\)"):
        graph(conv, (4, 9, 8))


def test_a_file_keeps_it(tmp_path: Path) -> None:
    conv = node((2, 3), (3, 2))
    targets.save(graph(conv, (4, 9, 8)), tmp_path / "m.nir")
    read = targets.load(tmp_path / "m.nir")
    assert read.nodes["c"].padding == "same"
    assert read.shapes["c"] == (6, 9, 8)
