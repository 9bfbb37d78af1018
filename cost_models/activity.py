"""Exact spikes and synaptic operations, from per-neuron event counts and fan-out.

An event of neuron j over a hop with matrix A costs as many synaptic operations as column j of A
holds nonzeros. The matrices are those of the folded graph, so padding, stride, groups, dilation,
pooling and zero weights are right by construction. A chain of stateless nodes between two
populations is one hop, as a chip holds it; `cost_models.layers` counts node by node, as frameworks do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Folding, Hop, fold_graph
from targets.graph.kinds import READOUT
from targets.run import Run

# Whole numbers. In float64 they multiply fast, are exact up to 2^53, and never wrap around.
Counts = NDArray[np.float64]
LARGEST_COUNT = 2**53
# State variables that a population updates every step.
STATES = {nir.CubaLIF: 2, nir.CubaLI: 2}


@dataclass(frozen=True)
class HopActivity:
    """Synaptic operations of one hop, per sample.

    Attributes:
        delay: in steps; tells parallel hops apart.
        synops: all operations, those of graded values included.
        macs: operations of values other than -1, 0 and 1, which multiply.
        synapses: nonzero weights.
    """

    source: str
    target: str
    delay: int
    synops: float
    synapses: int
    macs: float = 0.0


@dataclass(frozen=True)
class Activity:
    """What a network did, per sample.

    Attributes:
        spikes: `{Input, population or Threshold: events}`; populations that are read out fire none.
        hops: one entry a hop, in the order of `Folding.hops`; then weights in front of an Output.
        updates: `{population: membrane updates}`, neurons x steps of its window.
        state_words: `{population: words of state that an update reads and writes}`.
        steps, samples: of the run.
        assumed: what the run does not say and was assumed, one sentence each.
    """

    spikes: dict[str, float]
    hops: tuple[HopActivity, ...]
    updates: dict[str, int]
    state_words: dict[str, int]
    steps: int
    samples: int
    assumed: tuple[str, ...] = ()

    @property
    def total_spikes(self) -> float:
        """Events of all Inputs and populations, per sample."""
        return sum(self.spikes.values())

    @property
    def total_synops(self) -> float:
        """Synaptic operations of all hops, per sample."""
        return sum(hop.synops for hop in self.hops)

    @property
    def total_macs(self) -> float:
        """Synaptic operations that multiply, per sample; the others only add."""
        return sum(hop.macs for hop in self.hops)

    @property
    def traffic(self) -> dict[str, float]:
        """Words moved, per sample: weights read once an operation, states read and written once an update."""
        states = sum(self.updates[name] * self.state_words[name] for name in self.updates)
        return {
            "weight_reads": self.total_synops,
            "state_reads": float(states),
            "state_writes": float(states),
            "events": self.total_spikes,
        }

    def synops_into(self, population: str) -> float:
        """Synaptic operations that a population receives, per sample."""
        return sum(hop.synops for hop in self.hops if hop.target == population)


@dataclass(frozen=True, eq=False)
class NeuronEvents:
    """Events of each neuron, flattened, over all samples.

    Attributes:
        spikes: `{Input, population or Threshold: float64 [neurons]}`.
        sent: the same for what is sent over hops: a population that is read out sends a value
            every step, unless the run recorded which ones are zero.
        graded: `{node: float64 [neurons]}`, those sent values that are neither -1, 0 nor 1; only
            nodes that have any.
        assumed: as in `Activity`.
    """

    spikes: dict[str, Counts]
    sent: dict[str, Counts]
    graded: dict[str, Counts]
    assumed: tuple[str, ...]


def activity(graph: SpikingGraph, run: Run) -> Activity:
    """Spikes, synaptic operations and membrane updates of `run`, per sample.

    Values of an Input count as spikes unless the run recorded the Input (`record=["input"]`); then
    values other than -1, 0 and 1 are counted as graded.

    Raises:
        DataError: the run lacks the counts of a node, or they do not fit the graph.
    """
    return activity_of(graph, run, events(graph, run))


def activity_of(graph: SpikingGraph, run: Run, found: NeuronEvents) -> Activity:
    """`activity`, for events that were counted already."""
    return Activity(
        spikes={name: float(count.sum()) / run.samples for name, count in found.spikes.items()},
        hops=tuple(_hop(flow, found, run.samples) for flow in flows(graph)),
        updates={name: size * run.steps for name, size in _sizes(graph).items() if name in graph.populations},
        state_words={name: STATES.get(type(graph.nodes[name]), 1) for name in graph.populations},
        steps=run.steps,
        samples=run.samples,
        assumed=found.assumed,
    )


def _hop(flow: Flow, found: NeuronEvents, samples: int) -> HopActivity:
    hop, graded = flow.hop, found.graded.get(flow.hop.source)
    macs = 0.0 if graded is None else float(graded @ flow.fan_out)
    synops = float(found.sent[hop.source] @ flow.fan_out)
    return HopActivity(hop.source, hop.target, hop.delay, synops / samples, flow.synapses, macs / samples)


def records(graph: SpikingGraph) -> tuple[str, ...]:
    """Nodes to record so that nothing is assumed: Inputs, Thresholds, and readouts that send values on."""
    thresholds = (name for name, node in graph.nodes.items() if isinstance(node, nir.Threshold))
    return (*graph.inputs, *thresholds, *_senders_of_values(graph))


def spike_counts(graph: SpikingGraph, run: Run) -> dict[str, Counts]:
    """Events of each neuron, over all samples: `{Input, population or Threshold: float64 [neurons]}`.

    I, LI and CubaLI populations never fire and count zero.
    """
    if run.samples < 1 or run.steps < 1:
        raise DataError(
            f"run: found {run.samples} samples of {run.steps} steps, allowed at least one of each"
        )
    return {name: _counts(graph, run, name) for name in _emitters(graph)}


def events(graph: SpikingGraph, run: Run) -> NeuronEvents:
    """Events of `run`, those that multiply apart (`NeuronEvents`).

    Raises:
        DataError: as for `activity`.
    """
    spikes = spike_counts(graph, run)
    sent, graded, assumed = dict(spikes), {}, []
    for name in graph.inputs:
        if name in run.spikes:
            many = _graded(run.spikes[name], spikes[name].size)
            if many.any():
                graded[name] = many
        else:
            assumed.append(f"node {name!r}: its values were not recorded and are taken as spikes")
    for name in _senders_of_values(graph):
        size = spikes[name].size
        sent[name] = graded[name] = (
            _nonzero(run.spikes[name], size)
            if name in run.spikes
            else np.full(size, float(run.steps * run.samples))
        )
    return NeuronEvents(spikes, sent, graded, tuple(assumed))


def _counts(graph: SpikingGraph, run: Run, name: str) -> Counts:
    size = _sizes(graph)[name]
    if isinstance(graph.nodes[name], READOUT):
        return np.zeros(size)
    if isinstance(graph.nodes[name], nir.Threshold):
        if name not in run.spikes:
            raise DataError(
                f"node {name!r} (Threshold): the run holds no spikes of it; run with record=[{name!r}]"
            )
        return _nonzero(run.spikes[name], size)
    if name not in run.spike_counts:
        raise DataError(
            f"node {name!r}: the run holds no spike counts of it; found {', '.join(run.spike_counts)}"
        )
    count = np.asarray(run.spike_counts[name])
    if count.size != size:
        raise DataError(f"node {name!r}: found {count.size} spike counts, allowed {size}, one a neuron")
    if count.dtype.kind not in "iu" or count.min(initial=0) < 0:
        raise DataError(f"node {name!r}: spike counts must be integers >= 0, found {count.dtype}")
    most, one = int(count.max(initial=0)), graph.profile.spikes_per_step == "one"
    allowed = run.steps * run.samples if one else LARGEST_COUNT // max(size, 1)
    if most > allowed:
        why = "one a step and sample" if one else "so that sums stay exact"
        raise DataError(f"node {name!r}: found {most} events of a neuron, allowed {allowed}, {why}")
    return count.reshape(-1).astype(np.float64)


def _nonzero(values: NDArray[np.generic], size: int) -> Counts:
    return np.count_nonzero(np.asarray(values).reshape(-1, size), axis=0).astype(np.float64)


def _graded(values: NDArray[np.generic], size: int) -> Counts:
    flat = np.asarray(values).reshape(-1, size)
    return np.count_nonzero((flat != 0) & (np.abs(flat) != 1), axis=0).astype(np.float64)


@lru_cache(maxsize=8)
def _sizes(graph: SpikingGraph) -> dict[str, int]:
    return {name: int(np.prod(shape)) for name, shape in graph.shapes.items()}


@lru_cache(maxsize=8)
def _emitters(graph: SpikingGraph) -> tuple[str, ...]:
    thresholds = (name for name, node in graph.nodes.items() if isinstance(node, nir.Threshold))
    return (*graph.inputs, *graph.populations, *thresholds)


@lru_cache(maxsize=8)
def _senders_of_values(graph: SpikingGraph) -> tuple[str, ...]:
    sources = dict.fromkeys(flow.hop.source for flow in flows(graph))
    return tuple(name for name in sources if isinstance(graph.nodes[name], READOUT))


@dataclass(frozen=True, eq=False)
class Flow:
    """A hop, with the nonzero weights of each source neuron."""

    hop: Hop
    fan_out: Counts
    synapses: int


@lru_cache(maxsize=8)
def flows(graph: SpikingGraph) -> tuple[Flow, ...]:
    """Every hop that carries synapses: those into populations, and weights in front of an Output.

    Raises:
        GraphError: stateless nodes form a cycle without a population.
    """
    folding = folded(graph)
    readouts = (hop for hop in folding.readouts if _weighs(graph, hop))
    return tuple(
        Flow(
            hop,
            np.bincount(hop.matrix.indices, minlength=hop.matrix.shape[1]).astype(np.float64),
            int(hop.matrix.nnz),
        )
        for hop in (*folding.hops, *readouts)
    )


@lru_cache(maxsize=8)
def folded(graph: SpikingGraph) -> Folding:
    """`fold_graph` where a Threshold ends a hop and starts the next one, as a population does."""
    stand_ins: dict[str, nir.NIRNode] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Threshold):
            one = np.ones_like(node.threshold)
            stand_ins[name] = nir.IF(r=one, v_threshold=one, v_reset=0 * one)
    return fold_graph(replace(graph, nodes={**graph.nodes, **stand_ins}) if stand_ins else graph)


def _weighs(graph: SpikingGraph, hop: Hop) -> bool:
    """Whether a hop into an Output does more than hand a population's spikes over."""
    if not hop.path:  # one edge, or several paths that were added up
        return graph.predecessors[hop.target] != (hop.source,)
    return any(not isinstance(graph.nodes[n], nir.Flatten | nir.Delay) for n in hop.path)
