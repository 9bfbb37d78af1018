"""Every node kind by an oracle of its own: torch's operators, plain numpy, and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

import targets
from targets import SpikingGraph

DT = 1e-3


def single(node: nir.NIRNode, shape: tuple[int, ...]) -> SpikingGraph:
    nodes = {"in": nir.Input(np.array(shape)), "n": node, "out": nir.Output(np.array([1]))}
    return SpikingGraph.build(nodes, [("in", "n"), ("n", "out")], {"dt": DT})


def run(graph: SpikingGraph, x: np.ndarray, target: str = "reference") -> np.ndarray:
    return targets.compile(graph, target).run(x.astype(np.float32)).outputs["out"]


@pytest.mark.parametrize("target", ["reference", "onnx"])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 3, 1, 2), (1, "same", 2, 4), (3, "valid", 1, 1), (1, 2, 3, 4)],
)
def test_conv1d(target: str, stride: int, padding: int | str, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(8, 4 // groups, 3)), rng.normal(size=8)
    x = rng.normal(size=(2, 3, 4, 11)).astype(np.float32)
    graph = single(nir.Conv1d(None, weight, stride, padding, dilation, groups, bias), (4, 11))
    expected = functional.conv1d(
        torch.from_numpy(x).flatten(0, 1).double(),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride,
        padding,
        dilation,
        groups,
    ).unflatten(0, (2, 3))
    assert graph.shapes["n"] == tuple(expected.shape[2:])
    np.testing.assert_allclose(run(graph, x, target), expected, atol=1e-5)


@pytest.mark.parametrize("target", ["reference", "onnx"])
@pytest.mark.parametrize(("kernel", "groups"), [((3, 5), 1), ((1, 4), 2), ((5, 2), 6)])
def test_conv2d_grouped_and_not_square(target: str, kernel: tuple[int, int], groups: int) -> None:
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(6, 6 // groups, *kernel)), rng.normal(size=6)
    x = rng.normal(size=(2, 2, 6, 10, 12)).astype(np.float32)
    graph = single(nir.Conv2d(None, weight, (2, 1), (1, 2), (1, 2), groups, bias), (6, 10, 12))
    expected = functional.conv2d(
        torch.from_numpy(x).flatten(0, 1).double(),
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        (2, 1),
        (1, 2),
        (1, 2),
        groups,
    ).unflatten(0, (2, 2))
    assert graph.shapes["n"] == tuple(expected.shape[2:])
    np.testing.assert_allclose(run(graph, x, target), expected, atol=1e-5)


@pytest.mark.parametrize("target", ["reference", "onnx"])
def test_threshold_is_strict(target: str) -> None:
    limit = np.array([0.5, -1.0, 2.0], np.float32)
    x = np.array([[[0.5, -1.0, 2.5]], [[0.75, -0.5, 2.0]]])
    found = run(single(nir.Threshold(limit), (3,)), x, target)
    np.testing.assert_array_equal(found, (x > limit).astype(np.float32))


@pytest.mark.parametrize("target", ["reference", "onnx"])
def test_integrator_sums_its_input(target: str) -> None:
    r = np.array([1000.0, 500.0])
    x = np.random.default_rng(2).integers(-3, 4, (6, 2, 2))
    found = run(single(nir.I(r), (2,)), x, target)
    np.testing.assert_array_equal(found, np.cumsum(x * (r * DT), axis=0))


@pytest.mark.parametrize(("start", "end"), [(0, -1), (1, -1), (0, 1), (-3, -2), (2, 2)])
@pytest.mark.parametrize("target", ["reference", "onnx"])
def test_flatten_counts_no_batch(target: str, start: int, end: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    graph = single(nir.Flatten({"input": None}, start, end), (3, 4, 5))
    expected = torch.from_numpy(x[0, 0]).flatten(start, end)
    assert graph.shapes["n"] == tuple(expected.shape)
    np.testing.assert_array_equal(run(graph, x, target)[0, 0], expected)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_give_the_same_on_both(random_graph: Callable[[int], SpikingGraph], seed: int) -> None:
    graph = random_graph(seed)
    x = np.random.default_rng(seed).random((4, 2, *graph.shapes["in"])) < 0.4
    np.testing.assert_allclose(run(graph, x), run(graph, x, "onnx"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("node", [nir.Threshold(np.ones(3)), nir.I(np.ones(3))])
def test_a_chip_refuses_what_it_has_not(node: nir.NIRNode) -> None:
    one = np.ones(3)
    nodes = {
        "in": nir.Input(np.array([3])),
        "n": node,
        "lif": nir.LIF(one * 0.01, one, one * 0, one),
        "out": nir.Output(np.array([3])),
    }
    graph = SpikingGraph.build(nodes, [("in", "n"), ("n", "lif"), ("lif", "out")], {"dt": DT})
    with pytest.raises(targets.UnsupportedNodeError, match=r"node 'n'.*(not linear|does not fire)"):
        targets.compile(graph, "loihi")


def test_one_convolution_in_time_is_lowered_whole(spikes: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(4)
    one = np.ones((4, 8), np.float32)
    weight = rng.integers(-64, 65, (4, 2, 3)) / 64
    nodes = {
        "in": nir.Input(np.array([2, 8])),
        "c": nir.Conv1d(None, weight, 1, 1, 1, 1, np.zeros(4)),
        "if": nir.IF(one * 1e3, one),
        "out": nir.Output(np.array([4, 8])),
    }
    graph = SpikingGraph.build(nodes, [("in", "c"), ("c", "if"), ("if", "out")], {"dt": DT})
    x = spikes(0, 12, 2, 2, 8)
    a = targets.compile(graph, "loihi").run(x).outputs["out"]
    b = targets.compile(graph, "onnx", arithmetic="fixed").run(x).outputs["out"]
    np.testing.assert_array_equal(a, b)
    assert a.sum() > 0
