"""Canonical form: two genomes that decode to the same graph become one, and no gene is inert."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

from msenas_hw.space.config import Task, own_task
from msenas_hw.space.genome import INPUT, READS, CellGene, Connection, Genome, NodeGene
from msenas_hw.space.labelling import ordered
from msenas_hw.space.layout import Layout, layout, may_halve, size_at
from msenas_hw.space.motifs import MOTIFS
from targets.errors import GraphError

ID_LENGTH = 12
SMALL_KERNEL = 3


def canonical(genome: Genome, task: Task) -> Genome:
    """The one genome that stands for every genome with the same decoded graph.

    Dropped: cells off every forward path from the Input to the readout; halvings below 2 pixels;
    feedback between unequal resolutions, towards a later level, or of as many delays as a sample has steps;
    a number of steps that is the task's; genes that the neuron model does not read; the outer ring of
    a 5x5 kernel where all that it reads is 2x2 pixels. Interchangeable populations and cells are sorted.

    Raises:
        GraphError: no path leads from the Input to the readout.
    """
    own = own_task(genome, task)
    genome = replace(_pruned(genome), steps=None if own == task else own.steps)
    where = layout(genome, task)
    genome = replace(
        genome,
        cells=tuple(
            replace(cell, halve=cell.halve and may_halve(task, _reduced(genome, where, index)))
            for index, cell in enumerate(genome.cells)
        ),
        feedback=frozenset(c for c in genome.feedback if where.allows_feedback(c, own)),
    )
    genome = replace(
        genome, cells=tuple(_clean_cell(genome, where, task, index) for index in range(len(genome.cells)))
    )
    return ordered(genome, where.entry)


def arch_id(genome: Genome, task: Task) -> str:
    """Name of an architecture: the first 12 hex digits of SHA-256 over canonical genome and task.

    Learning rules leave the network as it is, so they are not in it. A number of steps is the same
    whether genome or task names it.
    """
    own = own_task(genome, task)
    text = canonical(genome.without_rules(), own).to_json() + json.dumps(asdict(own), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def live_cells(genome: Genome) -> frozenset[int]:
    """Cells on a forward path from the Input to the readout."""
    from_input, to_readout = {INPUT}, {genome.readout}
    for j in range(len(genome.cells)):
        if any(i in from_input for i in genome.sources(j)):
            from_input.add(j)
    for i in reversed(range(len(genome.cells))):
        if any((i, j) in genome.forward for j in to_readout):
            to_readout.add(i)
    return frozenset(from_input & to_readout)


def _pruned(genome: Genome) -> Genome:
    live = sorted(live_cells(genome))
    if not live:
        raise GraphError(
            "genome: no path leads from the Input to the readout; repair its forward connections"
        )
    new = {old: index for index, old in enumerate(live)} | {INPUT: INPUT, genome.readout: len(live)}

    def kept(connections: frozenset[Connection]) -> frozenset[Connection]:
        return frozenset((new[i], new[j]) for i, j in connections if i in new and j in new)

    cells = tuple(genome.cells[i] for i in live)
    return replace(genome, cells=cells, forward=kept(genome.forward), feedback=kept(genome.feedback))


def _reduced(genome: Genome, where: Layout, index: int) -> int:
    return max((where.halvings[i] for i in genome.sources(index) if i != INPUT), default=0)


def _clean_cell(genome: Genome, where: Layout, task: Task, index: int) -> CellGene:
    cell, motif = genome.cells[index], MOTIFS[genome.cells[index].motif]
    own = max(size_at(task, where.halvings[index]))
    read = [size_at(task, 0 if i == INPUT else where.halvings[i]) for i in genome.sources(index)]
    widest = max(own, *(max(size) for size in read))
    nodes = [
        _clean_node(node, widest if name in motif.entries else own)
        for name, node in zip(motif.populations, cell.nodes, strict=True)
    ]
    if motif.symmetric:
        nodes.sort(key=lambda node: json.dumps(vars(node)))
    return replace(cell, nodes=tuple(nodes))


def _clean_node(node: NodeGene, widest: int) -> NodeGene:
    times: dict[str, Any] = {
        key: float(getattr(node, key)) if key in READS[node.model] else None for key in ("tau", "tau_syn")
    }
    kernel = SMALL_KERNEL if widest < SMALL_KERNEL else node.kernel
    return replace(node, **times, threshold=float(node.threshold), kernel=kernel)
