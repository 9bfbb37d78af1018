"""RDM fitness: how differently the untrained network answers different samples.

Every variant is one function of a `Recording`; `VARIANTS` names them and `score` calls one. Labels,
graph, operations and weights are never seen. Larger is better.

    manhattan-released  sum over neurons of 2 sum_n c_n (B - c_n), mean over populations and steps
    manhattan           the same divided by N B^2, so that every population weighs the same, in [0, 0.5]
    hamming-logdet      log-determinant of SNASNet's sparsity-aware Hamming kernel
    cosine              mean of 1 - cos between samples, over populations and steps, in [0, 1]
    pearson             mean of 1 - r, over populations and steps, in [0, 2]
    temporal-variance   root of the sum over populations of E^2, E being how far its potentials move around
                        each sample's own mean over time, squared (default); held within `bounded`, as
                        for the nuclear norms
    temporal-nuclear    sum over populations of the nuclear norm of their potentials, each sample around
                        its own mean over time
    nuclear             the same around the mean of all patterns
    temporal-rank, rank                 the same two, with the square of the effective rank as the norm
    temporal-rank-spikes, rank-spikes   these two of the spikes

Manhattan: the dissimilarity matrix of a population at one step holds the distances between the binary
patterns of B samples. Its sum needs no matrix: neuron n, firing for c_n of the samples, differs in
c_n (B - c_n) unordered pairs. The released code of MSE-NAS (Pan et al., arXiv 2304.10749) codes that
sum through B x B matrices and a loop over samples, without the width N, so that wide layers win by
being wide.

Nuclear norms and ranks: every sample at every step is one pattern, so the dissimilarity matrix is
[TB, TB] and compares moments as well as samples. With squared Euclidean distances it holds the same as
the Gram matrix of the patterns around their mean, whose eigenvalues are the squares of the patterns'
singular values. Their sum, the nuclear norm, counts the directions in which the patterns differ, each
by its extent; it grows with the width. The effective rank counts directions whatever their extent: the
exponential of the entropy of the normalised eigenvalues (Roy and Vetterli, EUSIPCO 2007). Around each
sample's own mean over time, what is left are the dynamics: in how many ways, and how far, a population
moves. Populations are summed, not averaged: one more is a gain. Balanced thresholds make their extents
comparable.

Temporal variance: with squared Euclidean distances, the sum of the dissimilarity matrix over all ordered
pairs of moments of one sample is 2 T times the squared deviations of its patterns from their mean. E is
that sum divided by 2 T, mean over samples: how much the population does in answer to a sample, whatever
directions it takes. Squared before it is summed, it is led by the populations that move most; a small
silent one more is neither gain nor loss. It needs no matrix and no spectrum. It grows with the steps as it
does with the neurons: of networks with equally many neuron-steps, which cost about the same, it prefers
neither the long nor the wide one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from msenas_hw.fitness.membranes import Membranes
from targets.errors import ConfigError, DataError

Floats = NDArray[np.floating[Any]]
DEFAULT = "temporal-variance"
# Patterns of which nuclear norms and ranks take the spectrum: its cost grows with their third power.
ROWS = 256
# Steps among those patterns; of longer runs, so many at even distances.
STEPS = 16
# Axes of a mean over patterns [T, B, ...].
EVERYTHING, TIME = (0, 1), (0,)
# Shares of a spectrum below this are rounding of the float32 products.
_NOISE = 1e-7
# Of the sum of squares before the mean is taken off: what is left where nothing varies is rounding.
_STILL = 1e-12
# Keeps the rescaling of SNASNet's kernel finite between silent samples.
_SILENT = 1e-3


@dataclass(frozen=True)
class Recording:
    """What a run showed of a network.

    Attributes:
        spikes: `{population: [T, B, *shape]}`, zero or not.
        potentials: `{population: [T, B, *shape]}`, the membrane after each step (after its reset); of the
            first samples alone (`patterns`) where `largest` tells of the others.
        largest: `{population: the largest potential of all samples and steps}`; of those in `potentials`
            where it is not given.
        moved: `{population: movement}` of all samples, held within `bounded`; of `potentials` where it is
            not given.

    Raises:
        DataError: no population, or fewer than two samples.
    """

    spikes: Mapping[str, NDArray[np.generic]]
    potentials: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    largest: Mapping[str, float] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.spikes:
            raise DataError("RDM fitness: found no population, allowed at least one")
        for what in (self.spikes, self.potentials):
            for name, value in what.items():
                if value.ndim < 3 or value.shape[1] < 2:
                    raise DataError(
                        f"RDM fitness: population {name!r} has shape {value.shape}, "
                        "allowed [T, B >= 2, ...neurons]"
                    )


def score(variant: str, recording: Recording) -> float:
    """Fitness by the named variant.

    Raises:
        ConfigError: an unknown variant.
        DataError: the variant reads potentials, and not every population has them.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"search.fitness: found {variant!r}, allowed {', '.join(VARIANTS)}")
    missing = recording.spikes.keys() - (recording.moved if variant in MOVEMENT else {}).keys()
    missing -= recording.potentials.keys()
    if variant in POTENTIALS and missing:
        raise DataError(
            f"RDM fitness: {variant!r} reads potentials, found none of {', '.join(sorted(missing))}; "
            "run with states=True"
        )
    return VARIANTS[variant](recording)


