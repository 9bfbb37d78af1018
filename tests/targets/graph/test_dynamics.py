"""Coefficients that float32 does not hold: refused by name, on every target."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import pytest

import targets
from targets.errors import GraphError, UnsupportedNodeError
from targets.graph.dynamics import beyond_float32, dynamics
from targets.graph.graph import SpikingGraph

ONE = np.ones(3)
LARGEST = float(np.finfo(np.float32).max)


def graph(profile: dict[str, Any] | None = None, **changed: float) -> SpikingGraph:
    """A CubaLIF population "n" of three neurons, the last with `changed` parameters."""
    values = dict.fromkeys(("tau_mem", "tau_syn", "r", "v_threshold", "w_in"), 1.0)
    values |= {"v_leak": 0.0, "v_reset": 0.0}
    last = np.array([0, 0, 1], bool)
    nodes = {
        "in": nir.Input({"input": np.array([3])}),
        "w": nir.Linear(np.eye(3)),
        "n": nir.CubaLIF(**{k: np.where(last, changed.get(k, v), v) for k, v in values.items()}),
        "out": nir.Output({"output": np.array([3])}),
    }
    return SpikingGraph.build(nodes, [("in", "w"), ("w", "n"), ("n", "out")], {"dt": 1.0, **(profile or {})})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"r": 1e39}, r"gain holds 1e\+39"),
        ({"tau_mem": 1e-60, "r": 1e-60}, r"decay holds -1e\+60"),
        ({"tau_syn": 1e-60, "w_in": -1e-60}, r"decay_synapse holds -1e\+60"),
        ({"v_leak": -1e40}, r"leak holds -1e\+40"),
        ({"v_threshold": 1e39}, r"threshold holds 1e\+39"),
        ({"v_reset": -2.5e39}, r"reset holds -2\.5e\+39"),
        # 1 / 1e-320 is infinite in float64 as well, and times 0 it is NaN.
        ({"tau_mem": 1e-320}, "gain holds inf"),
        ({"tau_mem": 1e-320, "r": 0.0}, "gain holds nan"),
    ],
)
def test_a_coefficient_beyond_float32_is_named(changed: dict[str, float], words: str) -> None:
    found = graph(**changed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(GraphError, match=rf"node 'n' \(CubaLIF\): {words}, allowed up to 3\.40282e\+38"):
            dynamics(found, "n")
        for target in ("reference", "onnx", "loihi"):
            with pytest.raises(UnsupportedNodeError, match=words):
                targets.compile(found, target)


def test_a_clip_beyond_float32_is_named() -> None:
    with pytest.raises(GraphError, match=r"clip holds -1e\+39"):
        dynamics(graph({"clip": -1e39}), "n")


def test_the_largest_float32_is_held() -> None:
    found = dynamics(graph(v_threshold=LARGEST, v_reset=-LARGEST), "n")
    assert found.threshold is not None
    assert found.reset is not None
    assert (found.threshold[2], found.reset[2]) == (np.float32(LARGEST), np.float32(-LARGEST))


@pytest.mark.parametrize("kind", [np.bool_, np.int64, np.uint64, np.float16, np.float32, np.float64])
def test_every_value_of_these_types_up_to_the_limit_is_held(kind: type[np.generic]) -> None:
    assert beyond_float32(np.array([0, 1]).astype(kind)) is None
