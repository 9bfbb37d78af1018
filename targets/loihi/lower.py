"""Lowering: a SpikingGraph to the integers of Loihi cores, by explicit passes.

normalise.py  units of the threshold      scale.py     units of the chip
rounding.py   integers in their fields    align.py     clock offsets and axonal delays
formats.py    bits and exponents          calibrate.py formats of least error on data
table.py      what became of each parameter
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.errors import UnsupportedNodeError
from targets.graph.dynamics import dynamics
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Folding, Hop, fold_graph
from targets.graph.shapes import Shape
from targets.loihi import limits
from targets.loihi.align import Alignment, align
from targets.loihi.formats import Formats, HopFormat, formats, own_formats
from targets.loihi.normalise import normalise, refusals, row_scale, subtracts
from targets.loihi.program import FixedHop, FixedPopulation, Integers, LoweredRow, Program
from targets.loihi.rounding import (
    current_decay_field,
    decay_field,
    round_membrane_bias,
    round_source_bias,
    round_weights,
    sign_mode,
)
from targets.loihi.scale import Normalised, choose_scale
from targets.loihi.table import rows
from targets.target import Refusal, listed


def lower(
    graph: SpikingGraph, weight_bits: int | Mapping[tuple[str, str], int] | Formats | None = None
) -> Program:
    """Lower `graph`.

    Args:
        weight_bits: 1 to 8 for every hop, or `{(source, target): bits}` with 8 for the others, or
            formats, such as those of `calibrate.calibrated`; by default those that the graph names itself.

    Raises:
        UnsupportedNodeError: with every reason at once.
        ConfigError: `weight_bits` out of range or of no hop.
    """
    if weight_bits is None:
        chosen = own_formats(graph)
    elif isinstance(weight_bits, int):
        chosen = Formats(HopFormat(weight_bits))
    elif isinstance(weight_bits, Formats):
        chosen = weight_bits
    else:
        chosen = formats(fold_graph(graph), weight_bits)
    program, problems = attempt(graph, chosen)
    if program is None:
        raise UnsupportedNodeError("loihi cannot hold this graph:\n" + listed(problems))
    return program


@lru_cache(maxsize=4)
def attempt(graph: SpikingGraph, chosen: Formats) -> tuple[Program | None, tuple[Refusal, ...]]:
    """The lowered graph, or every reason why there is none."""
    problems = refusals(graph)
    if problems:
        return None, tuple(problems)
    folding = fold_graph(graph)
    alignment = align(folding, graph.inputs)
    parts = [_lower_population(graph, name, folding, alignment, chosen) for name in graph.populations]
    problems = [problem for part in parts for problem in part.problems]
    if problems:
        return None, tuple(problems)
    hops = {i: hop for part in parts for i, hop in part.hops.items()}
    program = Program(
        graph=graph,
        populations=tuple(part.population for part in parts),
        hops=tuple(hops[i] for i in sorted(hops)),
        inputs={name: graph.shapes[name] for name in graph.inputs},
        outputs={name: graph.predecessors[name][0] for name in graph.outputs},
        drain=alignment.drain,
        table=tuple(row for part in parts for row in part.table),
    )
    return program, ()


def relowered(program: Program, name: str, chosen: Formats) -> Program | None:
    """`program` with population `name` and its hops in the formats `chosen`; None where they do not fit."""
    graph, folding = program.graph, fold_graph(program.graph)
    part = _lower_population(graph, name, folding, align(folding, graph.inputs), chosen)
    if part.problems:
        return None
    return replace(
        program,
        populations=tuple(part.population if p.name == name else p for p in program.populations),
        hops=tuple(part.hops.get(i, hop) for i, hop in enumerate(program.hops)),
        table=(*(row for row in program.table if row.node != name), *part.table),
    )


@dataclass(frozen=True)
class _Lowered:
    """One population with the hops into it, by their place in the folding, and what does not fit."""

    population: FixedPopulation
    hops: dict[int, FixedHop]
    table: tuple[LoweredRow, ...]
    problems: tuple[Refusal, ...]


def _lower_population(
    graph: SpikingGraph, name: str, folding: Folding, alignment: Alignment, chosen: Formats
) -> _Lowered:
    into = [i for i, hop in enumerate(folding.hops) if hop.target == name]
    units = normalise(graph, name, folding)
    signs = ["mixed" if chosen.mixed else sign_mode(matrix.data) for matrix in units.hops]
    forms = [chosen.of(folding.hops[i]) for i in into]
    scale = dict(chosen.scales).get(name) or choose_scale(units, signs, [form.bits for form in forms])
    hops = {
        i: _hop(graph, folding.hops[i], matrix, scale, (sign, form), alignment.axonal_delays[i])
        for i, matrix, sign, form in zip(into, units.hops, signs, forms, strict=True)
    }
    bias_v = round_membrane_bias(units.bias_v * scale * 2**limits.STATE_SHIFT, chosen.least_bias_exponent)
    population = _population(graph, name, units, scale, bias_v, alignment.offsets[name])
    table = rows(population, units, scale, zip(hops.values(), units.hops, strict=True))
    return _Lowered(population, hops, tuple(table), tuple(overflows(population, list(hops.values()))))


def _population(
    graph: SpikingGraph, name: str, units: Normalised, scale: float, bias_v: Integers, offset: int
) -> FixedPopulation:
    current_based = isinstance(graph.nodes[name], nir.CubaLIF)
    return FixedPopulation(
        name=name,
        shape=graph.shapes[name],
        du=_field(current_decay_field(units.decay_synapse)) if current_based else limits.NO_SYNAPTIC_MEMORY,
        dv=_field(decay_field(units.decay)),
        vth=round(scale),
        bias_u=round_source_bias(units.bias_u * scale),
        bias_v=bias_v,
        offset=offset,
        subtract=subtracts(dynamics(graph, name)),
    )


def _field(values: Integers) -> int | Integers:
    """One number where all neurons share it."""
    return int(values.flat[0]) if (values == values.flat[0]).all() else values


def _hop(
    graph: SpikingGraph,
    hop: Hop,
    matrix: csr_matrix,
    scale: float,
    form: tuple[str, HopFormat],
    delay: int,
) -> FixedHop:
    sign, bits, asked = form[0], form[1].bits, form[1].exponent
    convolution = _convolution(graph, hop)
    kernel: NDArray[np.int64] | None = None
    if convolution is not None:
        node = copy.copy(graph.nodes[convolution])
        gain = row_scale(dynamics(graph, hop.target))[0]
        weight = np.asarray(node.weight, dtype=np.float64) * _used_taps(node, graph.shapes[hop.source])
        kernel, exponent = round_weights(weight * gain * scale, sign, bits, asked)
        node.weight = kernel
        fixed = csr_matrix(fold(node, graph.shapes[hop.source])[0])
    else:
        stored, exponent = round_weights(matrix.data * scale, sign, bits, asked)
        fixed = csr_matrix((stored, matrix.indices, matrix.indptr), shape=matrix.shape)
    fixed = csr_matrix(fixed.astype(np.int32))
    fixed.eliminate_zeros()
    fixed.sort_indices()
    return FixedHop(hop.source, hop.target, fixed, exponent, hop.delay, delay, sign, convolution, kernel)


def _convolution(graph: SpikingGraph, hop: Hop) -> str | None:
    """The convolution that is the whole hop, delays aside, where one kernel serves all its neurons."""
    nodes = [n for n in hop.path if not isinstance(graph.nodes[n], nir.Delay)]
    if len(nodes) != 1 or not isinstance(graph.nodes[nodes[0]], nir.Conv1d | nir.Conv2d):
        return None
    gains = row_scale(dynamics(graph, hop.target))
    return nodes[0] if (gains == gains[0]).all() else None


def _used_taps(node: nir.Conv1d | nir.Conv2d, shape: Shape) -> NDArray[np.bool_]:
    """Kernel taps [*kernel] that meet a pixel; the others are no synapses and take no range."""
    size = node.weight.shape[2:]
    probe = copy.copy(node)
    probe.weight = np.arange(1, np.prod(size) + 1, dtype=np.float64).reshape(1, 1, *size)
    probe.bias, probe.groups = np.zeros(1), 1
    return np.isin(probe.weight[0, 0], fold(probe, (1, *shape[1:]))[0].data)


def overflows(population: FixedPopulation, hops: list[FixedHop]) -> Iterator[Refusal]:
    """What leaves its field, wraps a 24-bit current, or exceeds float32's exact integers."""
    name = population.name
    if not 1 <= population.vth <= limits.THRESHOLD_MAX:
        hint = "weights or biases are too large beside the threshold"
        yield Refusal(name, f"threshold is {population.vth}, allowed 1 to {limits.THRESHOLD_MAX}", hint)
    widest = limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX
    if np.abs(population.bias_v).max() > widest:
        hint = "it is too large beside the threshold: scale it down"
        yield Refusal(name, f"bias is {np.abs(population.bias_v).max()}, allowed {widest}", hint)
    total = np.abs(population.bias_u).max(axis=0)
    for hop in hops:
        sums = np.asarray(abs(hop.matrix).sum(axis=1)).ravel().astype(np.int64)
        if hop.exponent > limits.WEIGHT_EXPONENT_MAX:
            reason = f"weights from {hop.source!r} need exponent {hop.exponent}"
            hint = "they are too large beside the other weights or the threshold: scale them down"
            yield Refusal(name, f"{reason}, allowed {limits.WEIGHT_EXPONENT_MAX}", hint)
        if sums.max(initial=0) >= limits.EXACT_FLOAT32:
            reason = f"a sum from {hop.source!r} can reach {sums.max()}, allowed < 2^24"
            yield Refusal(name, reason, "reduce the fan-in")
        total = total + (sums << hop.exponent)
    # Nothing is kept at du = 4095, and what is kept adds up.
    lost = (np.asarray(population.du) + 1) / limits.DECAY_ONE
    worst = float((total / lost).max(initial=0))
    if worst > limits.SUM_MAX:
        reason = f"its current can reach {worst:.0f}, allowed {limits.SUM_MAX} before it wraps"
        yield Refusal(name, reason, "reduce the fan-in, the weights or tau_syn")
