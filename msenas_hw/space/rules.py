"""Learning rules of a genome: which layer has which, and their variation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from msenas_hw.space.canonical import canonical
from msenas_hw.space.config import SpaceConfig, Task
from msenas_hw.space.connectome import READOUT, connectome
from msenas_hw.space.genome import Genome
from msenas_hw.training.rules.assignment import LayerRules


def rules_of(genome: Genome, task: Task) -> dict[str, str]:
    """`{population: learning rule}` of the network that `decode` makes of the genome.

    The readout has the error itself, so of its gene only the feedback and the temporal rule act.
    """
    genome = canonical(genome, task)
    populations = connectome(genome, task).populations
    rules = {name: population.gene.rule for name, population in populations.items()}
    own = LayerRules.model_validate(genome.readout_rule)
    return {**rules, READOUT: str(LayerRules(feedback=own.feedback, temporal=own.temporal))}


def with_rules(genome: Genome, cells: str, readout: str) -> Genome:
    """The same architecture, every population of a cell learning by `cells`, the readout by `readout`."""
    return _ruled(genome, lambda rule: cells, lambda rule: readout)


def vary_rules(genome: Genome, rng: np.random.Generator, config: SpaceConfig, rate: float = 1.0) -> Genome:
    """The same architecture; each layer's rule is drawn again from `config.rules` with probability `rate`."""

    def drawn(current: str) -> str:
        chosen = config.rules[int(rng.integers(len(config.rules)))]
        return chosen if rng.random() < rate else current

    return _ruled(genome, drawn, drawn)


def _ruled(genome: Genome, cells: Callable[[str], str], readout: Callable[[str], str]) -> Genome:
    ruled = tuple(
        replace(cell, nodes=tuple(replace(node, rule=cells(node.rule)) for node in cell.nodes))
        for cell in genome.cells
    )
    return replace(genome, cells=ruled, readout_rule=readout(genome.readout_rule))
