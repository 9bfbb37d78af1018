"""What counts as agreement."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph
from targets.agreement import _compare
from targets.run import Run

ONE = np.ones(2)


def graph_of(*last: nir.NIRNode) -> SpikingGraph:
    """Input - LIF - dense - the given nodes side by side - Output."""
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "w": nir.Linear(np.eye(2)),
        "s": nir.LIF(2e-3 * ONE, 2 * ONE, 0 * ONE, 0.5 * ONE),
        "v": nir.Linear(np.ones((2, 2)) * 0.3),
        **{f"last{i}": node for i, node in enumerate(last)},
        "output": nir.Output({"output": np.array([2])}),
    }
    heads = list(pairwise(["input", "w", "s", "v"]))
    tails = [edge for i in range(len(last)) for edge in (("v", f"last{i}"), (f"last{i}", "output"))]
    return SpikingGraph.build(nodes, heads + tails, {"dt": 1e-3})


LI = nir.LI(4e-3 * ONE, ONE, 0 * ONE)
IF = nir.IF(1e3 * ONE, ONE)
X = (np.random.default_rng(0).random((6, 3, 2)) < 0.5).astype(np.float32)


def runs(graph: SpikingGraph, output: np.ndarray) -> tuple[Run, Run]:
    """A run, and the same with another output."""
    run = targets.compile(graph, "reference").run(X, record=["s"])
    return run, replace(run, outputs={"output": output})


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0])
def test_a_wrong_output_value_is_disagreement(value: float) -> None:
    graph = graph_of(LI)
    run, _ = runs(graph, np.zeros(1))
    wrong = run.output.copy()
    wrong[2, 1, 0] = value
    pair = _compare(graph, ["s"], "float32", ("a", run), ("b", replace(run, outputs={"output": wrong})))
    assert pair.differing == 1
    assert (pair.first.node, pair.first.step, pair.first.sample) == ("output", 2, 1)
    assert not pair.agree


def test_rounding_of_large_outputs_is_no_disagreement() -> None:
    graph = graph_of(LI)
    run, _ = runs(graph, np.zeros(1))
    large = replace(run, outputs={"output": run.output * 1e6})
    near = replace(run, outputs={"output": run.output * 1e6 * (1 + 1e-6)})
    assert _compare(graph, ["s"], "float32", ("a", large), ("b", near)).agree


def test_an_output_of_two_populations_is_compared() -> None:
    graph = graph_of(IF, LI)
    run, other = runs(graph, np.full((6, 3, 2), 9.0))
    assert not _compare(graph, ["s", "last0"][:1], "float32", ("a", run), ("b", other)).agree


def test_a_graph_that_no_chip_holds_is_still_compared_in_floating_point() -> None:
    graph = graph_of(LI)
    found = targets.verify(graph, X, ["reference", "onnx"])
    assert found.agree
    if targets.find("lava").unavailable() is None:
        wide = targets.verify(graph, X, ["reference", "onnx", "lava"])
        assert wide.agree
        assert {pair.arithmetic for pair in wide.pairs} == {"float32", "float64"}
        assert "LI does not fire" in wide.skipped["fixed"]
    with pytest.raises(targets.UnsupportedNodeError, match="LI does not fire"):
        targets.verify(graph, X, ["reference", "onnx", "loihi"])
