"""Input gains of populations, multiplied into the weights before them where that changes no bit.

Multiplying by a power of two is exact, so gain * (w1 + w2) = gain * w1 + gain * w2 in float32 as well,
short of its smallest numbers. A multiplication of every neuron in every step is saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SYNAPSE
from targets.onnx.synapses import rounded

# Scaled weights stay this far above the smallest float32, and sums of them as well.
_LEAST = 2.0**-90


def movable_gains(graph: SpikingGraph) -> dict[str, float]:
    """`{population: gain}` of those whose gain the synapses before them can take over."""
    followers: dict[str, int] = dict.fromkeys(graph.nodes, 0)
    for source, _ in graph.edges:
        followers[source] += 1
    found = {}
    for name in graph.populations:
        before = graph.predecessors[name]
        alone = all(isinstance(graph.nodes[s], SYNAPSE) and followers[s] == 1 for s in before)
        gain = shared(dynamics(graph, name).gain)
        two_to_the = gain not in (0.0, 1.0) and abs(np.frexp(gain)[0]) == 0.5
        if two_to_the and alone and all(_exact(v, gain) for s in before for v in _parameters(graph.nodes[s])):
            found[name] = gain
    return found


def moved(graph: SpikingGraph, gains: Mapping[str, float]) -> dict[str, nir.NIRNode]:
    """The synapses before populations of `gains`, with the gain in weights and biases."""
    nodes = {}
    for name, gain in gains.items():
        for source in graph.predecessors[name]:
            node = graph.nodes[source]
            scaled = {key: rounded(getattr(node, key)) * np.float32(gain) for key in _keys(node)}
            nodes[source] = replace(node, **scaled)
    return nodes


def shared(values: NDArray[Any]) -> float:
    """The one value of all neurons, or 0."""
    return float(values.flat[0]) if (values == values.flat[0]).all() else 0.0


def _keys(node: Any) -> list[str]:
    return [key for key in ("weight", "bias") if hasattr(node, key)]


def _parameters(node: Any) -> list[NDArray[np.float32]]:
    return [rounded(getattr(node, key)) for key in _keys(node)]


def _exact(values: NDArray[np.float32], gain: float) -> bool:
    absolute = np.abs(values[values != 0]) * np.float64(min(gain, 1.0))
    return bool((absolute > _LEAST).all() and (absolute < 1 / _LEAST).all())
