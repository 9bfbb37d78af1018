"""Figures of a trained network: on every device of the budget, in the widths that the network names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cost_models
import targets
from msenas_hw.config import BudgetConfig
from msenas_hw.search.remeasure import Figures, binds, figures
from msenas_hw.space import CellGene, Genome, NodeGene, Task, decode
from targets.graph.widths import weight_bits_of

TASK = Task((1, 6, 6), 10, 5)
X = (np.random.default_rng(0).random((5, 3, 1, 6, 6)) < 0.4).astype(np.float32)


def network(bits: int) -> targets.SpikingGraph:
    cell = CellGene("lateral_inhibition", 16, False, (NodeGene("lif", 4.0, None, 0.5, 3, weight_bits=bits),))
    return decode(Genome((cell,), frozenset({(-1, 0), (0, 1)}), readout_bits=bits), TASK)


def test_spikes_and_memory_are_those_of_the_widths_that_the_network_names() -> None:
    budget = BudgetConfig(device="loihi2-empirical", chip="loihi2")
    found = {bits: figures(network(bits), X, budget) for bits in (4, 8)}
    assert weight_bits_of(network(4)) == {"cell1.E": 4, "readout": 4}
    assert weight_bits_of(network(8)) == {}
    assert 0 < found[4].memory < found[8].memory  # type: ignore[operator]
    for bits, one in found.items():
        run = targets.compile(network(bits), "loihi").run(X)
        counted = sum(int(count.sum()) for count in run.spike_counts.values()) / X.shape[1]
        assert one.spikes == pytest.approx(counted)


def test_every_device_of_the_budget_counts() -> None:
    budget = BudgetConfig.model_validate(
        {
            "device": "loihi1-sanafe",
            "energy_j": 1.0,
            "devices": {"gpu-h100": {"latency_s": 1.0}, "loihi2": {"cores": 100, "memory": 10**6}},
        }
    )
    graph = network(4)
    found = figures(graph, X, budget)
    gpu = cost_models.estimate(graph, targets.compile(graph, "reference").run(X), "gpu-h100")
    assert found.devices["gpu-h100"]["energy_j"] == gpu.energy_j
    assert found.devices["loihi2"]["cores"] == cost_models.check(graph, "loihi2").cores
    assert found.fits
    assert found.within(budget)
    tight = budget.devices | {"loihi2": budget.devices["loihi2"].model_copy(update={"memory": 1})}
    assert not found.within(budget.model_copy(update={"devices": tight}))
    assert not replace(found, fits=False).within(budget)


def test_what_spikes_decide_is_told_apart() -> None:
    found = Figures(2.0, 1.0, 10.0, 100.0, 4, 50, True, 7, {"gpu-h100": {"energy_j": 6.0}})
    budget = BudgetConfig.model_validate(
        {"device": "loihi1-sanafe", "cores": 1, "energy_j": 4.0, "devices": {"gpu-h100": {"energy_j": 2.0}}}
    )
    assert found.excess(budget) == (4.0, 3.0)
    assert not binds(BudgetConfig())
    assert not binds(BudgetConfig.model_validate({"devices": ["loihi1-sanafe", "loihi2"]}))
    assert binds(BudgetConfig.model_validate({"devices": {"loihi1-sanafe": {}, "loihi2": {"cores": 3}}}))
