"""The ramp that stands for the comparison with a threshold: right at the threshold, and where it is used."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest

import targets
from targets.graph.graph import SpikingGraph

DT = 2.0**-10
F = np.float32
THRESHOLDS = (1.0, 0.1, 0.75, 3.0, 2.0**-20, 1e-25, 7.3e24, float(np.nextafter(F(2), F(0))))


def one_if(threshold: np.ndarray, reset_value: float = 0.0, **profile: Any) -> SpikingGraph:
    """IF neurons whose first membrane is the input itself."""
    size = len(threshold)
    cells = nir.IF(r=np.full(size, 1 / DT), v_threshold=threshold, v_reset=np.full(size, reset_value))
    nodes = {"in": nir.Input(np.array([size])), "cells": cells, "out": nir.Output(np.array([size]))}
    return SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": DT, **profile})


def ramped(graph: SpikingGraph) -> bool:
    """Whether the only function of the model, of the NIR model's name, has a ramp."""
    (function,) = targets.compile(graph, "onnx").model.functions
    assert function.name == "IF"
    return "HardSigmoid" in {node.op_type for node in function.node}


def around(threshold: float) -> np.ndarray:
    """Membranes next to a threshold, and far from it."""
    exact, far = F(threshold), F(np.finfo(F).max)
    below, above = np.nextafter(exact, F(-np.inf)), np.nextafter(exact, F(np.inf))
    return np.array([below, exact, above, -exact, -far, far, 0, exact / 2, exact * 2], F)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_ramp_is_the_comparison(threshold: float) -> None:
    values = around(threshold)
    graph = one_if(np.full(len(values), threshold))
    assert ramped(graph)
    run = targets.compile(graph, "onnx").run(values[None, None], ["cells"], states=True)
    fired = values > F(threshold)
    assert fired.sum() == 3
    assert np.array_equal(run.spikes["cells"][0, 0], fired)
    assert np.array_equal(run.states["cells"]["v"][0, 0], np.where(fired, F(0), values))


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_ramp_with_a_soft_reset(threshold: float) -> None:
    values = around(threshold)
    graph = one_if(np.full(len(values), threshold), reset="subtract")
    assert ramped(graph)
    run = targets.compile(graph, "onnx").run(values[None, None], ["cells"], states=True)
    fired = (values > F(threshold)).astype(F)
    assert np.array_equal(run.spikes["cells"][0, 0], fired)
    assert np.array_equal(run.states["cells"]["v"][0, 0], values - fired * F(threshold))


@pytest.mark.parametrize(
    "graph",
    [
        lambda: one_if(np.array([1.0, 2.0])),
        lambda: one_if(np.ones(2), reset_value=0.25),
        lambda: one_if(np.zeros(2)),
        lambda: one_if(-np.ones(2)),
        lambda: one_if(np.full(2, 1e-35)),
        lambda: one_if(np.ones(2), comparison=">="),
        lambda: one_if(np.ones(2), reset="subtract", spikes_per_step="many"),
    ],
)
def test_anything_else_compares(graph: Callable[[], SpikingGraph]) -> None:
    found = graph()
    assert not ramped(found)
    x = np.linspace(-2, 2, 60, dtype=F).reshape(30, 1, 2)
    ours = targets.compile(found, "onnx").run(x, states=True)
    theirs = targets.compile(found, "reference").run(x, states=True)
    assert np.array_equal(ours.output, theirs.output)
    assert np.array_equal(ours.states["cells"]["v"], theirs.states["cells"]["v"])