def distance(spikes: NDArray[np.generic]) -> NDArray[np.float64]:
    """Mean Manhattan distance a neuron, of all B^2 ordered pairs of samples, at each step; exact.

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
    """Variant `manhattan` of `{population: spikes [T, B, *shape]}`.

    Raises:
        DataError: no population, or fewer than two samples.
    """
    if not spikes:
        raise DataError("RDM fitness: found no population, allowed at least one")
    return float(np.mean([distance(value).mean() for value in spikes.values()]))


def _manhattan_released(recording: Recording) -> float:
    """Neurons that differ, summed over all ordered pairs of samples."""
    sums = [distance(x).mean() * x[0, 0].size * x.shape[1] ** 2 for x in recording.spikes.values()]
    return float(np.mean(sums))


def _hamming_logdet(recording: Recording) -> float:
    """log |det K|, K the mean kernel over populations and steps; minus infinity where K is singular.

    K_ij = N - (N / 2) d_ij / (e_ij + 0.001), where d_ij is the Hamming distance of two samples and
    e_ij = N (r_i (1 - r_j) + (1 - r_i) r_j) what it would be between random patterns of their rates r.
    Source: Kim et al., ECCV 2022 (SNASNet).
    """
    kernels = []
    for fired in _patterns(recording):
        neurons = fired.shape[2]
        for x in fired.astype(np.float32):
            count = x.sum(axis=1, dtype=np.float64)
            distance = count[:, None] + count[None] - 2.0 * (x @ x.T)
            rate = count / neurons
            expected = neurons * (rate[:, None] * (1 - rate[None]) + (1 - rate[:, None]) * rate[None])
            kernels.append(neurons - 0.5 * neurons * distance / (expected + _SILENT))
    return float(np.linalg.slogdet(np.mean(kernels, axis=0))[1])


def _mean_angle(recording: Recording, centred: bool) -> float:
    """Mean of 1 - x_i . x_j of unit patterns over all ordered pairs.

    The products sum to the squared length of the sum of the patterns. A pattern that has no direction
    (silent; where centred, also one equal in all neurons) is 0 from its like and 1 from any other.
    """
    steps = []
    for fired in _patterns(recording):
        x = fired.astype(np.float32)
        if centred:
            x = x - x.mean(axis=2, keepdims=True)
        length = np.sqrt(np.einsum("tbn,tbn->tb", x, x, dtype=np.float64))
        none = length <= 1e-6 * np.sqrt(x.shape[2])
        weight = np.where(none, 0.0, 1.0 / np.where(none, 1.0, length))
        total = np.einsum("tbn,tb->tn", x, weight)
        alike = (total**2).sum(axis=1) + none.sum(axis=1) ** 2
        steps.append(float(np.mean(1.0 - alike / x.shape[1] ** 2)))
    return float(np.mean(steps))


def _patterns(recording: Recording) -> list[NDArray[np.bool_]]:
    """Firing of each population, [T, B, N]."""
    return [(value != 0).reshape(*value.shape[:2], -1) for value in recording.spikes.values()]


def patterns(steps: int) -> tuple[NDArray[np.int64], int]:
    """Which of so many steps, and how many of the first samples, a `spectrum` looks at."""
    chosen = np.unique(np.linspace(0, steps - 1, min(steps, STEPS)).round().astype(np.int64))
    return chosen, max(ROWS // len(chosen), 2)


def membranes(variant: str, steps: int) -> Membranes | None:
    """What to watch of the membranes of a run of so many steps; nothing where `variant` reads none."""
    if variant not in POTENTIALS:
        return None
    return Membranes(0, True) if variant in MOVEMENT else Membranes(patterns(steps)[1], False)


def spectrum(values: NDArray[np.generic], around: tuple[int, ...]) -> Floats:
    """Singular values of the patterns [T, B, *shape] of a population; none where nothing varies.

    Of more than `STEPS` steps it takes so many at even distances, and then the first samples, so that there
    are at most `ROWS` patterns.

    Args:
        around: axes of the mean that is taken off: `EVERYTHING`, or `TIME` (of each sample its own).
    """
    steps, samples = patterns(len(values))
    x = np.array(values[steps, :samples], dtype=np.float32, order="C")
    before = float(np.vdot(x, x))
    x -= x.mean(axis=around, keepdims=True)
    rows = torch.from_numpy(x).flatten(0, 1).flatten(1)
    gram = (rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows).double()
    scale = float(gram.trace())
    if scale <= _STILL * before:
        return np.zeros(0)
    squares = torch.linalg.eigvalsh(gram).numpy()
    return np.asarray(np.sqrt(squares[squares > _NOISE * scale]))


def effective_rank(values: NDArray[np.generic], around: tuple[int, ...]) -> float:
    """exp of the entropy of the normalised squares of a `spectrum`; 0 where nothing varies."""
    squares = spectrum(values, around) ** 2
    if not squares.size:
        return 0.0
    shares = squares / squares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _ranks(values: Mapping[str, NDArray[np.generic]], around: tuple[int, ...]) -> float:
    return float(sum(effective_rank(value, around) ** 2 for value in values.values()))


def _norms(recording: Recording, around: tuple[int, ...]) -> float:
    return float(
        sum(
            spectrum(bounded(value, recording.largest.get(name)), around).sum()
            for name, value in recording.potentials.items()
        )
    )


def _variance(recording: Recording) -> float:
    found = recording.moved or {n: movement(bounded(v)) for n, v in recording.potentials.items()}
    return float(np.linalg.norm(list(found.values())))


def movement(potentials: NDArray[np.floating[Any]]) -> float:
    """Squared deviations of the patterns [T, B, *shape] from each sample's mean over time, a sample."""
    around = potentials - potentials.mean(axis=TIME, keepdims=True)
    return float(np.vdot(around, around)) / potentials.shape[1]


