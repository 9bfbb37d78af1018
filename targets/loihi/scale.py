"""Scale choice: how many chip units one threshold is worth, per population.

Contract: for the scale k that comes back, no sum of inputs can wrap a 24-bit current, the threshold
and the biases fit their fields, and every hop's weights fit 8 bits at an exponent of at most 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.errors import ConfigError
from targets.loihi import limits

# A threshold of 2^12 units leaves the membrane a range of 32 thresholds to both sides.
_THRESHOLD_AIM = 2**12
# Rounding moves a weight by at most half a step; this share of the range is kept for it.
_HEADROOM = 0.98


@dataclass(frozen=True)
class Normalised:
    """A population in units of its own threshold.

    Attributes:
        hops: float64 [target, source] of each hop into it.
        bias_u, bias_v: float64 [K, neurons], constant input to the current and to the membrane.
        decay, decay_synapse: kept shares of v and u in one step (1 and 0 where absent), one number or
            [neurons].
    """

    hops: tuple[csr_matrix, ...]
    bias_u: NDArray[np.float64]
    bias_v: NDArray[np.float64]
    decay: NDArray[np.float64] | float
    decay_synapse: NDArray[np.float64] | float


def largest(matrix: csr_matrix) -> float:
    """Largest magnitude of a matrix's entries; 0 where it has none."""
    return float(abs(matrix.data).max()) if matrix.nnz else 0.0


def weight_step(sign: str, bits: int) -> int:
    """Distance of stored weights: the core keeps the upper `bits` of 8, one less where one is the sign.

    Raises:
        ConfigError: one bit for weights of both signs.
    """
    if sign == "mixed" and bits < 2:
        raise ConfigError(f"weight_bits: found {bits}, allowed 2 to 8 where weights have both signs")
    return int(2 ** (8 - bits)) * (2 if sign == "mixed" else 1)


def weight_limit(sign: str, bits: int) -> int:
    """Largest stored weight."""
    step = weight_step(sign, bits)
    return 255 // step * step


def choose_scale(population: Normalised, signs: Sequence[str], bits: int | Sequence[int]) -> float:
    """Chip units of one threshold: the finest that keeps the contract; below 1 none does.

    Args:
        signs, bits: weight format of each hop; one number of bits serves them all.
    """
    widths = [bits] * len(signs) if isinstance(bits, int) else bits
    finest = [
        weight_limit(sign, width) / largest(matrix)
        for matrix, sign, width in zip(population.hops, signs, widths, strict=True)
        if matrix.nnz
    ]
    bounds = [largest_scale(population)]
    if finest:
        bounds += [max(finest), min(finest) * 2**limits.WEIGHT_EXPONENT_MAX]
    return min(bounds)


def largest_scale(population: Normalised) -> float:
    """Bound of the scale that the current, the threshold and the biases set, weights aside."""
    bounds = [float(_THRESHOLD_AIM)]
    total = np.abs(population.bias_u).max(axis=0)
    for matrix in population.hops:
        total = total + np.asarray(abs(matrix).sum(axis=1)).ravel()
    remaining = 1.0 - float(np.max(population.decay_synapse))
    if total.max(initial=0.0) > 0 and remaining > 0:
        bounds.append(_HEADROOM * limits.SUM_MAX * remaining / float(total.max()))
    drive = float(np.abs(population.bias_v).max(initial=0.0))
    if drive > 0:
        widest = limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX
        bounds.append(widest / (drive * 2**limits.STATE_SHIFT))
    return min(bounds)


def exponent_for(magnitude: float, limit: float) -> int:
    """Smallest exponent >= 0 at which `magnitude` fits `limit`."""
    return max(0, math.ceil(math.log2(magnitude / limit))) if magnitude > limit else 0
