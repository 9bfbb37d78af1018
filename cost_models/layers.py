"""Operations node by node, per step and per sample, in NeuroBench's terms.

Where `cost_models.activity` folds stateless nodes into hops, as a chip does, this counts every
stateless node on the values that reach it, as a framework computes it. It needs the recorded output
of every Input and population.

Conventions, those of NeuroBench 2.3 (its `SynapticOperations`): an effective operation is a nonzero
input value that meets a nonzero weight; it is an AC where the value is -1 or 1, else a MAC; a dense
operation is any value of the input that meets any tap of the kernel, padding apart; biases count
nothing. Figures are a sample's, summed over its steps. NeuroBench decides between AC and MAC for a whole call
(one value outside {-1, 0, 1} makes every operation of the step a MAC); here each value decides for
itself, and `as_neurobench` applies NeuroBench's rule so that columns compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.errors import DataError, GraphError
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import LINEAR, POPULATION, READOUT, SPIKING, SYNAPSE, kind
from targets.graph.order import topological
from targets.run import Run

Floats = NDArray[np.floating]
# Sums of whole numbers are exact in float32 below this.
_EXACT_FLOAT32 = 2**24
# Nodes that move values and compute nothing.
_MOVES = (nir.Flatten, nir.Delay, nir.Output, nir.Input)
_STATELESS = (*LINEAR, nir.Threshold)


@dataclass(frozen=True, eq=False)
class LayerActivity:
    """What one stateless node computed.

    Attributes:
        node, kind: its name and NIR kind. A Threshold compares and does neither AC nor MAC.
        acs, macs: effective operations, [steps, samples].
        graded: whether any value of a step is other than -1, 0 and 1, [steps].
        dense: operations of one step of one sample if nothing were zero.
        synapses: nonzero weights, each place of a kernel counted.
    """

    node: str
    kind: str
    acs: Floats
    macs: Floats
    graded: NDArray[np.bool_]
    dense: int
    synapses: int


@dataclass(frozen=True, eq=False)
class LayerTable:
    """Every stateless node of a run, and the events of every Input and population.

    Attributes:
        layers: `{node: LayerActivity}`, each after what it reads in the same step.
        weighted: names of the nodes with weights: those that NeuroBench counts.
        events: `{Input or population: events [steps, samples]}`.
        neurons: `{population that fires: neurons}`.
        membrane_updates: `{population: updates [steps, samples] that changed the potential}` where
            the run kept states, else every neuron in every step.
    """

    layers: dict[str, LayerActivity]
    weighted: tuple[str, ...]
    events: dict[str, Floats]
    neurons: dict[str, int]
    membrane_updates: dict[str, Floats]
    steps: int
    samples: int

    @property
    def effective_acs(self) -> float:
        """Effective ACs of the nodes with weights, per sample; each value decides for itself."""
        return self._total("acs")

    @property
    def effective_macs(self) -> float:
        """Effective MACs of the nodes with weights, per sample; each value decides for itself."""
        return self._total("macs")

    @property
    def dense(self) -> float:
        """Operations of the nodes with weights if nothing were zero, per sample."""
        return float(sum(self.layers[name].dense for name in self.weighted) * self.steps)

    @property
    def activation_sparsity(self) -> float:
        """Share of neuron-steps without a spike."""
        fired = sum(float(self.events[name].sum()) for name in self.neurons)
        possible = sum(self.neurons.values()) * self.steps * self.samples
        return 1.0 - fired / possible if possible else 0.0

    def as_neurobench(self) -> dict[str, float]:
        """NeuroBench's names and rule: a step with one graded value counts as MACs altogether."""
        acs = macs = 0.0
        for layer in (self.layers[name] for name in self.weighted):
            total = (layer.acs + layer.macs).sum(axis=1)
            macs += float(total[layer.graded].sum())
            acs += float(total[~layer.graded].sum())
        return {
            "Effective_MACs": macs / self.samples,
            "Effective_ACs": acs / self.samples,
            "Dense": self.dense,
            "activation_sparsity": self.activation_sparsity,
            "membrane_updates": sum(float(n.sum()) for n in self.membrane_updates.values()) / self.samples,
        }

    def _total(self, key: str) -> float:
        return sum(float(getattr(self.layers[name], key).sum()) for name in self.weighted) / self.samples


