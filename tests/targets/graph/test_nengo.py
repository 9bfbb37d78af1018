"""Why the profile "nengo" is refused, and the one case in which another profile is Nengo's."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import nir
import numpy as np
import pytest

import targets

DT, TAU, STEPS, NEURONS = 1e-3, 0.02, 300, 50
PROFILE = {
    "writer": "sinabs-norm-input", "dt": DT, "reset": "to_value", "comparison": ">", "spikes_per_step": "one",
    "clip": 0,
}  # fmt: skip


def of_nengo(current: np.ndarray, rest_s: float) -> np.ndarray:
    """Spikes of Nengo's LIF for a current [T, N], from its equations.

    tau v' = J - v, solved over the part of the step that is not refractory; above 1 it fires, and the
    refractory time runs from the moment of the crossing: v from there on is zero, never below.
    """
    v, rest = np.zeros((2, current.shape[1]))
    fired = np.zeros_like(current)
    for t, j in enumerate(current):
        rest -= DT
        part = np.clip(DT - rest, 0, DT)
        v = j + (v - j) * np.exp(-part / TAU)
        fired[t] = n = v > 1
        since = np.log1p(-(v[n] - 1) / (j[n] - 1)) * TAU
        rest[n] = rest_s + DT + since
        v = np.where(n, 0, np.maximum(v, 0))
    return fired


def drawn() -> np.ndarray:
    return np.random.default_rng(2).normal(1.5, 4, (STEPS, NEURONS)).astype(np.float32).astype(np.float64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    one = np.ones(NEURONS)
    nodes = {
        "in": nir.Input(np.array([NEURONS])),
        "lif": nir.LIF(one * TAU, one, one * 0, one),
        "out": nir.Output(np.array([NEURONS])),
    }
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, list(itertools.pairwise(nodes))))
    return tmp_path / "m.nir"


def found(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        graph = targets.load(path, PROFILE)
    run = targets.compile(graph, "reference", arithmetic="float64")
    return run.run(drawn()[:, None].astype(np.float32)).outputs["out"][:, 0]


def test_without_a_refractory_time_the_spikes_are_those_of_nengo(path: Path) -> None:
    spikes = of_nengo(drawn(), 0.0)
    assert spikes.sum() > 300
    np.testing.assert_array_equal(found(path), spikes)


def test_its_default_refractory_time_changes_them(path: Path) -> None:
    assert (found(path) != of_nengo(drawn(), 2e-3)).sum() > 100


def test_the_refusal_says_so(path: Path) -> None:
    with pytest.raises(targets.ConfigError, match=r"refractory time \(2 ms by default\) that no NIR file"):
        targets.load(path, "nengo")
