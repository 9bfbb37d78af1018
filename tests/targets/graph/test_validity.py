"""Mistakes of a builder, each named at the node or edge that makes it."""

from __future__ import annotations

import itertools
from typing import Any

import nir
import numpy as np
import pytest

from targets import GraphError, SpikingGraph

ONE, WIDE = np.ones(3), np.ones((4, 3))


def changed(node: nir.NIRNode, **fields: Any) -> nir.NIRNode:
    """`node` with fields set after the fact, past nir's own checks."""
    for field, value in fields.items():
        setattr(node, field, value)
    return node


def lif(**fields: Any) -> nir.NIRNode:
    return changed(nir.LIF(ONE, ONE, ONE * 0, ONE), **fields)


def conv(**fields: Any) -> nir.NIRNode:
    return changed(nir.Conv2d(None, np.ones((4, 2, 3, 3)), 1, 0, 1, 1, np.ones(4)), **fields)


def build(node: nir.NIRNode, shape: tuple[int, ...] = (3,)) -> SpikingGraph:
    nodes = {"in": nir.Input(np.array(shape)), "n": node, "out": nir.Output(np.array([3]))}
    return SpikingGraph.build(nodes, [("in", "n"), ("n", "out")], {"dt": 1e-3})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lif(tau=np.float64(0.1)), "tau is float64, allowed a numpy array of numbers"),
        (lif(tau=0.1), "tau is float, allowed a numpy array"),
        (lif(tau=[0.1] * 3), "tau is list, allowed a numpy array"),
        (nir.LIF(*[np.array(0.1)] * 4), r"tau is a scalar, .* np.full\(shape, 0.1\)"),
        (lif(r=np.ones(4)), r"r has shape \(4,\), but tau has \(3,\)"),
        (lif(v_reset=np.array(["a"] * 3)), "v_reset is <U1, allowed a numpy array of numbers"),
        (lif(r=np.array([1j] * 3)), "r is complex128"),
        (lif(tau=np.array([1, 0, 1.0])), "tau is 0.0, allowed > 0"),
        (lif(v_threshold=np.array([1, np.inf, 1])), "v_threshold holds 1 NaN or infinite of 3"),
        (nir.IF(*[np.ones((0,))] * 2), r"r has shape \(0,\), allowed sizes >= 1"),
        (nir.Delay(-ONE), "delay is -1.0, allowed >= 0"),
        (changed(nir.Affine(WIDE, np.ones(4)), bias=ONE), r"bias has shape \(3,\), allowed \(4,\)"),
        (nir.Linear(np.ones((1, 4, 3))), r"weight has shape \(1, 4, 3\), allowed \(outputs, inputs\)"),
        (changed(nir.Linear(WIDE), weight=WIDE > 2), None),
        (conv(groups=3), "groups is 3, allowed a divisor of the 4 output channels"),
        (conv(groups=0), "groups is 0"),
        (conv(stride=(1, 0)), r"stride is \(1, 0\), allowed >= 1"),
        (conv(stride=(1, 2, 3)), r"stride: found \[1, 2, 3\], allowed one or 2 integers"),
        (conv(padding=-1), r"padding is \(-1, -1\), allowed >= 0"),
        (conv(bias=np.ones(5)), r"bias has shape \(5,\), allowed \(4,\)"),
        (conv(weight=np.ones((4, 2, 3))), r"weight has shape \(4, 2, 3\), allowed \(outputs, inputs, kernel"),
        (nir.SumPool2d(np.array([2, 2]), np.array([2, 0]), np.array([0, 0])), r"stride is \(2, 0\)"),
        (nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([2, 2])), "at most half the kernel"),
        (nir.Flatten({"input": None}, 2, 1), "start_dim=2, end_dim=1 of an input with 1 axes"),
    ],
)
def test_a_parameter_is_named(node: nir.NIRNode, message: str | None) -> None:
    if message is None:
        assert build(node).shapes["n"] == (4,)
        return
    with pytest.raises(GraphError, match=rf"node 'n' \({type(node).__name__}\): .*{message}"):
        build(node)


@pytest.mark.parametrize("edge", [("n", "in"), ("out", "n"), ("n", "n2")])
def test_an_edge_is_named(edge: tuple[str, str]) -> None:
    nodes = {"in": nir.Input(np.array([3])), "n": lif(), "out": nir.Output(np.array([3]))}
    reason = {"in": "into an Input", "n": "out of an Output", "n2": "'n2' does not exist"}[edge[1]]
    with pytest.raises(GraphError, match=f"edge '{edge[0]}' -> '{edge[1]}': .*{reason}"):
        SpikingGraph.build(nodes, [("in", "n"), ("n", "out"), edge])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "a\0", "x" * 2000, 3])
def test_a_name_that_no_file_can_hold(name: Any) -> None:
    nodes = {"in": nir.Input(np.array([3])), name: lif(), "out": nir.Output(np.array([3]))}
    with pytest.raises(GraphError, match="name must"):
        SpikingGraph.build(nodes, [("in", name), (name, "out")])


@pytest.mark.parametrize("shape", [(), (0,), (3, -1)])
def test_an_input_has_a_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match=r"node 'in' \(Input\): shape is"):
        build(lif(), shape)


def test_thousands_of_nodes_in_linear_time() -> None:
    count = 20_000
    nodes = {f"n{i}": nir.Scale(ONE) for i in range(count)}
    names = ["in", *nodes, "out"]
    ends = {"in": nir.Input(np.array([3])), "out": nir.Output(np.array([3]))}
    graph = SpikingGraph.build({**ends, **nodes}, list(itertools.pairwise(names)))
    assert len(graph.components) == count + 2
    assert graph.cyclic == frozenset()
