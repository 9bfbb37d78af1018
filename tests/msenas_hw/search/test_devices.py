"""One architecture on several devices."""

from __future__ import annotations

import numpy as np
import pytest

import cost_models
from msenas_hw.search import bounds, evaluate, objectives, setting
from msenas_hw.space import arch_id, decode
from targets.errors import BudgetError, ConfigError

SPACE = {"cells": [1, 1], "widths": [2], "kernels": [3]}


def first(experiment):
    given = setting(experiment)
    genome = next(bounds.candidates(experiment.space, given.task, 2))
    return genome, arch_id(genome, given.task), given


def test_each_device_has_figures_and_limits_of_its_own(config):
    budget = {"device": "loihi2-empirical", "devices": {"gpu-h100": {}, "loihi1": {}}}
    genome, arch, given = first(config(space=SPACE, budget=budget))
    found = evaluate(genome, arch, given)
    assert not found.failure
    fit = cost_models.check(decode(genome, given.task), "loihi1")
    assert found.devices["loihi1"]["cores"] == fit.cores
    assert found.devices["loihi1"]["energy_j"] is None
    assert found.devices["gpu-h100"]["cores"] is None
    gpu = found.devices["gpu-h100"]
    for name, allowed in (("latency_s", gpu["latency_s"]), ("energy_j", gpu["energy_j"])):
        limits = {"devices": {"loihi2-empirical": {}, "gpu-h100": {name: allowed / 2}}}
        over = objectives.violations(found, config(budget=limits).budget)
        assert over[f"{name} gpu-h100"] == pytest.approx(1.0)
        assert sum(value > 0 for value in over.values()) == 1


def test_a_second_chip_rejects_before_anything_runs(config):
    budget = {"device": "loihi2-empirical", "devices": {"loihi1": {"memory": 1}}}
    genome, arch, given = first(config(space=SPACE, budget=budget))
    found = evaluate(genome, arch, given)
    assert found.rejected
    assert found.fitness == found.energy_j == 0
    assert np.isfinite(found.devices["loihi1"]["memory"])


def test_a_limit_of_the_second_device_is_refused_before_the_search(config):
    budget = {"device": "loihi2-empirical", "devices": {"gpu-h100": {"latency_s": 1e-9}}}
    experiment = config(space={**SPACE, "models": ["if"]}, budget=budget)
    with pytest.raises(BudgetError, match=r"latency_s gpu-h100 binds: found .*lower bound") as caught:
        bounds.require_possible(experiment, setting(experiment))
    assert "Raise budget.devices.gpu-h100.latency_s" in str(caught.value)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ({"gpu-h100": {"cores": 4}}, "budget.devices.gpu-h100: has no limits of a chip"),
        ({"loihi2": {"energy_j": 1.0}}, "budget.devices.loihi2: 'loihi2' has limits and no energy model"),
        ({"nothing": {}}, "nothing"),
    ],
)
def test_what_a_device_cannot_tell_is_refused(config, devices, message):
    with pytest.raises(ConfigError) as caught:
        setting(config(budget={"device": "loihi1-sanafe", "devices": devices}))
    assert message in str(caught.value)