def layers(graph: SpikingGraph, run: Run) -> LayerTable:
    """Operations of every stateless node of a run that recorded all Inputs and populations.

    Raises:
        DataError: a record is missing (the message lists what to record) or has another shape.
        GraphError: stateless nodes form a cycle without a population.
    """
    sources = (*graph.inputs, *graph.populations)
    values = _recorded(graph, run, sources)
    arriving = {name: values[name] for name in sources}
    found: dict[str, LayerActivity] = {}
    for name in _stateless_order(graph):
        given = _arriving(graph, name, arriving)
        node = graph.nodes[name]
        if not isinstance(node, _MOVES):
            found[name] = _count(graph, name, given)
        if _read_by_stateless(graph, name):
            arriving[name] = _apply(graph, name, given)
    fires = [name for name in graph.populations if not isinstance(graph.nodes[name], READOUT)]
    return LayerTable(
        layers=found,
        weighted=tuple(name for name in found if isinstance(graph.nodes[name], SYNAPSE)),
        events={name: _events(graph, name, values[name]) for name in (*graph.inputs, *fires)},
        neurons={name: values[name].shape[2] for name in fires},
        membrane_updates={name: _updates(run, name, values[name]) for name in graph.populations},
        steps=run.steps,
        samples=run.samples,
    )


def _recorded(graph: SpikingGraph, run: Run, names: tuple[str, ...]) -> dict[str, Floats]:
    missing = [name for name in names if name not in run.spikes]
    if missing:
        raise DataError(
            f"the run recorded nothing of {', '.join(missing)}; run with record={list(names)}, "
            "every Input and population"
        )
    found: dict[str, Floats] = {}
    for name in names:
        values, shape = np.asarray(run.spikes[name]), (run.steps, run.samples, *graph.shapes[name])
        if values.shape != shape:
            raise DataError(f"node {name!r}: found a record of shape {values.shape}, allowed {shape}")
        flat = values.reshape(run.steps, run.samples, -1)
        wide = flat.dtype == np.float64
        found[name] = flat.astype(np.float64 if wide else np.float32, copy=False)
    return found


def _updates(run: Run, name: str, spikes: Floats) -> Floats:
    if name not in run.states:
        return np.full(spikes.shape[:2], float(spikes.shape[2]))
    after = np.asarray(run.states[name]["v"]).reshape(spikes.shape)
    before = np.concatenate([np.zeros_like(after[:1]), after[:-1]])
    return _nonzero(after != before)


def _events(graph: SpikingGraph, name: str, values: Floats) -> Floats:
    return _row_sums(values) if _sends_spikes(graph, graph.nodes[name]) else _nonzero(values)


def _nonzero(values: NDArray[np.generic]) -> Floats:
    return _row_sums((values != 0).astype(np.float32))


def _row_sums(values: Floats) -> Floats:
    """Sums of the last axis of whole numbers; a product is several times as fast as counting."""
    ones = np.ones(values.shape[2], values.dtype)
    found = values.reshape(-1, len(ones)) @ ones
    return np.asarray(found.reshape(values.shape[:2]), dtype=np.float64)


@lru_cache(maxsize=8)
def _stateless_order(graph: SpikingGraph) -> tuple[str, ...]:
    inside = [name for name, node in graph.nodes.items() if not isinstance(node, (*POPULATION, nir.Input))]
    edges = [(a, b) for a, b in graph.edges if a in inside and b in inside]
    order = topological(inside, edges)
    if order is None:
        raise GraphError("a cycle of stateless nodes holds no population")
    return tuple(order)


