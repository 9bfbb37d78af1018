"""What a network costs once it is trained, on the spikes of the chip's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import BudgetConfig
from msenas_hw.search.evaluation import parameters
from targets.graph.graph import SpikingGraph
from targets.run import Run
from targets.target import compile as compile_graph


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

    def share(self, budget: BudgetConfig) -> float:
        """Use of the tightest limit, as a share of it: above 1 is over budget; infinite without fit."""
        if not self.fits:
            return float("inf")
        return max((getattr(self, key) / limit for key, limit in budget.limits.items()), default=0.0)


def chip_run(graph: SpikingGraph, x: NDArray[np.generic], device: str) -> Run:
    """Run `x` [T, B, *input] in the arithmetic of the chip of `device`: fixed point on a Loihi."""
    import cost_models

    target = "loihi" if cost_models.load_device(device).chip.startswith("loihi") else "reference"
    return compile_graph(graph, target).run(x)


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
