"""Every variant against a pairwise or textbook computation of its own definition."""

from __future__ import annotations

from itertools import product
from typing import get_args

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from msenas_hw.config import FitnessName, SearchConfig
from msenas_hw.fitness import DEFAULT, VARIANTS, Recording, effective_rank, score
from msenas_hw.fitness.rdm import EVERYTHING, POTENTIALS, ROWS, STEPS, TIME
from targets.errors import ConfigError, DataError

STEPS_SHOWN, SAMPLES = 4, 7


def recorded(seed: int = 0, rates: tuple[float, ...] = (0.3, 0.6)) -> Recording:
    rng = np.random.default_rng(seed)
    shapes = [(STEPS_SHOWN, SAMPLES, 30 + 11 * i, 2) for i in range(len(rates))]
    spikes = {
        f"p{i}": (rng.random(shape) < rate) for i, (shape, rate) in enumerate(zip(shapes, rates, strict=True))
    }
    return Recording(
        {name: fired.astype(np.float32) for name, fired in spikes.items()},
        {name: rng.normal(size=fired.shape).astype(np.float32) for name, fired in spikes.items()},
    )


def pairs_mean(recording: Recording, metric: str) -> float:
    """scipy's distance between all ordered pairs of samples, averaged over them, populations and steps."""
    found = [
        squareform(pdist(now.reshape(len(now), -1), metric)).mean()
        for spikes in recording.spikes.values()
        for now in spikes
    ]
    return float(np.mean(found))


def test_names_of_the_configuration_are_those_of_the_table() -> None:
    assert set(get_args(FitnessName)) == set(VARIANTS)
    assert SearchConfig().fitness == DEFAULT
    assert set(POTENTIALS) <= set(VARIANTS)


@pytest.mark.parametrize(("variant", "metric"), [("cosine", "cosine"), ("pearson", "correlation")])
def test_angles_equal_the_pairwise_distance(variant: str, metric: str) -> None:
    recording = recorded()
    assert score(variant, recording) == pytest.approx(pairs_mean(recording, metric), rel=1e-6)


@pytest.mark.parametrize(("variant", "values"), [("cosine", (0.0,)), ("pearson", (0.0, 1.0))])
def test_patterns_without_a_direction_are_like_each_other_and_unlike_the_rest(
    variant: str, values: tuple[float, ...]
) -> None:
    for value in values:
        flat = np.full((1, 4, 6), value, np.float32)
        assert score(variant, Recording({"p": flat}, {})) == pytest.approx(0.0)
        flat[0, :2] = [1, 0, 1, 0, 0, 1]
        # 8 of the 16 ordered pairs are unlike.
        assert score(variant, Recording({"p": flat}, {})) == pytest.approx(0.5)


def test_manhattan_as_released_sums_over_neurons_and_pairs() -> None:
    recording = recorded()
    expected = np.mean(
        [
            squareform(pdist(now.reshape(SAMPLES, -1), "cityblock")).sum()
            for spikes in recording.spikes.values()
            for now in spikes
        ]
    )
    assert score("manhattan-released", recording) == pytest.approx(float(expected))
    assert score("manhattan", recording) == pytest.approx(pairs_mean(recording, "hamming"))


def test_hamming_kernel_equals_its_definition_neuron_by_neuron() -> None:
    recording = recorded()
    kernels = []
    for spikes in recording.spikes.values():
        for now in spikes:
            fired = now.reshape(SAMPLES, -1) > 0
            n = fired.shape[1]
            kernel = np.zeros((SAMPLES, SAMPLES))
            for i, j in product(range(SAMPLES), repeat=2):
                a, b = fired[i], fired[j]
                by_chance = n * (a.mean() * (~b).mean() + (~a).mean() * b.mean())
                kernel[i, j] = n - 0.5 * n / (by_chance + 1e-3) * (a != b).sum()
            kernels.append(kernel)
    values = np.linalg.eigvals(np.mean(kernels, axis=0))
    assert score("hamming-logdet", recording) == pytest.approx(float(np.log(np.abs(values)).sum()), rel=1e-6)


def singular_rank(rows: np.ndarray) -> float:
    """exp of the entropy of the normalised squared singular values."""
    squares = np.linalg.svd(rows.astype(np.float64), compute_uv=False) ** 2
    shares = squares[squares > 1e-7 * squares.sum()] / squares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize(
    ("variant", "kind", "axis"),
    [
        ("rank", "potentials", (0, 1)),
        ("rank-spikes", "spikes", (0, 1)),
        ("temporal-rank", "potentials", 0),
        ("temporal-rank-spikes", "spikes", 0),
    ],
)
def test_ranks_equal_those_of_the_singular_values(
    variant: str, kind: str, axis: int | tuple[int, int]
) -> None:
    recording = recorded()
    expected = 0.0
    for values in getattr(recording, kind).values():
        rows = values - values.mean(axis=axis, keepdims=True)
        expected += singular_rank(rows.reshape(STEPS_SHOWN * SAMPLES, -1)) ** 2
    assert score(variant, recording) == pytest.approx(expected, rel=1e-4)


def test_temporal_variance_is_the_sum_of_the_distances_between_a_samples_moments() -> None:
    recording, sums = recorded(), []
    for potentials in recording.potentials.values():
        held = np.maximum(potentials, -potentials.max()).reshape(STEPS_SHOWN, SAMPLES, -1)
        pairs = [squareform(pdist(held[:, b], "sqeuclidean")).sum() for b in range(SAMPLES)]
        sums.append(np.mean(pairs) / (2 * STEPS_SHOWN))
    assert score("temporal-variance", recording) == pytest.approx(np.hypot(*sums), rel=1e-5)


