"""RDM fitness: how differently the untrained network answers different samples.

The representational dissimilarity matrix of a population at one step holds the Manhattan distances
between the binary spike patterns of B samples. Its sum needs no matrix: neuron n, firing for c_n of
the samples, differs in c_n (B - c_n) unordered pairs, so

    sum_ij ||x_i - x_j||_1 = 2 sum_n c_n (B - c_n)        O(B N), exact

    fitness = mean over populations and steps of  2 sum_n c_n (B - c_n) / (N B^2)      in [0, 0.5]

Labels are never used. The released code of MSE-NAS (Pan et al., arXiv 2304.10749) codes the same sum
over all spiking layers and steps, without the width N (so that wide layers win by being wide),
through B x B matrices and a loop over samples, on augmented data in training mode; and it ships with
the call commented out, training every candidate instead. Here N and B divide, and every population
weighs the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError


def distance(spikes: NDArray[np.generic]) -> NDArray[np.float64]:
    """Mean Manhattan distance a neuron, of all B^2 ordered pairs of samples, at each step.

    Args:
        spikes: [T, B, *shape], zero or not.

    Returns:
        [T], each in [0, 0.5].

    Raises:
        DataError: fewer than two samples.
    """
    if spikes.ndim < 3 or spikes.shape[1] < 2:
        raise DataError(f"RDM fitness: spikes have shape {spikes.shape}, allowed [T, B >= 2, ...neurons]")
    steps, samples = spikes.shape[:2]
    fired = (spikes != 0).reshape(steps, samples, -1)
    counts = np.count_nonzero(fired, axis=1).astype(np.int64)
    pairs = (counts * (samples - counts)).sum(axis=1)
    return np.asarray(2.0 * pairs / (fired.shape[2] * samples**2), dtype=np.float64)


def rdm(spikes: Mapping[str, NDArray[np.generic]]) -> float:
    """RDM fitness of `{population: spikes [T, B, *shape]}`: `distance`, averaged over populations and steps.

    Raises:
        DataError: no population, or fewer than two samples.
    """
    if not spikes:
        raise DataError("RDM fitness: found no population, allowed at least one")
    return float(np.mean([distance(value).mean() for value in spikes.values()]))
