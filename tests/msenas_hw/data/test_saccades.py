from __future__ import annotations

import numpy as np
import pytest

from msenas_hw.data import SETS, load
from msenas_hw.data.frames import Binning, Frames
from msenas_hw.data.recordings import in_memory
from msenas_hw.data.saccades import SIDE, Sensor, simulated

QUIET = Sensor(noise_hz=0.0, spread=0.0)


def square(brightness: int = 255) -> np.ndarray:
    picture = np.zeros((1, 1, 28, 28), np.uint8)
    picture[..., 10:18, 10:18] = brightness
    return picture


def made(pictures: np.ndarray, sensor: Sensor = QUIET):
    labels = np.arange(len(pictures)) % 10
    return list(simulated({"train": (pictures, labels)}, 255, {}, sensor))


def test_a_still_or_empty_picture_makes_no_event():
    assert len(made(np.zeros((1, 1, 28, 28), np.uint8))[0].t) == 0
    assert len(made(square(), Sensor(threshold=100.0, spread=0.0, noise_hz=0.0))[0].t) == 0


def test_events_are_as_many_as_thresholds_are_crossed():
    (item,) = made(square())
    change = np.log((0.1 + 1) / 0.1)
    # A pixel that the square covers and leaves goes up and down by the same number of thresholds; where it
    # begins and ends within the square the counts differ by at most that number.
    events = np.zeros((2, SIDE, SIDE), int)
    np.add.at(events, (item.p, item.y, item.x), 1)
    assert np.abs(events[0] - events[1]).max() <= int(change / QUIET.threshold)
    assert events.max() <= 3 * (int(change / QUIET.threshold) + 1)
    covered = events.sum(axis=0) > 0
    assert not covered[:8].any()
    assert not covered[:, :8].any()
    assert covered.any()


def test_the_first_leg_darkens_behind_and_brightens_ahead():
    (item,) = made(square())
    first = item.t < 105_000
    # The picture moves down and to the right: what darkens (1) lies above and left of what brightens (0).
    for axis in (item.x, item.y):
        assert axis[first & (item.p == 1)].mean() < axis[first & (item.p == 0)].mean() - 3


def test_times_rise_and_fall_within_the_motion():
    (item,) = made(square())
    assert (np.diff(item.t) >= 0).all()
    within = item.t % 105_000 / 105_000
    assert within.min() >= 0.1 - 0.01
    assert within.max() <= 0.8 + 0.01


def test_noise_is_as_frequent_as_said():
    items = made(np.zeros((40, 1, 28, 28), np.uint8), Sensor(noise_hz=5.0))
    mean = np.mean([len(item.t) for item in items])
    wanted = 5.0 * SIDE * SIDE * 0.315
    assert abs(mean - wanted) < 5 * np.sqrt(wanted / 40)


def test_a_sample_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (70, 1, 28, 28)).astype(np.uint8)
    pictures[:, :, :20] = 0
    sensor = Sensor()
    whole, part = made(pictures, sensor), made(pictures[:3], sensor)
    for one, other in zip(whole[:3], part, strict=True):
        for axis in ("t", "x", "y", "p"):
            assert (getattr(one, axis) == getattr(other, axis)).all()
    assert whole[0].t.tolist() != whole[1].t.tolist()


def test_simulated_sets_say_so(nowhere, monkeypatch):
    from dataclasses import replace

    name = "digits-saccade-sim"
    small = replace(SETS[name], counts=({"train": 30, "test": 10},))
    monkeypatch.setitem(SETS, name, small)
    data = load(name, validation=5)
    assert data.name == name
    assert data.facts["kind"] == "simulated"
    assert data.facts["based_on"] == "digits"
    assert "Sensor(threshold=0.55" in data.facts["simulator"]
    assert data.train_y.tolist() == load("digits").train_y[:25].tolist()
    again = load(name, validation=5)
    assert (np.asarray(again.train_x) == np.asarray(data.train_x)).all()
    assert isinstance(again.train_x.recordings.t, np.memmap)


def test_simulated_digits_resemble_the_recordings(shared):
    folder = shared / "data"
    if not (folder / "nmnist_1100.npz").is_file():
        pytest.skip("the recordings are absent")
    real = load("nmnist-1100", folder=str(folder)).train_x.at(9)
    found = real.recordings
    count = np.diff(found.start)[:1000].mean()
    binning = Binning(9, counts=True, window_s=0.315)
    profile = Frames(found, real.rows[:200], binning)[:].sum(axis=(0, 2, 3, 4))
    # Digits of another set, enlarged, but moved alike.
    pictures = (load("digits").train_x.raw[:100].astype(int) * 255 // 16).astype(np.uint8)
    store, parts = in_memory("sim", "sim", (2, SIDE, SIDE), made(pictures, Sensor()))
    simulation = Frames(store, parts["train"][0], binning)[:]
    assert np.corrcoef(simulation.sum(axis=(0, 2, 3, 4)), profile)[0, 1] > 0.95
    assert 0.5 < simulation.sum() / 100 / count < 2
