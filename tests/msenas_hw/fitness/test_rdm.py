from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.fitness import distance, rdm
from targets.errors import DataError


def brute_force(spikes: np.ndarray) -> np.ndarray:
    """Mean over all ordered pairs of samples of the Manhattan distance a neuron, at each step."""
    steps, samples = spikes.shape[:2]
    flat = (spikes.reshape(steps, samples, -1) != 0).astype(np.float64)
    pairs = np.abs(flat[:, :, None, :] - flat[:, None, :, :])
    return pairs.sum(axis=(1, 2, 3)) / (samples**2 * flat.shape[2])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.floats(0, 1))
def test_closed_form_equals_the_pairwise_sum(seed: int, samples: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    spikes = (rng.random((3, samples, 2, 4, 3)) < rate).astype(np.float32)
    assert distance(spikes) == pytest.approx(brute_force(spikes), rel=1e-12, abs=0)


def test_populations_weigh_the_same_whatever_their_width() -> None:
    rng = np.random.default_rng(0)
    narrow, wide = (rng.random((4, 6, n)) < 0.3 for n in (5, 500))
    both = rdm({"narrow": narrow, "wide": wide})
    assert both == pytest.approx((brute_force(narrow).mean() + brute_force(wide).mean()) / 2)
    assert rdm({"one": narrow}) == pytest.approx(rdm({"one": np.tile(narrow, (1, 1, 20))}))


def test_silent_and_saturated_give_zero_and_half_gives_the_maximum() -> None:
    shape = (2, 4, 3)
    assert rdm({"silent": np.zeros(shape)}) == 0.0
    assert rdm({"saturated": np.ones(shape)}) == 0.0
    half = np.zeros(shape)
    half[:, :2] = 1
    assert rdm({"half": half}) == 0.5


def test_counts_do_not_overflow_small_integers() -> None:
    spikes = np.zeros((1, 600, 2), dtype=np.int8)
    spikes[:, :300] = 1
    assert rdm({"population": spikes}) == 0.5


def test_too_little_to_compare_is_refused() -> None:
    with pytest.raises(DataError, match=r"B >= 2"):
        rdm({"population": np.zeros((3, 1, 4))})
    with pytest.raises(DataError, match="no population"):
        rdm({})
