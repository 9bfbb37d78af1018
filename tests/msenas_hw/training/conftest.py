"""A small network and a set of bars that it learns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import nir
import numpy as np
import pytest

from msenas_hw.data import Dataset
from targets import SpikingGraph


def bar_pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a horizontal (0) or vertical (1) bar with noise, in [0, 1]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = rng.random((count, 1, 6, 6)) * 0.2
    for picture, label in zip(x, y, strict=True):
        at = rng.integers(0, 6)
        picture[(0, at) if label == 0 else (0, slice(None), at)] = 1.0
    return x.astype(np.float32), y.astype(np.int64)


@pytest.fixture(scope="session")
def draw_bars() -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    return bar_pictures


@pytest.fixture(scope="session")
def bars() -> Dataset:
    parts = [bar_pictures(count, seed) for seed, count in enumerate((48, 32, 32))]
    return Dataset("bars", *(array for part in parts for array in part), classes=2, recorded=False)


@pytest.fixture
def dense() -> SpikingGraph:
    """36 - 12 LIF - 2 LIF, fully connected, biases trained."""
    rng = np.random.default_rng(7)

    def affine(rows: int, columns: int) -> nir.Affine:
        weight = rng.normal(size=(rows, columns)).astype(np.float32) * 3 / np.sqrt(columns)
        return nir.Affine(weight.astype(np.float32), np.zeros(rows, np.float32))

    def lif(count: int) -> nir.LIF:
        one = np.ones(count, np.float32)
        return nir.LIF(one * 2e-3, one * 2, one * 0, one, one * 0)

    nodes = {
        "input": nir.Input({"input": np.array([36])}),
        "up": affine(12, 36),
        "hidden": lif(12),
        "down": affine(2, 12),
        "readout": lif(2),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    return SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})
