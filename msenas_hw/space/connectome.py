"""Populations and the projections between them, before any weight is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msenas_hw.space.config import Task
from msenas_hw.space.genome import INPUT, Genome, NodeGene
from msenas_hw.space.layout import Layout, layout, size_at
from msenas_hw.space.motifs import MOTIFS, Sign
from targets.graph.order import components

READOUT = "readout"
INPUT_NAME = "input"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Population:
    """Neurons of one gene; `shape` is (channels, rows, columns), of the readout (classes,)."""

    gene: NodeGene
    shape: Shape


@dataclass(frozen=True)
class Projection:
    """One synapse node between two populations (or the Input and a population).

    Attributes:
        delay: steps on the way.
        stride: ratio of resolutions.
        bias: this projection carries the target's bias.
    """

    source: str
    target: str
    sign: Sign = "mixed"
    delay: int = 0
    stride: int = 1
    neighbours_only: bool = False
    bias: bool = False

    @property
    def name(self) -> str:
        """Name of the synapse node: `cell1.A>B` inside a cell, `cell1.B>cell2.A` between cells."""
        cell, _, population = self.target.partition(".")
        inside = self.source.startswith(f"{cell}.")
        return f"{self.source}>{population if inside else self.target}"


@dataclass(frozen=True)
class Connectome:
    """Populations by name, and projections in the order in which they are summed."""

    input_shape: Shape
    populations: Mapping[str, Population]
    projections: tuple[Projection, ...]

    def shape(self, name: str) -> Shape:
        """Shape of a population or of the Input."""
        return self.input_shape if name == INPUT_NAME else self.populations[name].shape


def connectome(genome: Genome, task: Task) -> Connectome:
    """Wiring of a canonical genome.

    Into each population come first the forward projections, then those of its motif, then feedback.
    The first that lies on no cycle carries the bias; a population with none has no bias.
    """
    where = layout(genome, task)
    populations = {
        f"{_cell(index)}.{name}": Population(node, (cell.width, *size_at(task, where.halvings[index])))
        for index, cell in enumerate(genome.cells)
        for name, node in zip(MOTIFS[cell.motif].populations, cell.nodes, strict=True)
    }
    gene = NodeGene("if", None, None, 1.0, 1, weight_bits=genome.readout_bits)
    populations[READOUT] = Population(gene, (task.classes,))
    projections = [*_forward(genome, where), *_inside(genome), *_feedback(genome, where)]
    return Connectome(task.input_shape, populations, _with_bias(list(populations), projections))


def _cell(index: int) -> str:
    return f"cell{index + 1}"


def _outputs(genome: Genome, index: int) -> list[str]:
    if index == INPUT:
        return [INPUT_NAME]
    return [f"{_cell(index)}.{name}" for name in MOTIFS[genome.cells[index].motif].outputs]


def _entries(genome: Genome, index: int) -> list[str]:
    if index == genome.readout:
        return [READOUT]
    return [f"{_cell(index)}.{name}" for name in MOTIFS[genome.cells[index].motif].entries]


def _forward(genome: Genome, where: Layout) -> list[Projection]:
    halvings = (*where.halvings, 0)
    return [
        Projection(
            source,
            target,
            stride=1 if j == genome.readout else 2 ** (halvings[j] - (0 if i < 0 else halvings[i])),
        )
        for i, j in sorted(genome.forward)
        for target in _entries(genome, j)
        for source in _outputs(genome, i)
    ]


def _inside(genome: Genome) -> list[Projection]:
    found = []
    for index, cell in enumerate(genome.cells):
        motif, own = MOTIFS[cell.motif], _cell(index)
        for synapse in motif.synapses:
            source, target = f"{own}.{synapse.source}", f"{own}.{synapse.target}"
            delay, alone = motif.delay(synapse), synapse.neighbours_only
            found.append(Projection(source, target, synapse.sign, delay, neighbours_only=alone))
    return found


def _feedback(genome: Genome, where: Layout) -> list[Projection]:
    return [
        Projection(source, target, delay=where.feedback_delay(i, j))
        for i, j in sorted(genome.feedback)
        for target in _entries(genome, j)
        for source in _outputs(genome, i)
    ]


def _with_bias(names: list[str], projections: list[Projection]) -> tuple[Projection, ...]:
    pairs = [(p.source, p.target) for p in projections if p.source != INPUT_NAME]
    of = {name: index for index, group in enumerate(components(names, pairs)) for name in group}
    biased: set[str] = set()
    result = []
    for projection in projections:
        acyclic = of.get(projection.source) != of[projection.target]
        bias = acyclic and projection.target not in biased
        if bias:
            biased.add(projection.target)
        result.append(replace(projection, bias=bias))
    return tuple(result)
