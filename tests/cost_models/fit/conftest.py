"""Small graphs for fit checks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import nir
import numpy as np
import pytest

from targets.graph.graph import SpikingGraph

Build = Callable[..., SpikingGraph]


def _neuron(model: str, shape: tuple[int, ...]) -> nir.NIRNode:
    one = np.ones(shape, np.float32)
    rest = {"v_threshold": one, "v_reset": one * 0}
    if model == "if":
        return nir.IF(r=one, **rest)
    if model == "lif":
        return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, **rest)
    return nir.CubaLIF(tau_syn=one * 0.005, tau_mem=one * 0.01, r=one, v_leak=one * 0, **rest)


@pytest.fixture(scope="session")
def neuron() -> Callable[[str, tuple[int, ...]], nir.NIRNode]:
    """A population of "if", "lif" or "cuba" neurons."""
    return _neuron


@pytest.fixture(scope="session")
def chain() -> Build:
    """Nodes in a row, with dt = 1 ms."""

    def build(nodes: Mapping[str, nir.NIRNode], **profile: object) -> SpikingGraph:
        return SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": 1e-3, **profile})

    return build


@pytest.fixture(scope="session")
def mlp(chain: Build) -> Build:
    """Dense layers `layer0`, `layer1`, ... of the given sizes; the first size is the input's."""

    def build(*sizes: int, model: str = "lif") -> SpikingGraph:
        nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([sizes[0]])})}
        for i, (before, after) in enumerate(itertools.pairwise(sizes)):
            nodes[f"w{i}"] = nir.Linear(np.ones((after, before), np.float32))
            nodes[f"layer{i}"] = _neuron(model, (after,))
        nodes["output"] = nir.Output({"output": np.array([sizes[-1]])})
        return chain(nodes)

    return build


@pytest.fixture(scope="session")
def convnet(chain: Build) -> Build:
    """Convolutions `layer0`, `layer1`, ... given as (channels, kernel, stride, padding) on an input shape."""

    def build(
        shape: tuple[int, int, int], *layers: tuple[int, int, int, int], model: str = "lif"
    ) -> SpikingGraph:
        nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array(shape)})}
        for i, (channels, kernel, stride, padding) in enumerate(layers):
            weight = np.ones((channels, shape[0], kernel, kernel), np.float32)
            node = nir.Conv2d(shape[1:], weight, stride, padding, 1, 1, np.zeros(channels, np.float32))
            rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in shape[1:])
            shape = (channels, rows, columns)
            nodes |= {f"c{i}": node, f"layer{i}": _neuron(model, shape)}
        nodes["output"] = nir.Output({"output": np.array(shape)})
        return chain(nodes)

    return build
