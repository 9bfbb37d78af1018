"""What a network costs once it is trained, on the spikes of the chip's own arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import BudgetConfig
from msenas_hw.search.devices import chip_of, costs, fitted, others, parameters
from msenas_hw.training.trainer import Excess
from targets.graph.graph import SpikingGraph
from targets.run import Run
from targets.target import compile as compile_graph

# What training can lower by firing less.
SPIKE_RESOURCES = ("energy_j", "latency_s", "synops")


@dataclass(frozen=True)
class Figures:
    """Figures of a trained network, a sample's; weights count in the widths that the network names.

    Attributes:
        latency_s: None where the cost model has no time.
        cores, memory: None where the device has no limits of a chip.
        fits: whether the chip of every device of the budget holds the network.
        devices: `energy_j`, `latency_s`, `cores` and `memory` on each further device of the budget.
    """

    energy_j: float
    latency_s: float | None
    spikes: float
    synops: float
    cores: int | None
    parameters: int
    fits: bool
    memory: int | None = None
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def excess(self, budget: BudgetConfig) -> Excess:
        """Use of the tightest limits, as shares of them: above 1 is over budget; infinite without fit."""
        shares = [(key, getattr(self, key) / limit) for key, limit in budget.limits.items()]
        for name, section in budget.devices.items():
            shares += [(key, self.devices[name][key] / limit) for key, limit in section.limits.items()]
        by_spikes = max((share for key, share in shares if key in SPIKE_RESOURCES), default=0.0)
        most = max((share for _, share in shares), default=0.0)
        return Excess(most if self.fits else float("inf"), by_spikes)

    def within(self, budget: BudgetConfig) -> bool:
        """Every chip holds the network and no limit is exceeded."""
        return self.excess(budget).share <= 1.0


def binds(budget: BudgetConfig) -> bool:
    """Whether any limit of the budget is set, on whichever device."""
    return bool(budget.limits) or any(section.limits for section in budget.devices.values())


def target_of(device: str) -> str:
    """The target in whose arithmetic a device computes: fixed point on a Loihi."""
    import cost_models

    return "loihi" if cost_models.load_device(device).chip.startswith("loihi") else "reference"


def chip_run(graph: SpikingGraph, x: NDArray[np.generic], device: str) -> Run:
    """Run `x` [T, B, *input] in the arithmetic of the chip of `device`: fixed point on a Loihi."""
    import cost_models

    return compile_graph(graph, target_of(device)).run(x, record=cost_models.records(graph))


def cost(graph: SpikingGraph, x: NDArray[np.generic], device: str) -> dict[str, Any]:
    """JSON of the cost of a sample on `device` (`cost_models.estimate`)."""
    import cost_models

    found: dict[str, Any] = cost_models.estimate(graph, chip_run(graph, x, device), device).as_json()
    return found


def figures(graph: SpikingGraph, x: NDArray[np.generic], budget: BudgetConfig) -> Figures:
    """Measure a network on samples `x` [T, B, *input] against the devices of a budget."""
    found = cost(graph, x, budget.device)
    own = fitted(graph, chip_of(budget.fits_on))
    further = {
        one.name: {
            **fitted(graph, one.chip),
            **(costs(graph, chip_run(graph, x, one.model), one.model) if one.model else {}),
        }
        for one in others(budget)
    }
    latency = found["latency_s"]
    return Figures(
        energy_j=float(found["energy_j"]),
        latency_s=None if latency is None else float(latency),
        spikes=float(found["spikes"]),
        synops=float(found["synops"]),
        cores=own["cores"],
        memory=own["memory"],
        parameters=parameters(graph),
        fits=not own["broken"] and not any(one["broken"] for one in further.values()),
        devices=further,
    )
