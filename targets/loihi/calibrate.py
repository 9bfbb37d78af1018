"""Formats chosen on data: the scale of each population, and bits and exponent of each hop.

Population by population, the formats of least error in the current are proposed, and one of them is
taken if the spike counts of the lowered network's outputs, on the same data, come no further from
those of the float network. So the result measures no worse than what was given.

The error in the current is the mean square, over recorded spikes of a hop's source and over neurons,
of what rounding changes in the summed current, in thresholds. A smaller exponent clips the largest
weights and rounds the others finer, which pays where few weights are large. That error alone is a
poor judge: errors of one sign in a few weights move rates more than larger ones of both signs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.graph.graph import SpikingGraph
from targets.graph.hops import Hop, fold_graph
from targets.loihi import limits
from targets.loihi.formats import Formats, HopFormat, HopKey, key
from targets.loihi.lower import lower, relowered
from targets.loihi.normalise import normalise
from targets.loihi.program import Program
from targets.loihi.rounding import round_weights, sign_mode
from targets.loihi.scale import Normalised, choose_scale, exponent_for, largest, largest_scale, weight_limit
from targets.loihi.simulator import LoihiExecutable
from targets.reference.target import ReferenceOptions, ReferenceTarget
from targets.run import Run

Floats = NDArray[np.float64]
# Samples of the spikes and rows of a matrix that errors are measured on.
_SAMPLES = 256
_ROWS = 256
# Exponents below the smallest that clips nothing.
_CLIPPING = 3
# Scales are tried in quarter octaves around the one that clips nothing.
_SCALES = 2.0 ** (np.arange(-4, 13) / 4)
# Mean square errors, in squared thresholds, that count as equal.
_TIE = 2.0**-32
# Formats tried on the outputs, a population; more would fit the noise of the data.
_PROPOSALS = 3


@dataclass(frozen=True)
class _Sampled:
    """A hop on the sampled rows and spikes: `matrix` [rows, source], `spikes` [source, samples]."""

    hop: Hop
    matrix: csr_matrix
    spikes: Floats
    sign: str
    largest: float

    def error(self, scale: float, form: HopFormat) -> float:
        """Mean square change of the current, in squared thresholds."""
        stored, exponent = round_weights(self.matrix.data * scale, self.sign, form.bits, form.exponent)
        held = (stored << exponent) / max(1, round(scale))
        changed = csr_matrix(
            (held - self.matrix.data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape
        )
        return float(np.mean((changed @ self.spikes) ** 2)) if self.matrix.shape[0] else 0.0

    def best(self, scale: float, widths: Sequence[int]) -> tuple[float, HopFormat]:
        """Least error and its format; the fewest bits, then the larger exponent, win a tie."""
        found = [(self.error(scale, form), form) for form in self._forms(scale, widths)]
        least = min(error for error, _ in found)
        return next((error, form) for error, form in found if error <= least + _TIE)

    def _forms(self, scale: float, widths: Sequence[int]) -> Iterator[HopFormat]:
        for bits in widths:
            limit = weight_limit(self.sign, bits)
            fits = exponent_for(self.largest * scale, limit)
            for exponent in range(fits, max(-1, fits - 1 - _CLIPPING), -1):
                yield HopFormat(bits, min(exponent, limits.WEIGHT_EXPONENT_MAX))


@dataclass(frozen=True)
class _Proposal:
    """Formats of one population and the hops into it; `error` and `bits` are summed over the hops."""

    error: float
    bits: int
    scale: float
    hops: tuple[tuple[HopKey, HopFormat], ...]

    def added(self, to: Formats, name: str) -> Formats:
        """`to` with these for population `name`."""
        named = {hop for hop, _ in self.hops}
        return replace(
            to,
            scales=(*(found for found in to.scales if found[0] != name), (name, self.scale)),
            hops=(*(found for found in to.hops if found[0] not in named), *self.hops),
        )


def calibrated(graph: SpikingGraph, x: NDArray[np.generic], given: Formats, auto_bits: bool) -> Formats:
    """`given` with what was taken for each population.

    Args:
        x: input [T, B, *input].
        auto_bits: choose the bits of every hop as well; the fewest of equal error.

    Raises:
        UnsupportedNodeError: the graph cannot be lowered with `given`.
        DataError: `x` does not fit the Input or holds no spikes.
    """
    read = (*graph.inputs, *graph.populations)
    wanted = ReferenceTarget().compile(graph, ReferenceOptions()).run(x, read)
    chosen, program = given, lower(graph, given)
    least = _distance(program, x, wanted)
    for name in graph.populations:
        best = chosen, program
        for place, proposal in enumerate(_proposals(graph, name, wanted, given, auto_bits)):
            formats = proposal.added(chosen, name)
            changed = relowered(program, name, formats)
            distance = np.inf if changed is None else _distance(changed, x, wanted)
            # Where outputs do not tell, the first, which has the least error in the current, is taken.
            if changed is not None and (distance < least or (place == 0 and distance == least)):
                best, least = (formats, changed), distance
        chosen, program = best
    return chosen


def _distance(program: Program, x: NDArray[np.generic], wanted: Run) -> float:
    """Mean square difference of the spike counts of a sample's output neurons, summed over the outputs."""
    # Dense products need no tables, which would take longer to make than the run takes.
    found = LoihiExecutable(program, products="dense").run(x).outputs
    counts = [[run[n].sum(axis=0, dtype=np.float64) for run in (found, wanted.outputs)] for n in found]
    return float(sum(np.mean((fixed - exact) ** 2) for fixed, exact in counts))


