"""Sampling, mutation and crossover, each acting at the micro, meso and macro scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from msenas_hw.space.canonical import canonical
from msenas_hw.space.config import SpaceConfig, Task, own_task
from msenas_hw.space.genome import INPUT, CellGene, Connection, Genome, NodeGene
from msenas_hw.space.layout import layout
from msenas_hw.space.motifs import MOTIFS
from msenas_hw.space.pairs import feedback_pairs, forward_pairs

Rng = np.random.Generator
Item = TypeVar("Item")
SAMPLED_FORWARD = 0.4
SAMPLED_FEEDBACK = 0.2
ATTEMPTS = 50


@dataclass(frozen=True)
class Rates:
    """Probability of a change: of each gene of a node (micro), of each cell's motif (meso), and of each
    cell's width and halving, of each connection, of the steps of a sample, and of one cell more or fewer
    (macro). The width of the weights into the readout is a micro gene."""

    micro: float = 0.1
    meso: float = 0.15
    macro: float = 0.1


@dataclass(frozen=True)
class Shares:
    """Probability that crossover takes each node gene (micro), cell (meso), or connection, the number of
    cells and the steps (macro) from the second parent."""

    micro: float = 0.5
    meso: float = 0.5
    macro: float = 0.5


RATES = Rates()
SHARES = Shares()


def sample(rng: Rng, config: SpaceConfig, task: Task) -> Genome:
    """A random genome in canonical form."""
    count = int(rng.integers(config.cells[0], config.cells[1] + 1))
    cells = tuple(_random_cell(rng, config) for _ in range(count))
    forward = frozenset(c for c in forward_pairs(count) if rng.random() < SAMPLED_FORWARD)
    feedback = frozenset(c for c in _feedback_pairs(count, config) if rng.random() < SAMPLED_FEEDBACK)
    genome = Genome(
        cells,
        forward,
        feedback,
        _pick(rng, config.rules),
        _pick(rng, config.weight_bits),
        _pick(rng, config.steps) if config.steps else None,
    )
    return _finished(genome, rng, config, task)


def mutate(genome: Genome, rng: Rng, config: SpaceConfig, task: Task, rates: Rates = RATES) -> Genome:
    """A changed genome in canonical form; unchanged only where 50 attempts changed no live gene."""
    for _ in range(ATTEMPTS):
        cells = tuple(_mutated_cell(cell, rng, config, rates) for cell in genome.cells)
        changed = _mutated_macro(replace(genome, cells=cells), rng, config, rates)
        changed = _mutated_whole(changed, rng, config, task, rates)
        child = _finished(changed, rng, config, task)
        if child != genome:
            return child
    return genome


def crossover(
    a: Genome, b: Genome, rng: Rng, config: SpaceConfig, task: Task, shares: Shares = SHARES
) -> Genome:
    """A child of two genomes in canonical form, cell by cell in canonical order.

    The number of cells comes from one parent; a cell that both have comes from either, its node genes
    mixed where the motifs agree; a connection that both could have comes from either.
    """
    longest = b if rng.random() < shares.macro else a
    other = a if longest is b else b
    count, common = len(longest.cells), min(len(a.cells), len(b.cells))
    cells = [_crossed_cell(a.cells[i], b.cells[i], rng, shares) for i in range(common)]
    cells.extend(longest.cells[common:])

    def crossed(pairs: Sequence[Connection], where: str) -> frozenset[Connection]:
        taken = []
        for i, j in pairs:
            shared = i < common and (j < common or j == count)
            from_other = shared and rng.random() < (1 - shares.macro if other is a else shares.macro)
            pair = (i, len(other.cells) if j == count else j) if from_other else (i, j)
            if pair in getattr(other if from_other else longest, where):
                taken.append((i, j))
        return frozenset(taken)

    forward = crossed(forward_pairs(count), "forward")
    feedback = crossed(_feedback_pairs(count, config), "feedback")
    child = replace(longest, cells=tuple(cells), forward=forward, feedback=feedback)
    if a.readout_bits != b.readout_bits:
        taken = b if rng.random() < shares.micro else a
        child = replace(child, readout_bits=taken.readout_bits)
    if a.steps != b.steps:
        child = replace(child, steps=(b if rng.random() < shares.macro else a).steps)
    return _finished(child, rng, config, task)


def repair(genome: Genome, rng: Rng) -> Genome:
    """The genome with connections added so that every cell lies on a path from Input to readout."""
    forward, last = set(genome.forward), genome.readout
    for j in range(last):
        if not any(b == j for _, b in forward):
            forward.add((int(rng.integers(INPUT, j)), j))
    for i in range(last):
        if not any(a == i for a, _ in forward):
            forward.add((i, int(rng.integers(i + 1, last + 1))))
    return replace(genome, forward=frozenset(forward))


def _finished(genome: Genome, rng: Rng, config: SpaceConfig, task: Task) -> Genome:
    genome = repair(genome, rng)
    cells = list(genome.cells)
    for index in range(len(cells)):
        halvings = layout(replace(genome, cells=tuple(cells)), task).halvings
        if halvings[index] > config.max_halvings:
            cells[index] = replace(cells[index], halve=False)
    return canonical(replace(genome, cells=tuple(cells)), task)


def _feedback_pairs(count: int, config: SpaceConfig) -> list[Connection]:
    return feedback_pairs(count) if config.feedback else []


def _pick(rng: Rng, values: Sequence[Item]) -> Item:
    return values[int(rng.integers(len(values)))]


# Gene of a node, and the list of its values in SpaceConfig; the model comes first. Learning rules are
# not among them: the fitness cannot see them, so `msenas_hw.space.rules` varies them apart.
_GENES = (
    ("model", "models"),
    ("tau", "taus"),
    ("tau_syn", "taus_syn"),
    ("threshold", "thresholds"),
    ("kernel", "kernels"),
)


def _random_node(rng: Rng, config: SpaceConfig) -> NodeGene:
    genes: dict[str, Any] = {gene: _pick(rng, getattr(config, values)) for gene, values in _GENES}
    return NodeGene(**genes, rule=_pick(rng, config.rules), weight_bits=_pick(rng, config.weight_bits))


def _random_cell(rng: Rng, config: SpaceConfig) -> CellGene:
    motif = _pick(rng, config.motifs)
    nodes = tuple(_random_node(rng, config) for _ in MOTIFS[motif].populations)
    return CellGene(motif, _pick(rng, config.widths), bool(rng.random() < 0.5), nodes)


def _other(rng: Rng, values: Sequence[Item], current: Item) -> Item:
    others = [value for value in values if value != current]
    return _pick(rng, others) if others else current


def _mutated_node(node: NodeGene, rng: Rng, config: SpaceConfig, rate: float) -> NodeGene:
    changes: dict[str, Any] = {}
    for gene, values in _GENES:
        current, allowed = getattr(node, gene), getattr(config, values)
        if current is None:  # inert so far; a change of the model may wake it
            changes[gene] = _pick(rng, allowed)
        elif rng.random() < rate:
            changes[gene] = _other(rng, allowed, current)
    if _drawn(rng, config.weight_bits, rate):
        changes["weight_bits"] = _other(rng, config.weight_bits, node.weight_bits)
    return replace(node, **changes)


def _drawn(rng: Rng, values: Sequence[Any], rate: float) -> bool:
    """Whether a gene mutates; without a choice it takes no random number, so old searches keep theirs."""
    return len(values) > 1 and rng.random() < rate


def _mutated_cell(cell: CellGene, rng: Rng, config: SpaceConfig, rates: Rates) -> CellGene:
    nodes = [_mutated_node(node, rng, config, rates.micro) for node in cell.nodes]
    motif, width, halve = cell.motif, cell.width, cell.halve
    if rng.random() < rates.meso:
        motif = _other(rng, config.motifs, motif)
        nodes = [
            nodes[rng.integers(len(nodes))] if rng.random() < 0.5 else _random_node(rng, config)
            for _ in MOTIFS[motif].populations
        ]
    if rng.random() < rates.macro:
        width = _other(rng, config.widths, width)
    if rng.random() < rates.macro:
        halve = not halve
    return CellGene(motif, width, halve, tuple(nodes))


def _mutated_macro(genome: Genome, rng: Rng, config: SpaceConfig, rates: Rates) -> Genome:
    count = len(genome.cells)
    forward = genome.forward ^ {c for c in forward_pairs(count) if rng.random() < rates.macro}
    feedback = genome.feedback ^ {c for c in _feedback_pairs(count, config) if rng.random() < rates.macro}
    genome = replace(genome, forward=forward, feedback=feedback)
    if count < config.cells[1] and rng.random() < rates.macro:
        genome = _inserted(genome, int(rng.integers(count + 1)), rng, config)
    elif count > config.cells[0] and rng.random() < rates.macro:
        genome = _removed(genome, int(rng.integers(count)))
    return genome


def _mutated_whole(genome: Genome, rng: Rng, config: SpaceConfig, task: Task, rates: Rates) -> Genome:
    """The genes that a network has once."""
    if _drawn(rng, config.weight_bits, rates.micro):
        genome = replace(genome, readout_bits=_other(rng, config.weight_bits, genome.readout_bits))
    if _drawn(rng, config.steps, rates.macro):
        genome = replace(genome, steps=_other(rng, config.steps, own_task(genome, task).steps))
    return genome


def _inserted(genome: Genome, at: int, rng: Rng, config: SpaceConfig) -> Genome:
    """One more cell at index `at`, connected as `sample` connects."""
    moved = _renamed(genome, {i: i + (i >= at) for i in range(INPUT, genome.readout + 1)})
    cells = (*genome.cells[:at], _random_cell(rng, config), *genome.cells[at:])
    count = len(cells)
    new_forward = {c for c in forward_pairs(count) if at in c and rng.random() < SAMPLED_FORWARD}
    new_feedback = {c for c in _feedback_pairs(count, config) if at in c and rng.random() < SAMPLED_FEEDBACK}
    return replace(genome, cells=cells, forward=moved[0] | new_forward, feedback=moved[1] | new_feedback)


def _removed(genome: Genome, at: int) -> Genome:
    """One cell fewer; its sources connect to its targets, so that what lay behind it still lives."""
    bridges = {(i, j) for i, a in genome.forward for b, j in genome.forward if a == at == b}
    wired = replace(genome, forward=genome.forward | (bridges - {(INPUT, genome.readout)}))
    index = {i: i - (i > at) for i in range(INPUT, genome.readout + 1) if i != at}
    forward, feedback = _renamed(wired, index)
    cells = (*genome.cells[:at], *genome.cells[at + 1 :])
    return replace(genome, cells=cells, forward=forward, feedback=feedback)


def _renamed(genome: Genome, index: dict[int, int]) -> tuple[frozenset[Connection], frozenset[Connection]]:
    def renamed(connections: frozenset[Connection]) -> frozenset[Connection]:
        return frozenset((index[i], index[j]) for i, j in connections if i in index and j in index)

    return renamed(genome.forward), renamed(genome.feedback)


def _crossed_cell(a: CellGene, b: CellGene, rng: Rng, shares: Shares) -> CellGene:
    base = b if rng.random() < shares.meso else a
    if a.motif != b.motif:
        return base
    nodes = tuple(_crossed_node(x, y, rng, shares.micro) for x, y in zip(a.nodes, b.nodes, strict=True))
    return replace(base, nodes=nodes)


def _crossed_node(a: NodeGene, b: NodeGene, rng: Rng, share: float) -> NodeGene:
    model = b if rng.random() < share else a
    changes: dict[str, Any] = {}
    for gene, _ in _GENES[1:]:
        first, second = (b, a) if rng.random() < share else (a, b)
        value = getattr(first, gene)
        changes[gene] = getattr(second, gene) if value is None else value
    if a.weight_bits != b.weight_bits:
        changes["weight_bits"] = (b if rng.random() < share else a).weight_bits
    return replace(model, **changes)
