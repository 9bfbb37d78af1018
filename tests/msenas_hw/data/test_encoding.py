from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msenas_hw.data import encode
from targets.errors import ConfigError, DataError


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8), st.integers(1, 20))
def test_rate_is_binary_and_keeps_the_mean(values, steps):
    spikes = encode(column(*values), "rate", steps)
    assert spikes.shape == (steps, len(values), 1, 1, 1)
    assert spikes.dtype == np.float32
    assert set(np.unique(spikes)) <= {0.0, 1.0}
    counts = spikes.sum(axis=0).ravel()
    assert np.abs(counts - np.array(values) * steps).max() <= 0.5 + 1e-9


def test_rate_equals_a_neuron_that_integrates_and_fires():
    intensity = np.linspace(0, 1, 17)
    spikes = encode(column(*intensity), "rate", 11)[:, :, 0, 0, 0]
    charge, expected = np.full(17, 0.5), []
    for _ in range(11):
        charge += intensity
        fired = charge >= 1.0
        charge -= fired
        expected.append(fired)
    assert (spikes == np.array(expected)).all()


def test_rate_spreads_its_spikes():
    assert encode(column(0.5), "rate", 6).ravel().tolist() == [1, 0, 1, 0, 1, 0]


def test_latency_is_one_early_spike_for_a_strong_value_and_none_for_zero():
    spikes = encode(column(1.0, 0.5, 0.01, 0.0), "latency", 5)[:, :, 0, 0, 0]
    assert spikes.argmax(axis=0).tolist()[:3] == [0, 2, 4]
    assert spikes.sum(axis=0).tolist() == [1, 1, 1, 0]


def test_graded_repeats_the_value_on_its_grid():
    values = encode(column(0.5, 1.0), "graded", 3)[:, :, 0, 0, 0]
    assert (values == values[0]).all()
    assert np.allclose(values[0] * 255, np.rint(values[0] * 255), atol=1e-4)
    assert values[0] == pytest.approx([0.5, 1.0], abs=0.5 / 255 + 1e-6)


def test_events_pass_through_with_time_first():
    events = np.random.default_rng(0).integers(0, 2, (3, 4, 2, 5, 5)).astype(np.float32)
    assert (encode(events, "events", 4) == events.swapaxes(0, 1)).all()


def test_what_cannot_be_encoded_is_refused():
    with pytest.raises(DataError, match="allowed 0 to 1"):
        encode(column(2.0), "rate", 4)
    with pytest.raises(DataError, match=r"data.steps = 4"):
        encode(np.zeros((3, 4, 1, 2, 2), np.float32), "events", 5)
    with pytest.raises(ConfigError, match="allowed rate"):
        encode(column(0.5), "morse", 4)
