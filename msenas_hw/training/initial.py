"""The untrained network from which a training starts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from msenas_hw.fitness import Balanced, balance
from msenas_hw.search import Setting
from msenas_hw.space import Genome, decode
from targets.errors import MsenasError, UnsupportedNodeError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING

TRIES, STRIDE = 10, 100


def initial(genome: Genome, given: Setting, seed: int) -> tuple[SpikingGraph, int]:
    """The balanced network of a training seed, and the weight draw that made it (`first_alive`)."""
    return _first_alive(lambda draw: decode(genome, given.task, draw), given.inputs(genome), seed)


def redrawn(graph: SpikingGraph, x: NDArray[np.float32], seed: int) -> tuple[SpikingGraph, int]:
    """`graph` with new weights, zero biases, its neurons as they are; and the draw that made it.

    Weights are normal, with the deviation at which one input in each row adds 1 / sqrt(fan-in) thresholds;
    signs and masks are kept. The network is then balanced on `x` [T, B, *input].

    Raises:
        UnsupportedNodeError: the Output reads no spiking population, by which a network is balanced.
    """
    readouts = graph.predecessors[graph.outputs[0]]
    if len(readouts) != 1 or not isinstance(graph.nodes[readouts[0]], SPIKING):
        raise UnsupportedNodeError(
            f"--from-scratch: the Output reads {', '.join(readouts)}, allowed one spiking population; "
            "leave it out to begin with the weights of the file"
        )
    return _first_alive(lambda draw: _drawn(graph, draw), x, seed)


def _drawn(graph: SpikingGraph, draw: int) -> SpikingGraph:
    rng, nodes = np.random.default_rng([draw, 2]), dict(graph.nodes)
    for population in graph.populations:
        terms = dynamics(graph, population)
        threshold = 1.0 if terms.threshold is None else float(terms.threshold.mean())
        unit = threshold / float(terms.gain.mean())
        for name in graph.synapses_into(population):
            node = nodes[name] = copy.copy(graph.nodes[name])
            fan_in = int(np.prod(node.weight.shape[1:]))
            weight = rng.normal(0.0, unit / np.sqrt(fan_in), node.weight.shape)
            weight = _SIGNED[node.metadata.get("sign", "mixed")](weight) * node.metadata.get("mask", 1.0)
            node.weight = weight.astype(np.float32)
            if hasattr(node, "bias"):
                node.bias = np.zeros_like(node.bias)
    return graph.replace(nodes=nodes)


_SIGNED: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "mixed": lambda weight: weight,
    "excitatory": np.abs,
    "inhibitory": lambda weight: -np.abs(weight),
}


def first_alive(
    decoded: Callable[[int], SpikingGraph], given: Setting, seed: int
) -> tuple[SpikingGraph, int]:
    """The balanced network of the first draw that lives: `seed`, else `seed` + 100, + 200 and so on.

    So each seed has its own weights, and seeds below 100 never share a draw.

    Args:
        decoded: the network of a weight draw.
        given: setting with the samples on which the network is balanced.
        seed: the training seed.

    Raises:
        MsenasError: ten draws are dead.
    """
    return _first_alive(decoded, given.x, seed)


def _first_alive(
    decoded: Callable[[int], SpikingGraph], x: NDArray[np.float32], seed: int
) -> tuple[SpikingGraph, int]:
    reasons = []
    for draw in range(seed, seed + TRIES * STRIDE, STRIDE):
        found = balance(decoded(draw), x)
        if isinstance(found, Balanced):
            return found.graph, draw
        reasons.append(f"draw {draw}: node {found.node!r} {found.reason}")
    raise MsenasError(
        f"seed {seed}: {TRIES} draws of the untrained network are dead; {reasons[0]}; "
        "choose another network of the front, or more data.steps"
    )
