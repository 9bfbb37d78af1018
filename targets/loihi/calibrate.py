"""Formats chosen on data: the scale of each population, and bits and exponent of each hop, of least error.

The error of a hop is the mean square, over recorded spikes of its source and over neurons, of what
rounding changes in the summed current, in thresholds. A smaller exponent clips the largest weights
and rounds the others finer, which pays where few weights are large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.graph.graph import SpikingGraph
from targets.graph.hops import Hop, fold_graph
from targets.loihi import limits
from targets.loihi.formats import Formats, HopFormat, HopKey, key
from targets.loihi.normalise import normalise
from targets.loihi.rounding import round_weights, sign_mode
from targets.loihi.scale import Normalised, choose_scale, exponent_for, largest, largest_scale, weight_limit

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


def calibrated(
    graph: SpikingGraph, sent: Mapping[str, NDArray[np.generic]], given: Formats, auto_bits: bool
) -> Formats:
    """`given` with the scale of every population and the exponent of every hop of least error.

    Args:
        sent: `{Input or population: [N, neurons]}`, what it sent in N steps of the float network.
        auto_bits: choose the bits of every hop as well; the fewest of equal error.
    """
    folding = fold_graph(graph)
    scales: list[tuple[str, float]] = []
    hops: list[tuple[HopKey, HopFormat]] = []
    for name in graph.populations:
        units = normalise(graph, name, folding)
        into = [hop for hop in folding.hops if hop.target == name]
        sampled = [
            _sampled(hop, matrix, sent[hop.source]) for hop, matrix in zip(into, units.hops, strict=True)
        ]
        widths = [_widths(s.sign) if auto_bits else [given.of(s.hop).bits] for s in sampled]
        scale, forms = _least(units, sampled, widths)
        scales.append((name, scale))
        hops += [(key(s.hop), form) for s, form in zip(sampled, forms, strict=True)]
    return replace(given, scales=tuple(scales), hops=tuple(hops))


def _least(
    units: Normalised, sampled: Sequence[_Sampled], widths: Sequence[Sequence[int]]
) -> tuple[float, list[HopFormat]]:
    """Scale and formats of least summed error; the first of equal candidates."""
    best: tuple[float, int, float, list[HopFormat]] | None = None
    for scale in _candidates(units, sampled, widths):
        found = [s.best(scale, w) for s, w in zip(sampled, widths, strict=True)]
        error, bits = sum(e for e, _ in found), sum(form.bits for _, form in found)
        if best is None or error < best[0] - _TIE or (error <= best[0] + _TIE and bits < best[1]):
            best = (error, bits, scale, [form for _, form in found])
    assert best is not None
    return best[2], best[3]


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
    flat = np.asarray(sent, dtype=np.float64).reshape(len(sent), -1)
    spikes = flat[_spread(len(flat), _SAMPLES)].T
    return _Sampled(hop, rows, spikes, sign_mode(matrix.data), largest(matrix))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` places, evenly apart."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
