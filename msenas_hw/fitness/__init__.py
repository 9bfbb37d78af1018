"""Training-free fitness: an RDM variant on real samples through the balanced, untrained network."""

from __future__ import annotations

from msenas_hw.fitness.balance import Balanced, Dead, balance
from msenas_hw.fitness.evaluate import Fitness, VarianceReport, fitness, variance_report
from msenas_hw.fitness.rdm import DEFAULT, VARIANTS, Recording, distance, effective_rank, rdm, score

__all__ = [
    "DEFAULT",
    "VARIANTS",
    "Balanced",
    "Dead",
    "Fitness",
    "Recording",
    "VarianceReport",
    "balance",
    "distance",
    "effective_rank",
    "fitness",
    "rdm",
    "score",
    "variance_report",
]
