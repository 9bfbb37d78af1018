"""How many different networks a space holds, estimated without bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import log10

import numpy as np

from msenas_hw.space.canonical import canonical, live_cells
from msenas_hw.space.config import SpaceConfig, Task
from msenas_hw.space.genome import CellGene, Connection, Genome, Model, NodeGene
from msenas_hw.space.labelling import automorphisms
from msenas_hw.space.layout import layout
from msenas_hw.space.motifs import MOTIFS
from msenas_hw.space.pairs import feedback_pairs, forward_pairs

METHOD = (
    "importance sampling: genomes drawn uniformly with all cells labelled, weighted by 1 / (number of "
    "labellings of the same network), those with an inert gene or dead cell counting zero"
)


# A task so large and long that it forbids no halving and no feedback.
ROOMY = Task((1, 1 << 16, 1 << 16), 2, 1 << 16)


@dataclass(frozen=True)
class SpaceSize:
    """Estimated number of canonical genomes.

    Attributes:
        networks: the estimate; `standard_error` in the same unit.
        by_cells: the estimate for each number of cells.
        method: how, in words.
    """

    networks: float
    standard_error: float
    by_cells: Mapping[int, float]
    method: str = METHOD

    def __str__(self) -> str:
        return f"10^{log10(self.networks):.1f} networks"


def size(config: SpaceConfig, task: Task = ROOMY) -> float:
    """Number of networks of a space, by `estimate_size` with a fixed seed."""
    return estimate_size(config, task, np.random.default_rng(0)).networks


def estimate_size(config: SpaceConfig, task: Task, rng: np.random.Generator, samples: int = 500) -> SpaceSize:
    """Estimate the number of canonical genomes of a space from `samples` draws for each number of cells."""
    by_cells: dict[int, float] = {}
    variance = 0.0
    for count in range(config.cells[0], config.cells[1] + 1):
        weights = np.array([_weight(rng, config, _timed(rng, config, task), count) for _ in range(samples)])
        labelled = _labelled(config, count)
        by_cells[count] = labelled * float(weights.mean())
        variance += (labelled * float(weights.std(ddof=1))) ** 2 / samples
    return SpaceSize(sum(by_cells.values()), variance**0.5, by_cells)


def _node_genes(config: SpaceConfig) -> list[NodeGene]:
    """Every node gene without inert values."""
    times: dict[Model, list[tuple[float | None, float | None]]] = {
        "if": [(None, None)],
        "lif": [(tau, None) for tau in config.taus],
        "cubalif": [(tau, tau_syn) for tau in config.taus for tau_syn in config.taus_syn],
    }
    return [
        NodeGene(model, tau, tau_syn, threshold, kernel, weight_bits=bits)
        for model in config.models
        for tau, tau_syn in times[model]
        for threshold in config.thresholds
        for kernel in config.kernels
        for bits in config.weight_bits
    ]


def _variants(config: SpaceConfig) -> list[int]:
    """Choices of node genes for each motif of the space; unordered where the motif is symmetric."""
    nodes = len(_node_genes(config))
    return [
        nodes * (nodes + 1) // 2 if MOTIFS[name].symmetric else nodes ** len(MOTIFS[name].populations)
        for name in config.motifs
    ]


def _labelled(config: SpaceConfig, count: int) -> float:
    cells = sum(_variants(config)) * len(config.widths) * 2
    whole = len(config.weight_bits) * max(1, len(config.steps))
    return float(whole * cells**count * 2 ** len(forward_pairs(count)))


def _timed(rng: np.random.Generator, config: SpaceConfig, task: Task) -> Task:
    """The task with one of the space's numbers of steps; which feedback there is depends on it."""
    return replace(task, steps=config.steps[rng.integers(len(config.steps))]) if config.steps else task


def _cell(rng: np.random.Generator, config: SpaceConfig, genes: list[NodeGene]) -> CellGene:
    variants = np.array(_variants(config), dtype=np.float64)
    motif = MOTIFS[name := config.motifs[rng.choice(len(variants), p=variants / variants.sum())]]
    picks = [int(i) for i in rng.integers(len(genes), size=len(motif.populations))]
    while motif.symmetric and picks != sorted(picks):
        picks = [int(i) for i in rng.integers(len(genes), size=len(motif.populations))]
    width = config.widths[rng.integers(len(config.widths))]
    return CellGene(name, width, bool(rng.random() < 0.5), tuple(genes[i] for i in picks))


def _weight(rng: np.random.Generator, config: SpaceConfig, task: Task, count: int) -> float:
    """2^(feedback connections possible) / labellings of a uniform draw; 0 where a gene is inert."""
    genes = _node_genes(config)
    cells = tuple(_cell(rng, config, genes) for _ in range(count))
    forward = frozenset(pair for pair in forward_pairs(count) if rng.random() < 0.5)
    genome = Genome(cells, forward, frozenset(feedback_pairs(count) if config.feedback else ()))
    if len(live_cells(genome)) < count:
        return 0.0
    where = layout(genome, task)
    if max(where.halvings) > config.max_halvings:
        return 0.0
    possible = [pair for pair in sorted(genome.feedback) if where.allows_feedback(pair, task)]
    chosen = frozenset(pair for pair in possible if rng.random() < 0.5)
    genome = Genome(cells, forward, chosen)
    clean = canonical(genome, task)
    if _genes_of(clean) != _genes_of(genome):
        return 0.0
    own = layout(clean, task)
    labellings = _orders(clean.forward, clean.feedback, count) / automorphisms(clean, own.entry)
    return float(2 ** len(possible)) / labellings


def _genes_of(genome: Genome) -> list[str]:
    return sorted(
        repr(
            (
                cell.motif,
                cell.width,
                cell.halve,
                sorted(map(repr, cell.nodes)) if MOTIFS[cell.motif].symmetric else cell.nodes,
            )
        )
        for cell in genome.cells
    )


def _orders(forward: frozenset[Connection], feedback: frozenset[Connection], count: int) -> int:
    """Orders of the cells that keep forward connections forward and feedback backward."""
    before = [0] * count
    for i, j in [*forward, *((j, i) for i, j in feedback)]:
        if i >= 0 and j < count:
            before[j] |= 1 << i

    @cache
    def completions(placed: int) -> int:
        if placed == (1 << count) - 1:
            return 1
        free = [j for j in range(count) if not placed >> j & 1 and before[j] & placed == before[j]]
        return sum(completions(placed | 1 << j) for j in free)

    return completions(0)
