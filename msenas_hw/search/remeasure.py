"""What a network costs once it is trained, on the spikes of the chip's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import BudgetConfig
from msenas_hw.search.evaluation import parameters
from msenas_hw.training.trainer import Excess
from targets.graph.graph import SpikingGraph
from targets.run import Run
from targets.target import compile as compile_graph

# What training can lower by firing less.
SPIKE_RESOURCES = ("energy_j", "latency_s", "synops")


@dataclass(frozen=True)
class Figures:
    """Figures of a trained network, a sample's; `fits` says whether the chip holds it."""

    energy_j: float
    latency_s: float
    spikes: float
    synops: float
    cores: int
    parameters: int
    fits: bool

    def excess(self, budget: BudgetConfig) -> Excess:
        """Use of the tightest limits, as shares of them: above 1 is over budget; infinite without fit."""
        shares = {key: getattr(self, key) / limit for key, limit in budget.limits.items()}
        by_spikes = max((shares[key] for key in SPIKE_RESOURCES if key in shares), default=0.0)
        return Excess(max(shares.values(), default=0.0) if self.fits else float("inf"), by_spikes)

    def within(self, budget: BudgetConfig) -> bool:
        """The chip holds the network and no limit is exceeded."""
        return self.excess(budget).share <= 1.0


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
    """Measure a network on samples `x` [T, B, *input] against the chip of a budget."""
    import cost_models

    found = cost(graph, x, budget.device)
    fit = cost_models.check(graph, budget.fits_on)
    return Figures(
        energy_j=float(found["energy_j"]),
        latency_s=float(found["latency_s"]),
        spikes=float(found["spikes"]),
        synops=float(found["synops"]),
        cores=fit.cores,
        parameters=parameters(graph),
        fits=fit.fits,
    )