def bounded(potentials: NDArray[np.generic], largest: float | None = None) -> NDArray[np.floating[Any]]:
    """Potentials held above minus the population's largest one, which reset keeps near the threshold.

    A membrane that inhibition drives ever lower would else be the more different the lower it falls.
    """
    values = np.asarray(potentials, dtype=np.float32)
    largest = float(values.max()) if largest is None else largest
    return np.maximum(values, -max(largest, 0.0))


VARIANTS: Mapping[str, Callable[[Recording], float]] = {
    "temporal-variance": _variance,
    "temporal-nuclear": lambda recording: _norms(recording, TIME),
    "nuclear": lambda recording: _norms(recording, EVERYTHING),
    "temporal-rank": lambda recording: _ranks(recording.potentials, TIME),
    "rank": lambda recording: _ranks(recording.potentials, EVERYTHING),
    "temporal-rank-spikes": lambda recording: _ranks(recording.spikes, TIME),
    "rank-spikes": lambda recording: _ranks(recording.spikes, EVERYTHING),
    "manhattan-released": _manhattan_released,
    "manhattan": lambda recording: rdm(recording.spikes),
    "hamming-logdet": _hamming_logdet,
    "cosine": lambda recording: _mean_angle(recording, centred=False),
    "pearson": lambda recording: _mean_angle(recording, centred=True),
}
# Variants that read the potentials; for the others a run need not keep them.
POTENTIALS = ("temporal-variance", "temporal-nuclear", "nuclear", "temporal-rank", "rank")
# Of these, variants that read only how far potentials move.
MOVEMENT = ("temporal-variance",)
