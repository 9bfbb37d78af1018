"""The front as trials come, and hypervolumes against counting."""

from __future__ import annotations

import numpy as np
import pytest

from msenas_hw.config import BudgetConfig
from msenas_hw.search import Measured, Trial
from msenas_hw.search.archive import Archive, Scale, front, hypervolume

NAMES = ("fitness", "energy_j", "latency_s", "cores")


def trials(count, seed, dimensions=4):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        values = rng.integers(1, 9, size=dimensions)
        measured = Measured(
            f"{number:03}", "{}", alive=True, fitness=float(values[0]), energy_j=float(values[1]),
            latency_s=float(values[2]), cores=int(values[3]),
        )  # fmt: skip
        found.append(Trial(number, 1 + number // 20, measured.arch, measured))
    return found


def test_the_front_does_not_depend_on_the_order_of_trials():
    found = trials(120, 0)
    budget = BudgetConfig(energy_j=6.0)
    expected = {trial.key for trial in front(found, budget, NAMES)}
    assert {trial.key for trial in front(found[::-1], budget, NAMES)} == expected
    inside = [trial for trial in found if trial.measured.energy_j <= 6.0]
    points = np.array([[-t.measured.fitness, t.measured.energy_j, t.measured.latency_s, t.measured.cores]
                       for t in inside])  # fmt: skip
    for trial, point in zip(inside, points, strict=True):
        dominated = ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
        assert (trial.key in expected) == (not dominated)


def test_an_architecture_is_on_the_front_once():
    first, *_ = trials(1, 3)
    archive = Archive(BudgetConfig(), NAMES)
    archive.add(first)
    archive.add(Trial(7, 2, first.key, first.measured))
    assert archive.front() == [first]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_volume_is_what_counting_cells_finds(dimensions):
    rng = np.random.default_rng(dimensions)
    points = rng.integers(0, 6, size=(9, dimensions))
    names, reference = NAMES[:dimensions], (6.0,) * dimensions
    scale = Scale(names, reference, (2.0,) * dimensions)
    cells = np.stack(np.meshgrid(*[np.arange(6)] * dimensions, indexing="ij"), axis=-1).reshape(
        -1, dimensions
    )
    covered = (points[:, None] <= cells[None]).all(axis=2).any(axis=0).sum()
    assert scale.volume(points.tolist()) == pytest.approx(covered / 2**dimensions, rel=1e-5)


def test_eight_objectives_have_a_volume_that_grows():
    names = ("fitness", "energy_j", "latency_s", "synops", "spikes", "cores", "memory", "parameters")
    scale = Scale(names, (1.0,) * 8, (1.0,) * 8)
    points = np.random.default_rng(0).random((300, 8)).tolist()
    volumes = [scale.volume(points[:count]) for count in (1, 30, 300)]
    assert volumes == sorted(volumes)
    assert volumes[0] == pytest.approx(np.prod(1 - np.array(points[0])), rel=0.1)


def test_limits_are_the_reference_where_they_are_set():
    found = [trial.measured for trial in trials(20, 5)]
    scale = Scale.of(found, BudgetConfig(energy_j=50.0), NAMES[:3])
    assert scale is not None
    worst = max(one.latency_s for one in found)
    assert scale.reference == (-min(one.fitness for one in found), 50.0, worst)
    assert scale.units[1:] == (50.0, worst)


def test_hypervolume_of_trials_is_that_of_their_front():
    found, budget = trials(60, 8), BudgetConfig()
    volumes = [hypervolume(found[:count], budget, NAMES) for count in (20, 40, 60)]
    assert volumes == sorted(volumes)
    assert volumes[0] > 0
