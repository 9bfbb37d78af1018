"""The two networks of `bench_executor.py`, their input, and what they cost densely.

    ff   conv 32 - conv 64 / 2 - conv 128 / 2 - dense 10, on 2 x 32 x 32 input
    fb   conv 32 - conv 64 / 2 - conv 64 - conv 128 / 2 - dense 10, with a convolution back from the third
         population to the second, an edge from the second to the third that skips the convolution between
         them, and a recurrent last population

A LIF population of 4 steps follows each. Weights and biases are multiples of 2^-8, so that any order of
summation gives the same current; about a tenth of the neurons fire in a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph

DT_S = 1e-3
TAU_STEPS = 4.0
GRID = 2.0**-8
INPUT_SHAPE = (2, 32, 32)
CLASSES = 10
EVENT_RATE = 0.1
Layer = tuple[int, int]  # output channels, stride


def feed_forward() -> SpikingGraph:
    """`ff`: 57,354 neurons, 10.1 M multiply-accumulates a step."""
    nodes = _chain(np.random.default_rng(0), [(32, 1), (64, 2), (128, 2)], drive=3.3)
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": DT_S})


def feedback() -> SpikingGraph:
    """`fb`: feedback, skip and recurrent edges, each cycle with a delay of one step."""
    rng = np.random.default_rng(1)
    chain = _chain(rng, [(32, 1), (64, 2), (64, 1), (128, 2)], drive=3.6)
    edges = list(pairwise(chain))
    nodes = {
        **chain,
        "back": _convolution(rng, 64, (64, 1), 16, drive=1.0),
        "back_delay": nir.Delay(np.full((64, 16, 16), DT_S)),
        "loop": _dense(rng, CLASSES, drive=1.0),
        "loop_delay": nir.Delay(np.full(CLASSES, DT_S)),
    }
    edges += [("lif2", "lif3"), ("lif3", "back"), ("back", "back_delay"), ("back_delay", "lif2")]
    edges += [("lif5", "loop"), ("loop", "loop_delay"), ("loop_delay", "lif5")]
    return SpikingGraph.build(nodes, edges, {"dt": DT_S})


NETWORKS: Mapping[str, Callable[[], SpikingGraph]] = {"ff": feed_forward, "fb": feedback}


def events(steps: int, batch: int) -> NDArray[np.float32]:
    """Input [T, B, 2, 32, 32], one value in ten set."""
    rng = np.random.default_rng([steps, batch])
    return (rng.random((steps, batch, *INPUT_SHAPE)) < EVENT_RATE).astype(np.float32)


@dataclass(frozen=True)
class DenseCost:
    """What one step of one sample costs where no spike is skipped.

    Attributes:
        flops: 2 a multiply-accumulate, padding taps included; of the forward pass.
        training_flops: with the gradients of weights and of inputs, the network's own input apart.
        neurons: in populations.
    """

    flops: float
    training_flops: float
    neurons: int

    @classmethod
    def of(cls, graph: SpikingGraph) -> DenseCost:
        """The cost of a network of convolutions and dense layers."""
        macs = {
            name: int(np.prod(node.weight.shape[1:])) * int(np.prod(graph.shapes[name]))
            for name, node in graph.nodes.items()
            if hasattr(node, "weight")
        }
        total = sum(macs.values())
        first = sum(m for name, m in macs.items() if graph.predecessors[name][0] in graph.inputs)
        neurons = sum(int(np.prod(graph.shapes[name])) for name in graph.populations)
        return cls(2.0 * total, 2.0 * (3 * total - first), neurons)


def _chain(rng: np.random.Generator, layers: list[Layer], drive: float) -> dict[str, nir.NIRNode]:
    """Input, convolutions, a dense layer and the Output, a LIF population after each layer."""
    channels, size = INPUT_SHAPE[0], INPUT_SHAPE[1]
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array(INPUT_SHAPE))}
    for number, layer in enumerate(layers, start=1):
        rate = EVENT_RATE if number == 1 else 0.11
        nodes[f"conv{number}"] = _convolution(rng, channels, layer, size, drive / np.sqrt(rate))
        channels, size = layer[0], size // layer[1]
        nodes[f"lif{number}"] = _lif((channels, size, size))
    nodes["flatten"] = nir.Flatten({"input": np.array((channels, size, size))}, 0, -1)
    nodes["dense"] = _dense(rng, channels * size * size, drive / np.sqrt(0.11))
    nodes[f"lif{len(layers) + 1}"] = _lif((CLASSES,))
    nodes["output"] = nir.Output(np.array([CLASSES]))
    return nodes


def _lif(shape: tuple[int, ...]) -> nir.LIF:
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * (TAU_STEPS * DT_S), r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)


def _convolution(
    rng: np.random.Generator, channels: int, layer: Layer, size: int, drive: float
) -> nir.Conv2d:
    out, stride = layer
    weight = _on_grid(rng.normal(size=(out, channels, 3, 3)) * drive / np.sqrt(9 * channels))
    return nir.Conv2d((size, size), weight, stride, 1, 1, 1, _on_grid(rng.normal(size=out) * 0.1))


def _dense(rng: np.random.Generator, inputs: int, drive: float) -> nir.Affine:
    weight = _on_grid(rng.normal(size=(CLASSES, inputs)) * drive / np.sqrt(inputs))
    return nir.Affine(weight, _on_grid(rng.normal(size=CLASSES) * 0.1))


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (np.round(values / GRID) * GRID).astype(np.float32)
