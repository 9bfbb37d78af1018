"""Learning rules of a genome: which layer has which, and their variation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from msenas_hw.space.canonical import canonical
from msenas_hw.space.config import SpaceConfig, Task
from msenas_hw.space.connectome import READOUT, connectome
from msenas_hw.space.genome import CellGene, Genome, NodeGene


def rules_of(genome: Genome, task: Task) -> dict[str, str]:
    """`{population: learning rule}` of the network that `decode` makes of the genome."""
    genome = canonical(genome, task)
    populations = connectome(genome, task).populations
    rules = {name: population.gene.rule for name, population in populations.items()}
    return {**rules, READOUT: genome.readout_rule}


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
