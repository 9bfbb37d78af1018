from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from msenas_hw.config import Config, parse_config
from msenas_hw.report.goals import objectives
from msenas_hw.report.volume import box, curve, curves
from msenas_hw.search import Measured, Store, Study


def network(name, fitness, energy, latency=1e-4):
    return Measured(name, "{}", fitness, alive=True, energy_j=energy, latency_s=latency)


def sampled(points, best, worst):
    """Share of the box that `points` dominate, counted on a grid of cells."""
    axes = [np.linspace(b, w, 60, endpoint=False) + (w - b) / 120 for b, w in zip(best, worst, strict=True)]
    cells = np.array(list(product(*axes)))
    return float(np.any([(cells >= point).all(axis=1) for point in points], axis=0).mean())


def test_a_volume_is_the_share_of_cells_dominated(fill):
    rows = (network("a", 0.9, 5e-6, 3e-4), network("b", 0.5, 2e-6, 4e-4), network("c", 0.2, 3e-6, 1e-4))
    study = fill(Config(), rows=rows)
    scale = box([study], objectives(study.config))
    points = [(-row.fitness, row.energy_j, row.latency_s) for row in rows]
    counted = sampled(points, scale.best, scale.worst)
    assert curve(study, scale)[-1][1] == pytest.approx(counted, abs=0.02)
    assert curve(study, scale)[0][1] < curve(study, scale)[-1][1]


def test_runs_share_the_box_and_the_better_one_has_more_of_it(fill):
    good = fill(Config(), rows=(network("a", 0.9, 1e-6), network("b", 0.1, 4e-6)))
    poor = fill(Config(), rows=(network("c", 0.5, 2e-6), network("d", 0.4, 3e-6)))
    found = curves({"good": good, "poor": poor}, objectives(Config()))
    assert found["good"][-1] == (2, pytest.approx(1.0))
    assert 0 < found["poor"][-1][1] < 1
    scale = box([good, poor], objectives(Config()))
    assert scale.as_json() == {
        "fitness": pytest.approx(0.9 - 1.1 * 0.8),
        "energy_j": pytest.approx(1e-6 + 1.1 * 3e-6),
        "latency_s": pytest.approx(1e-4 + 1.1e-4),
    }


def test_what_is_over_budget_counts_nothing(fill):
    config = parse_config({"budget": {"energy_j": 2e-6}}, "test")
    study = fill(config, rows=(network("over", 0.9, 3e-6), network("in", 0.5, 1e-6)))
    scale = box([study], objectives(config))
    assert [volume for _, volume in curve(study, scale)] == [0.0, pytest.approx(1.0)]
    assert curves({"none": Study(config, Store(None))}, objectives(config)) == {}
