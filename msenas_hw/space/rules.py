"""Learning rules of a genome: which layer has which, and their variation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from msenas_hw.space.canonical import canonical
from msenas_hw.space.config import SpaceConfig, Task
from msenas_hw.space.connectome import READOUT, connectome
from msenas_hw.space.genome import CellGene, Genome, NodeGene
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


def vary_rules(genome: Genome, rng: np.random.Generator, config: SpaceConfig, rate: float = 1.0) -> Genome:
    """The same architecture; each layer's rule is drawn again from `config.rules` with probability `rate`."""

    def drawn(current: str) -> str:
        chosen = config.rules[int(rng.integers(len(config.rules)))]
        return chosen if rng.random() < rate else current

    def varied(node: NodeGene) -> NodeGene:
        return replace(node, rule=drawn(node.rule))

    def cell(gene: CellGene) -> CellGene:
        return replace(gene, nodes=tuple(varied(node) for node in gene.nodes))

    cells = tuple(cell(gene) for gene in genome.cells)
    return replace(genome, cells=cells, readout_rule=drawn(genome.readout_rule))
