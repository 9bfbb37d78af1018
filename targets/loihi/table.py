"""The table of a lowering: each parameter, its float value, the integer that a core stores, and the error.

Weights and biases are in thresholds of their population, decays are the share that one step keeps. Of many
values a row shows the largest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.loihi import limits
from targets.loihi.program import FixedHop, FixedPopulation, Integers, LoweredRow, hardware_populations
from targets.loihi.scale import Normalised


def rows(
    population: FixedPopulation,
    units: Normalised,
    scale: float,
    hops: Iterable[tuple[FixedHop, csr_matrix]],
) -> Iterator[LoweredRow]:
    """What lowering did to a population and to the hops into it.

    Args:
        scale: chip units of one threshold.
        hops: with the matrix of each in thresholds.
    """
    name, one = population.name, np.ones(1)
    yield _row(name, "threshold", one, np.array([population.vth]), scale)
    yield from _decays(population, units)
    for part, exact, held, unit in (
        ("bias of the current", units.bias_u, population.bias_u, scale),
        ("bias of the membrane", units.bias_v, population.bias_v, scale * 2**limits.STATE_SHIFT),
    ):
        if exact.any():
            yield _row(name, part, exact, held, unit)
    for hop, matrix in hops:
        difference = hop.matrix.astype(np.float64) * 2.0**hop.exponent - matrix * scale
        largest = float(abs(matrix.data).max(initial=0.0))
        worst = float(abs(difference.data).max(initial=0.0))
        yield LoweredRow(
            node=name,
            parameter=f"weight from {hop.source}" + (f", delay {hop.delay}" if hop.delay else ""),
            value=largest,
            fixed=int(abs(hop.matrix.data).max(initial=0)),
            scale=scale / 2**hop.exponent,
            error=worst / (largest * scale) if largest else 0.0,
            count=matrix.nnz,
        )


def _decays(population: FixedPopulation, units: Normalised) -> Iterator[LoweredRow]:
    """A row for each hardware population and each decay that it has."""
    groups = hardware_populations(population)
    for i, neurons in enumerate(groups):
        group = f", group {i} of {len(groups)}" if len(groups) > 1 else ""
        for parameter, exact, field, added in (
            ("decay", units.decay, population.dv, 0),
            ("decay_synapse", units.decay_synapse, population.du, 1),
        ):
            value, lost = _of(exact, neurons), _of(field, neurons) + added
            if parameter == "decay" or np.any(population.du != limits.NO_SYNAPTIC_MEMORY):
                kept = limits.DECAY_ONE - lost.astype(np.int64)
                yield _row(population.name, parameter + group, value, kept, limits.DECAY_ONE)


def _of(values: Any, neurons: Integers) -> NDArray[Any]:
    """The values of some neurons; one for all where they share it."""
    found = np.asarray(values)
    return found.reshape(1) if found.ndim == 0 else found[neurons]


def _row(node: str, parameter: str, exact: NDArray[Any], held: NDArray[Any], scale: float) -> LoweredRow:
    """The largest value, and the largest error in shares of it."""
    at = int(np.abs(exact).argmax())
    largest = float(np.abs(exact).flat[at])
    worst = float(np.abs(held / scale - exact).max())
    return LoweredRow(
        node,
        parameter,
        float(exact.flat[at]),
        int(held.flat[at]),
        scale,
        worst / (largest or 1.0),
        exact.size,
    )