def _proposals(
    graph: SpikingGraph, name: str, wanted: Run, given: Formats, auto_bits: bool
) -> list[_Proposal]:
    """What to try for population `name`, by the error in its current; among equals the fewest bits first."""
    folding = fold_graph(graph)
    units = normalise(graph, name, folding)
    into = [hop for hop in folding.hops if hop.target == name]
    sampled = [
        _sampled(hop, matrix, wanted.spikes[hop.source]) for hop, matrix in zip(into, units.hops, strict=True)
    ]
    widths = [_widths(s.sign) if auto_bits else [given.of(s.hop).bits] for s in sampled]
    found = []
    for scale in _candidates(units, sampled, widths):
        best = [s.best(scale, w) for s, w in zip(sampled, widths, strict=True)]
        error, bits = sum(e for e, _ in best), sum(form.bits for _, form in best)
        forms = tuple((key(s.hop), form) for s, (_, form) in zip(sampled, best, strict=True))
        found.append(_Proposal(error, bits, scale, forms))
    return sorted(found, key=lambda p: (p.error // _TIE, p.bits))[:_PROPOSALS]


def _candidates(
    units: Normalised, sampled: Sequence[_Sampled], widths: Sequence[Sequence[int]]
) -> list[float]:
    """Scales to try: those that clip nothing at each width, and steps around the first."""
    signs, bound = [s.sign for s in sampled], largest_scale(units)
    count = max((len(w) for w in widths), default=1)
    plain = [choose_scale(units, signs, [w[max(len(w) - 1 - i, 0)] for w in widths]) for i in range(count)]
    return list(dict.fromkeys(min(float(s), bound) for s in (*plain, *(plain[0] * _SCALES))))


def _widths(sign: str) -> list[int]:
    return [bits for bits in limits.WEIGHT_BITS if bits > 1 or sign != "mixed"]


def _sampled(hop: Hop, matrix: csr_matrix, sent: NDArray[np.generic]) -> _Sampled:
    rows = csr_matrix(matrix[_spread(matrix.shape[0], _ROWS)])
    flat = np.asarray(sent, dtype=np.float64).reshape(-1, matrix.shape[1])
    spikes = flat[_spread(len(flat), _SAMPLES)].T
    return _Sampled(hop, rows, spikes, sign_mode(matrix.data), largest(matrix))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` places, evenly apart."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
