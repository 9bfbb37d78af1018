"""Neurons, synapses and fan-out of a graph, for models that count operations and place nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray

from cost_models.activity import flows, folded
from cost_models.energy.plan import Usage
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Hop
from targets.graph.kinds import SYNAPSE
from targets.loihi.align import align

_CONVOLUTIONS = (nir.Conv1d, nir.Conv2d)


@dataclass(frozen=True, eq=False)
class Stream:
    """A hop that events cross.

    Attributes:
        size: neurons of the target.
        fan_out: nonzero weights of each source neuron.
        convolves: a convolution lies on the way, so targets are found from coordinates.
        parameters: stored weights and biases on the way.
    """

    source: str
    target: str
    size: int
    fan_out: NDArray[np.float64]
    convolves: bool
    parameters: int


@dataclass(frozen=True, eq=False)
class Census:
    """What a machine that does not place neurons has to serve.

    Attributes:
        neurons: `{population: neurons}`.
        kinds: `{population: node class}`.
        streams: every hop with synapses.
        biases: `{population: (onset, nonzero biases)}`, each added in every step from its onset on.
    """

    neurons: Mapping[str, int]
    kinds: Mapping[str, type[nir.NIRNode]]
    streams: tuple[Stream, ...]
    biases: Mapping[str, tuple[tuple[int, int], ...]]

    @property
    def size(self) -> int:
        """All neurons."""
        return sum(self.neurons.values())

    def synops(self, usage: Usage) -> float:
        """Synaptic operations of all samples."""
        return sum(float(usage.events.sent[s.source] @ s.fan_out) for s in self.streams)

    def macs(self, usage: Usage) -> float:
        """Those of them that multiply: values other than -1, 0 and 1."""
        graded = usage.events.graded
        return sum(float(graded[s.source] @ s.fan_out) for s in self.streams if s.source in graded)

    def constant_events(self, usage: Usage) -> float:
        """Synaptic events of constant sources, which a chip spends on biases of the synaptic current."""
        fed = (name for name, kind in self.kinds.items() if issubclass(kind, nir.CubaLIF | nir.CubaLI))
        return sum(self.bias_adds(usage, name) for name in fed)

    def bias_adds(self, usage: Usage, population: str) -> float:
        """Additions of nonzero biases into a population, of all samples."""
        found = self.biases.get(population, ())
        return float(sum(max(usage.steps - onset, 0) * size for onset, size in found) * usage.samples)


@lru_cache(maxsize=8)
def census(graph: SpikingGraph) -> Census:
    """The census of `graph`.

    Raises:
        GraphError: a cycle of stateless nodes holds no population.
    """
    folding = folded(graph)
    shapes = graph.shapes
    return Census(
        neurons={name: int(np.prod(shapes[name])) for name in graph.populations},
        kinds={name: type(graph.nodes[name]) for name in graph.populations},
        streams=tuple(
            Stream(
                flow.hop.source,
                flow.hop.target,
                int(flow.hop.matrix.shape[0]),
                flow.fan_out,
                any(isinstance(graph.nodes[n], _CONVOLUTIONS) for n in flow.hop.path),
                _parameters(graph, flow.hop),
            )
            for flow in flows(graph)
        ),
        biases={
            name: tuple((bias.onset, int(np.count_nonzero(bias.value))) for bias in found)
            for name, found in folding.biases.items()
        },
    )


def _parameters(graph: SpikingGraph, hop: Hop) -> int:
    """Weights and biases stored on the way; the entries of the sum where several paths were added up."""
    nodes = [graph.nodes[n] for n in hop.path if isinstance(graph.nodes[n], SYNAPSE)]
    if not nodes:
        return int(hop.matrix.nnz)
    return sum(int(np.size(node.weight)) + int(np.size(getattr(node, "bias", ()))) for node in nodes)


@lru_cache(maxsize=8)
def hop_latency(graph: SpikingGraph) -> int:
    """Max phi of the aligned network, in steps: what a chip takes beyond T where each hop takes a step.

    Raises:
        GraphError: a cycle holds fewer delays than hops.
    """
    return max(align(folded(graph), graph.inputs).offsets.values(), default=0)
