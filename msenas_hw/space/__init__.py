"""The search space: a typed genome at three scales and its decoding to a SpikingGraph."""

from __future__ import annotations

from msenas_hw.space.canonical import arch_id, canonical
from msenas_hw.space.config import SpaceConfig, Task, own_task
from msenas_hw.space.decode import decode
from msenas_hw.space.genome import CellGene, Genome, NodeGene
from msenas_hw.space.motifs import MOTIFS, Motif, Synapse
from msenas_hw.space.rules import rules_of, vary_rules, with_rules
from msenas_hw.space.size import SpaceSize, estimate_size, size
from msenas_hw.space.variation import Rates, Shares, crossover, mutate, repair, sample

__all__ = [
    "MOTIFS",
    "CellGene",
    "Genome",
    "Motif",
    "NodeGene",
    "Rates",
    "Shares",
    "SpaceConfig",
    "SpaceSize",
    "Synapse",
    "Task",
    "arch_id",
    "canonical",
    "crossover",
    "decode",
    "estimate_size",
    "mutate",
    "own_task",
    "repair",
    "rules_of",
    "sample",
    "size",
    "vary_rules",
    "with_rules",
]
