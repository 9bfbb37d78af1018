"""Exact spikes and synaptic operations, from per-neuron spike counts and fan-out.

A spike of neuron j over a hop with matrix A costs as many synaptic operations as column j of A
holds nonzeros. The matrices are those of the folded graph, so padding, stride, groups, dilation and
zero weights are right by construction. A chain of stateless nodes between two populations is one
hop, as a chip holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Hop, fold_graph
from targets.graph.kinds import READOUT
from targets.run import Run

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class HopActivity:
    """Synaptic operations of one hop, per sample; `delay` in steps tells parallel hops apart."""

    source: str
    target: str
    delay: int
    synops: float
    synapses: int


@dataclass(frozen=True)
class Activity:
    """What a network did, per sample.

    Attributes:
        spikes: `{Input or population: events}`.
        hops: one entry a hop, in the order of `Folding.hops`.
        updates: `{population: membrane updates}`, neurons x steps of its window.
        steps, samples: of the run.
    """

    spikes: dict[str, float]
    hops: tuple[HopActivity, ...]
    updates: dict[str, int]
    steps: int
    samples: int

    @property
    def total_spikes(self) -> float:
        """Events of all Inputs and populations, per sample."""
        return sum(self.spikes.values())

    @property
    def total_synops(self) -> float:
        """Synaptic operations of all hops, per sample."""
        return sum(hop.synops for hop in self.hops)

    def synops_into(self, population: str) -> float:
        """Synaptic operations that a population receives, per sample."""
        return sum(hop.synops for hop in self.hops if hop.target == population)


def activity(graph: SpikingGraph, run: Run) -> Activity:
    """Spikes, synaptic operations and membrane updates of `run`, per sample.

    Raises:
        DataError: the run lacks the counts of a node, or they do not fit the graph.
    """
    counts = spike_counts(graph, run)
    found = tuple(
        HopActivity(
            hop.source, hop.target, hop.delay, float(counts[hop.source] @ fan_out) / run.samples, size
        )
        for hop, fan_out, size in _fan_outs(graph)
    )
    return Activity(
        spikes={name: float(count.sum()) / run.samples for name, count in counts.items()},
        hops=found,
        updates={name: int(np.prod(graph.shapes[name])) * run.steps for name in graph.populations},
        steps=run.steps,
        samples=run.samples,
    )


def spike_counts(graph: SpikingGraph, run: Run) -> dict[str, Counts]:
    """Events of each neuron, flattened: `{Input or population: int64 [neurons]}`, over all samples.

    LI and CubaLI populations never fire and count zero.
    """
    if run.samples < 1 or run.steps < 1:
        raise DataError(
            f"run: found {run.samples} samples of {run.steps} steps, allowed at least one of each"
        )
    return {name: _counts(graph, run, name) for name in (*graph.inputs, *graph.populations)}


def _counts(graph: SpikingGraph, run: Run, name: str) -> Counts:
    size = int(np.prod(graph.shapes[name]))
    if isinstance(graph.nodes[name], READOUT):
        return np.zeros(size, dtype=np.int64)
    if name not in run.spike_counts:
        raise DataError(
            f"node {name!r}: the run holds no spike counts of it; found {', '.join(run.spike_counts)}"
        )
    count = np.asarray(run.spike_counts[name])
    if count.size != size:
        raise DataError(f"node {name!r}: found {count.size} spike counts, allowed {size}, one a neuron")
    if not np.issubdtype(count.dtype, np.integer) or count.min(initial=0) < 0:
        raise DataError(f"node {name!r}: spike counts must be integers >= 0, found {count.dtype}")
    if graph.profile.spikes_per_step == "one" and count.max(initial=0) > run.steps * run.samples:
        raise DataError(
            f"node {name!r}: found {count.max()} events of a neuron, "
            f"allowed {run.steps * run.samples}, one a step and sample"
        )
    return count.reshape(-1).astype(np.int64)


@lru_cache(maxsize=8)
def _fan_outs(graph: SpikingGraph) -> tuple[tuple[Hop, Counts, int], ...]:
    return tuple(
        (hop, np.bincount(hop.matrix.indices, minlength=hop.matrix.shape[1]), int(hop.matrix.nnz))
        for hop in fold_graph(graph).hops
    )