def test_temporal_variance_grows_with_steps_as_with_neurons() -> None:
    """Moments drawn alike: 40 of 100 neurons, twice as many moments, twice as many neurons."""
    rng, shapes = np.random.default_rng(0), ((40, 30, 100), (80, 30, 100), (40, 30, 200))
    base, longer, wider = (
        score("temporal-variance", Recording({"a": np.zeros_like(v)}, {"a": v}))
        for v in (rng.normal(size=shape).clip(-2, 2).astype(np.float32) for shape in shapes)
    )
    assert longer / base == pytest.approx(79 / 39, rel=0.05)
    assert wider / base == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("variant", "axis"), [("nuclear", (0, 1)), ("temporal-nuclear", 0)])
def test_nuclear_norms_equal_those_of_numpy(variant: str, axis: int | tuple[int, int]) -> None:
    recording = recorded()
    expected = 0.0
    for potentials in recording.potentials.values():
        values = np.where(potentials < -potentials.max(), -potentials.max(), potentials)
        rows = (values - values.mean(axis=axis, keepdims=True)).reshape(STEPS_SHOWN * SAMPLES, -1)
        expected += float(np.linalg.norm(rows.astype(np.float64), "nuc"))
    assert score(variant, recording) == pytest.approx(expected, rel=1e-4)
    doubled = Recording(recording.spikes, {name: 2 * v for name, v in recording.potentials.items()})
    assert score(variant, doubled) == pytest.approx(2 * expected, rel=1e-4)


@pytest.mark.parametrize("variant", ["nuclear", "temporal-nuclear", "temporal-variance"])
def test_a_membrane_that_falls_without_end_gains_nothing(variant: str) -> None:
    recording = recorded()
    low = {name: np.where(v < 0, 1e3 * v - v.max(), v) for name, v in recording.potentials.items()}
    lower = {name: np.where(v < 0, 1e6 * v - v.max(), v) for name, v in recording.potentials.items()}
    found = [score(variant, Recording(recording.spikes, falling)) for falling in (low, lower)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_rank_is_that_of_the_double_centred_matrix_of_distances() -> None:
    spikes = recorded().spikes["p0"]
    rows = spikes.reshape(STEPS_SHOWN * SAMPLES, -1)
    distances = squareform(pdist(rows, "sqeuclidean"))
    centre = np.eye(len(rows)) - 1 / len(rows)
    values = np.linalg.eigvalsh(-0.5 * centre @ distances @ centre)
    shares = values[values > 1e-9] / values[values > 1e-9].sum()
    assert effective_rank(spikes, EVERYTHING) == pytest.approx(
        float(np.exp(-(shares * np.log(shares)).sum())), rel=1e-5
    )


def test_rank_counts_directions_whatever_their_scale() -> None:
    waves = np.zeros((8, 2, 40))
    for k in range(3):
        waves[:, :, k] = np.sin(2 * np.pi * (k + 1) * np.arange(8) / 8)[:, None]
    assert effective_rank(waves, TIME) == pytest.approx(3.0, rel=1e-5)
    assert effective_rank(1e-3 * waves, TIME) == pytest.approx(3.0, rel=1e-5)
    assert effective_rank(np.repeat(waves, 2, axis=2), TIME) == pytest.approx(3.0, rel=1e-5)


def test_constant_potentials_have_no_dynamics_but_tell_samples_apart() -> None:
    still = np.repeat(np.random.default_rng(0).normal(size=(1, 6, 9)), 5, axis=0)
    assert effective_rank(still, TIME) == 0.0
    assert effective_rank(still, EVERYTHING) == pytest.approx(effective_rank(still[:1], EVERYTHING))
    assert effective_rank(still, EVERYTHING) > 2.0
    assert effective_rank(np.ones((3, 4, 5)), EVERYTHING) == 0.0


def test_long_runs_are_thinned_to_a_bounded_number_of_patterns() -> None:
    long = np.random.default_rng(0).normal(size=(100, 40, 300))
    first = long[np.linspace(0, 99, STEPS).round().astype(int), : ROWS // STEPS]
    assert effective_rank(long, TIME) == effective_rank(first, TIME)
    assert effective_rank(long, TIME) < ROWS


def test_populations_add_up() -> None:
    one = recorded().potentials["p0"]
    both = Recording({"a": one, "b": one}, {"a": one, "b": one})
    for variant in POTENTIALS:
        factor = np.sqrt(2) if variant == "temporal-variance" else 2
        assert score(variant, both) == pytest.approx(
            factor * score(variant, Recording({"a": one}, {"a": one}))
        )


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"search.fitness: found 'euclid', allowed temporal-variance"):
        score("euclid", recorded())
    with pytest.raises(DataError, match="no population"):
        Recording({}, {})
    with pytest.raises(DataError, match=r"'p' has shape \(3, 1, 4\), allowed \[T, B >= 2"):
        Recording({"p": np.zeros((3, 1, 4))}, {})
    with pytest.raises(DataError, match="'temporal-rank' reads potentials, found none of p"):
        score("temporal-rank", Recording({"p": np.zeros((3, 2, 4))}, {}))
