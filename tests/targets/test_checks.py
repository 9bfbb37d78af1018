"""What every target refuses in the same words."""

from __future__ import annotations

import warnings
from itertools import pairwise

import nir
import numpy as np
import pytest

import targets
from targets.checks import check_graph
from targets.errors import DataError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph

ONE = np.ones(3)
EYE = np.eye(3)
LARGE = np.array([0.0, -1e39, 1.0])


def graph(node: nir.NIRNode) -> SpikingGraph:
    """`node`, called "odd", between the Input and three neurons."""
    shape = (1, 3) if isinstance(node, nir.Conv1d) else (3,)
    nodes = {
        "in": nir.Input({"input": np.array(shape)}),
        "odd": node,
        "flat": nir.Flatten({"input": np.array(shape)}, 0, -1),
        "w": nir.Linear(EYE),
        "n": nir.IF(r=ONE, v_threshold=ONE, v_reset=ONE * 0),
        "out": nir.Output({"output": np.array([3])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})


@pytest.mark.parametrize(
    ("node", "key"),
    [
        (nir.Linear(np.diag(LARGE)), "weight"),
        (nir.Affine(np.diag(LARGE), ONE), "weight"),
        (nir.Affine(EYE, LARGE), "bias"),
        (nir.Conv1d(3, LARGE.reshape(1, 1, 3), 1, 1, 1, 1, np.zeros(1)), "weight"),
        (nir.Scale(LARGE), "scale"),
        (nir.Threshold(LARGE), "threshold"),
    ],
)
@pytest.mark.parametrize("target", ["reference", "onnx", "loihi", "lava"])
def test_parameters_beyond_float32_are_refused(node: nir.NIRNode, key: str, target: str) -> None:
    words = rf"node 'odd': {key} holds -1e\+39, allowed up to 3\.40282e\+38 \(float32\)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnsupportedNodeError, match=words):
            targets.compile(graph(node), target)


def test_the_largest_float32_is_no_reason() -> None:
    largest = float(np.finfo(np.float32).max)
    assert check_graph(graph(nir.Affine(EYE * largest, ONE * -largest))) == []


def test_inputs_beyond_the_arithmetic_are_refused() -> None:
    nodes = {"in": nir.Input(np.array([1])), "w": nir.Linear(np.eye(1)), "out": nir.Output(np.array([1]))}
    graph = SpikingGraph.build(nodes, [("in", "w"), ("w", "out")])
    x = np.full((1, 1, 1), 1e39)
    for target in ("reference", "onnx"):
        with pytest.raises(DataError, match=r"input 'in': holds 1e\+39, allowed up to"):
            targets.compile(graph, target).run(x)
    assert targets.compile(graph, "reference", arithmetic="float64").run(x).output == x
