"""Lowering: a SpikingGraph to the integers of Loihi cores, by explicit passes.

normalise.py  units of the threshold      scale.py     units of the chip
rounding.py   integers in their fields    align.py     clock offsets and axonal delays
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.errors import ConfigError, GraphError, UnsupportedNodeError
from targets.graph.dynamics import dynamics
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Hop, fold_graph
from targets.loihi import limits
from targets.loihi.align import align
from targets.loihi.normalise import normalise, refusals, row_scale
from targets.loihi.program import FixedHop, FixedPopulation, LoweredRow, Program
from targets.loihi.rounding import (
    decay_field,
    round_membrane_bias,
    round_source_bias,
    round_weights,
    sign_mode,
)
from targets.loihi.scale import Normalised, choose_scale
from targets.target import listed


def lower(graph: SpikingGraph, weight_bits: int = 8) -> Program:
    """Lower `graph`.

    Args:
        weight_bits: 1 to 8, for every hop.

    Raises:
        UnsupportedNodeError: with every reason at once.
        ConfigError: `weight_bits` out of range.
    """
    if weight_bits not in limits.WEIGHT_BITS:
        raise ConfigError(f"weight_bits: found {weight_bits}, allowed 1 to 8")
    problems = refusals(graph)
    if problems:
        raise UnsupportedNodeError("loihi cannot hold this graph:\n" + listed(problems))
    folding = fold_graph(graph)
    alignment = align(folding, graph.inputs)
    populations: list[FixedPopulation] = []
    hops: dict[int, FixedHop] = {}
    table: list[LoweredRow] = []
    for name in graph.populations:
        into = [i for i, hop in enumerate(folding.hops) if hop.target == name]
        units = normalise(graph, name, folding)
        scale = choose_scale(units, [sign_mode(matrix.data) for matrix in units.hops])
        for i, matrix in zip(into, units.hops, strict=True):
            delay = alignment.axonal_delays[i]
            hops[i] = _hop(graph, folding.hops[i], matrix, scale, weight_bits, delay)
        population = _population(graph, name, units, scale, alignment.offsets[name])
        _prove_sums(population, [hops[i] for i in into])
        populations.append(population)
        table.extend(
            _rows(population, units, scale, [(hops[i], m) for i, m in zip(into, units.hops, strict=True)])
        )
    return Program(
        graph=graph,
        populations=tuple(populations),
        hops=tuple(hops[i] for i in sorted(hops)),
        inputs={name: graph.shapes[name] for name in graph.inputs},
        outputs={name: graph.predecessors[name][0] for name in graph.outputs},
        drain=alignment.drain,
        table=tuple(table),
    )


def _population(
    graph: SpikingGraph, name: str, units: Normalised, scale: float, offset: int
) -> FixedPopulation:
    current_based = isinstance(graph.nodes[name], nir.CubaLIF)
    return FixedPopulation(
        name=name,
        shape=graph.shapes[name],
        # The chip adds one to du, so that du = 0 still decays by 1 / 4096.
        du=max(0, decay_field(units.decay_synapse) - 1) if current_based else limits.NO_SYNAPTIC_MEMORY,
        dv=decay_field(units.decay),
        vth=round(scale),
        bias_u=round_source_bias(units.bias_u * scale),
        bias_v=round_membrane_bias(units.bias_v * scale * 2**limits.STATE_SHIFT),
        offset=offset,
    )


def _hop(graph: SpikingGraph, hop: Hop, matrix: csr_matrix, scale: float, bits: int, delay: int) -> FixedHop:
    sign = sign_mode(matrix.data)
    convolution = _convolution(graph, hop)
    kernel: NDArray[np.int64] | None = None
    if convolution is not None:
        node = copy.copy(graph.nodes[convolution])
        rows = row_scale(dynamics(graph, hop.target))
        kernel, exponent = round_weights(
            np.asarray(node.weight, dtype=np.float64) * rows[0] * scale, sign, bits
        )
        node.weight = kernel
        fixed = csr_matrix(fold(node, graph.shapes[hop.source])[0])
    else:
        stored, exponent = round_weights(matrix.data * scale, sign, bits)
        fixed = csr_matrix((stored, matrix.indices, matrix.indptr), shape=matrix.shape)
    fixed = csr_matrix(fixed.astype(np.int32))
    fixed.eliminate_zeros()
    fixed.sort_indices()
    return FixedHop(hop.source, hop.target, fixed, exponent, hop.delay, delay, sign, convolution, kernel)


def _convolution(graph: SpikingGraph, hop: Hop) -> str | None:
    """The Conv2d that is the whole hop, delays aside, where one kernel serves all its neurons."""
    nodes = [n for n in hop.path if not isinstance(graph.nodes[n], nir.Delay)]
    if len(nodes) != 1 or not isinstance(graph.nodes[nodes[0]], nir.Conv2d):
        return None
    rows = row_scale(dynamics(graph, hop.target))
    return nodes[0] if (rows == rows[0]).all() else None


def _prove_sums(population: FixedPopulation, hops: list[FixedHop]) -> None:
    """No sum of the inputs wraps a 24-bit current or leaves float32's exact integers."""
    total = np.abs(population.bias_u).max(axis=0)
    for hop in hops:
        rows = np.asarray(abs(hop.matrix).sum(axis=1)).ravel().astype(np.int64)
        if rows.max(initial=0) >= limits.EXACT_FLOAT32:
            raise GraphError(
                f"hop {hop.source!r} -> {hop.target!r}: a sum can reach {rows.max()}, allowed < 2^24"
            )
        total = total + (rows << hop.exponent)
    kept = 0.0 if population.du == limits.NO_SYNAPTIC_MEMORY else 1 - (population.du + 1) / limits.DECAY_ONE
    worst = float(total.max(initial=0)) / (1.0 - kept)
    if worst > limits.SUM_MAX:
        raise GraphError(
            f"population {population.name!r}: its current can reach {worst:.0f}, allowed {limits.SUM_MAX} "
            "before it wraps; reduce the fan-in or tau_syn"
        )


def _rows(
    population: FixedPopulation,
    units: Normalised,
    scale: float,
    hops: list[tuple[FixedHop, csr_matrix]],
) -> Iterator[LoweredRow]:
    name = population.name
    yield _row(name, "threshold", 1.0, population.vth, scale)
    yield _row(name, "decay", units.decay, limits.DECAY_ONE - population.dv, limits.DECAY_ONE)
    if population.du != limits.NO_SYNAPTIC_MEMORY:
        kept = limits.DECAY_ONE - population.du - 1
        yield _row(name, "decay_synapse", units.decay_synapse, kept, limits.DECAY_ONE)
    for hop, matrix in hops:
        difference = hop.matrix.astype(np.float64) * 2.0**hop.exponent - matrix * scale
        largest = float(abs(matrix.data).max()) if matrix.nnz else 0.0
        worst = float(abs(difference.data).max()) if difference.nnz else 0.0
        stored = int(abs(hop.matrix.data).max()) if hop.matrix.nnz else 0
        error = worst / (largest * scale) if largest else 0.0
        yield LoweredRow(name, f"weight from {hop.source}", largest, stored, scale / 2**hop.exponent, error)


def _row(node: str, parameter: str, value: float, fixed: int, scale: float) -> LoweredRow:
    error = abs(fixed / scale - value) / abs(value) if value else abs(fixed / scale)
    return LoweredRow(node, parameter, value, fixed, scale, error)