def _arriving(graph: SpikingGraph, name: str, values: Mapping[str, Floats]) -> Floats:
    first, *rest = (values[source] for source in graph.predecessors[name])
    return sum(rest, first)


def _read_by_stateless(graph: SpikingGraph, name: str) -> bool:
    return any(a == name and not isinstance(graph.nodes[b], POPULATION) for a, b in graph.edges)


def _apply(graph: SpikingGraph, name: str, given: Floats) -> Floats:
    node = graph.nodes[name]
    if isinstance(node, nir.Threshold):
        limit = np.asarray(node.threshold, dtype=np.float32).astype(np.float64).reshape(-1)
        return (given > limit).astype(np.float64)
    if isinstance(node, nir.Delay):
        steps = min(graph.delay_steps(name), len(given))
        return np.concatenate([np.zeros_like(given[:steps]), given[: len(given) - steps]])
    if not isinstance(node, LINEAR):
        return given
    matrix, bias = _folded(graph, name)
    given = given.astype(np.float64)
    out = (matrix @ given.reshape(-1, given.shape[2]).T).T.reshape(*given.shape[:2], -1)
    return np.asarray(out if bias is None else out + bias)


@lru_cache(maxsize=64)
def _folded(graph: SpikingGraph, name: str) -> tuple[csr_matrix, Floats | None]:
    matrix, bias = fold(graph.nodes[name], graph.input_shape(name))
    return matrix, bias


@lru_cache(maxsize=64)
def _fan_out(graph: SpikingGraph, name: str) -> tuple[Floats, int]:
    """Nonzero weights that each input value meets, and all taps of the node."""
    matrix, _ = _folded(graph, name)
    entries = matrix.indices[matrix.data != 0]
    node, taps = graph.nodes[name], int(matrix.nnz)
    if isinstance(node, nir.Affine | nir.Linear):  # the fold of a dense node drops its zeros
        taps = int(np.prod(matrix.shape)) // int(np.prod(graph.input_shape(name)[:-1]))
    return np.bincount(entries, minlength=matrix.shape[1]).astype(np.float64), taps


def _reads_spikes(graph: SpikingGraph, name: str) -> bool:
    """Whether a node reads one population that sends 0 or 1, so that no value has to be looked at."""
    sources = [graph.nodes[source] for source in graph.predecessors[name]]
    return len(sources) == 1 and _sends_spikes(graph, sources[0])


def _sends_spikes(graph: SpikingGraph, node: nir.NIRNode) -> bool:
    return isinstance(node, SPIKING) and graph.profile.spikes_per_step == "one"


def _count(graph: SpikingGraph, name: str, given: Floats) -> LayerActivity:
    node, steps, size = graph.nodes[name], len(given), given.reshape(-1, given.shape[2])
    none = np.zeros(given.shape[:2])
    spikes_only = _reads_spikes(graph, name)
    if not spikes_only:
        size = np.abs(size)
        spikes_only = bool(np.array_equal(size * size, size))  # 0 and 1 are their own squares
    unit = size if spikes_only else size == 1
    other = none if spikes_only else (size != 0) & (size != 1)
    graded = np.asarray(other.reshape(steps, -1).any(axis=1))
    if isinstance(node, nir.Threshold):
        return LayerActivity(name, kind(node), none, none, graded, 0, 0)
    fan_out, taps = _fan_out(graph, name)
    synapses = int(fan_out.sum())
    small = synapses < _EXACT_FLOAT32 and given.dtype == np.float32
    weights = fan_out.astype(np.float32) if small else fan_out
    acs = (unit @ weights).reshape(none.shape).astype(np.float64)
    macs = none if spikes_only else (other @ weights).reshape(none.shape).astype(np.float64)
    if isinstance(node, nir.Scale | nir.AvgPool2d):  # their weight is a factor, so every value multiplies
        acs, macs = none, acs + macs
    return LayerActivity(name, kind(node), acs, macs, graded, taps, synapses)
