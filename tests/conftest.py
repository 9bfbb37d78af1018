"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest

from targets.graph.graph import SpikingGraph

SHARED = Path(os.environ.get("MSENAS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture
def shared() -> Path:
    """Folder of real graphs and data; a test that needs it skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared data folder is absent")
    return SHARED


def dyadic(rng: np.random.Generator, *shape: int, bits: int = 8, bound: int = 128) -> np.ndarray:
    """Random multiples of 2^-bits: sums of them are exact in any order."""
    return (rng.integers(-bound, bound + 1, size=shape) / 2**bits).astype(np.float32)


def population(model: str, shape: tuple[int, ...], threshold: float = 1.0) -> nir.NIRNode:
    """IF, LIF (tau 4 steps) or CubaLIF (tau 4, tau_syn 2 steps) at dt = 1 ms, gain 1 for IF and LIF."""
    one = np.ones(shape, np.float32)
    rest = {"v_threshold": one * threshold, "v_reset": one * 0}
    if model == "if":
        return nir.IF(r=one * 1e3, **rest)
    if model == "lif":
        return nir.LIF(tau=one * 4e-3, r=one * 4, v_leak=one * 0, **rest)
    return nir.CubaLIF(
        tau_syn=one * 2e-3, tau_mem=one * 4e-3, r=one * 4, v_leak=one * 0, w_in=one * 2, **rest
    )


def conv(rng: np.random.Generator, channels: int, out: int, size: int, stride: int = 1) -> nir.Conv2d:
    """A 3 x 3 convolution with dyadic weights and biases."""
    weight = dyadic(rng, out, channels, 3, 3)
    return nir.Conv2d((size, size), weight, stride, 1, 1, 1, dyadic(rng, out, bound=32))


@pytest.fixture(scope="session")
def recurrent_graph() -> Callable[..., SpikingGraph]:
    """A graph with stride, pooling, a skip edge, a self loop and a feedback loop over two hops."""

    def build(seed: int = 0, models: tuple[str, str, str] = ("lif", "cubalif", "if")) -> SpikingGraph:
        rng = np.random.default_rng(seed)
        nodes = {
            "input": nir.Input({"input": np.array([1, 8, 8])}),
            "c1": conv(rng, 1, 4, 8, stride=2),
            "l1": population(models[0], (4, 4, 4)),
            "c2": conv(rng, 4, 4, 4),
            "l2": population(models[1], (4, 4, 4)),
            "skip": conv(rng, 1, 4, 8, stride=2),
            "back": conv(rng, 4, 4, 4),
            "back_delay": nir.Delay(np.full((4, 4, 4), 2e-3)),
            "loop": conv(rng, 4, 4, 4),
            "loop_delay": nir.Delay(np.full((4, 4, 4), 1e-3)),
            "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
            "flatten": nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
            "dense": nir.Affine(dyadic(rng, 10, 16), dyadic(rng, 10, bound=32)),
            "l3": population(models[2], (10,)),
            "output": nir.Output({"output": np.array([10])}),
        }
        edges = [
            ("input", "c1"), ("c1", "l1"), ("l1", "c2"), ("c2", "l2"), ("input", "skip"), ("skip", "l2"),
            ("l2", "back"), ("back", "back_delay"), ("back_delay", "l1"),
            ("l2", "loop"), ("loop", "loop_delay"), ("loop_delay", "l2"),
            ("l2", "pool"), ("pool", "flatten"), ("flatten", "dense"), ("dense", "l3"), ("l3", "output"),
        ]  # fmt: skip
        return SpikingGraph.build(nodes, edges, {"dt": 1e-3})

    return build


@pytest.fixture(scope="session")
def spikes() -> Callable[..., np.ndarray]:
    """Random binary input [T, B, *shape]."""

    def draw(seed: int, *shape: int, rate: float = 0.3) -> np.ndarray:
        return (np.random.default_rng([seed, 7]).random(shape) < rate).astype(np.float32)

    return draw
