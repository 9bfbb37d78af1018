"""Training-free fitness: RDM on real samples through the balanced, untrained network."""

from __future__ import annotations

from msenas_hw.fitness.balance import Balanced, Dead, balance
from msenas_hw.fitness.evaluate import Fitness, VarianceReport, fitness, variance_report
from msenas_hw.fitness.rdm import distance, rdm

__all__ = [
    "Balanced",
    "Dead",
    "Fitness",
    "VarianceReport",
    "balance",
    "distance",
    "fitness",
    "rdm",
    "variance_report",
]
