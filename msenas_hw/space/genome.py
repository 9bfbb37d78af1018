"""The genome: typed genes at three scales.

micro  `NodeGene`: neuron model, time constants, threshold, kernel and learning rule of one population
meso   `CellGene.motif`: the circuit inside a cell
macro  number, width and halving of the cells, and the connections between them
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from msenas_hw.space.motifs import MOTIFS
from targets.errors import ConfigError

Model = Literal["if", "lif", "cubalif"]
Connection = tuple[int, int]
INPUT = -1
# The time constants that each model reads.
BACKPROPAGATION = "bp"
READS: Mapping[str, tuple[str, ...]] = {"if": (), "lif": ("tau",), "cubalif": ("tau", "tau_syn")}


@dataclass(frozen=True)
class NodeGene:
    """One population.

    Attributes:
        tau: membrane time constant in steps; inert for `if`.
        tau_syn: synaptic time constant in steps; inert unless `cubalif`.
        threshold: firing threshold, where 1 is what balancing aims at.
        kernel: side of every convolution into the population, in pixels; odd.
        rule: learning rule of the population and the synapses into it, in the words of
            `msenas_hw.training.rules`. It changes training alone, so architectures ignore it.

    Raises:
        ConfigError: unknown model, a time constant that the model reads is missing or below one step,
            a threshold that is not positive, or an even kernel.
    """

    model: Model
    tau: float | None
    tau_syn: float | None
    threshold: float
    kernel: int
    rule: str = BACKPROPAGATION

    def __post_init__(self) -> None:
        if self.model not in READS:
            raise ConfigError(f"node gene: model {self.model!r}, allowed {', '.join(READS)}")
        for key in READS[self.model]:
            value = getattr(self, key)
            if value is None or not 1.0 <= value < float("inf"):
                raise ConfigError(f"node gene ({self.model}): {key} is {value}, allowed steps >= 1")
        if not 0.0 < self.threshold < float("inf"):
            raise ConfigError(f"node gene: threshold is {self.threshold}, allowed > 0")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"node gene: kernel is {self.kernel}, allowed an odd number of pixels")


@dataclass(frozen=True)
class CellGene:
    """One cell: a motif whose populations have `width` channels each.

    Attributes:
        halve: the cell has half the resolution of its finest-reduced source.
        nodes: one gene for each population of the motif, in the motif's order.
    """

    motif: str
    width: int
    halve: bool
    nodes: tuple[NodeGene, ...]


@dataclass(frozen=True)
class Genome:
    """Cells and the connections between them.

    Attributes:
        cells: in an order in which every forward connection points forward.
        forward: `(i, j)`, i < j; i = -1 is the Input, j = len(cells) the readout. The Input does not
            connect to the readout.
        feedback: `(i, j)`, i > j, both cells.
        readout_rule: learning rule of the readout.

    Raises:
        ConfigError: a connection or the number of node genes is outside its range.
    """

    cells: tuple[CellGene, ...]
    forward: frozenset[Connection]
    feedback: frozenset[Connection] = frozenset()
    readout_rule: str = BACKPROPAGATION

    def __post_init__(self) -> None:
        last = len(self.cells)
        for i, j in self.forward:
            if not INPUT <= i < j <= last or (i, j) == (INPUT, last):
                raise ConfigError(
                    f"forward connection {(i, j)}: allowed -1 <= i < j <= {last}, not (-1, {last})"
                )
        for i, j in self.feedback:
            if not 0 <= j < i < last:
                raise ConfigError(f"feedback connection {(i, j)}: allowed 0 <= j < i < {last}")
        for index, cell in enumerate(self.cells):
            if cell.motif not in MOTIFS:
                raise ConfigError(f"cell {index}: motif {cell.motif!r}, allowed {', '.join(MOTIFS)}")
            wanted = len(MOTIFS[cell.motif].populations)
            if len(cell.nodes) != wanted:
                raise ConfigError(
                    f"cell {index} ({cell.motif}): {len(cell.nodes)} node genes, allowed {wanted}"
                )

    @property
    def readout(self) -> int:
        """Index that stands for the readout in `forward`."""
        return len(self.cells)

    def sources(self, j: int) -> list[int]:
        """Forward sources of cell (or readout) j, ascending; -1 is the Input."""
        return sorted(a for a, b in self.forward if b == j)

    def without_rules(self) -> Genome:
        """The same architecture, every layer learning by back-propagation."""
        cells = (replace(cell, nodes=tuple(_plain(node) for node in cell.nodes)) for cell in self.cells)
        return replace(self, cells=tuple(cells), readout_rule=BACKPROPAGATION)

    def to_json(self) -> str:
        """Compact JSON with sorted keys: equal genomes give equal text."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and dictionaries, connections sorted; back-propagation goes without saying."""
        cells = [asdict(cell) for cell in self.cells]
        for node in (node for cell in cells for node in cell["nodes"]):
            if node["rule"] == BACKPROPAGATION:
                del node["rule"]
        spoken = {} if self.readout_rule == BACKPROPAGATION else {"readout_rule": self.readout_rule}
        return {
            "cells": cells,
            "forward": [list(pair) for pair in sorted(self.forward)],
            "feedback": [list(pair) for pair in sorted(self.feedback)],
            **spoken,
        }

    @classmethod
    def from_json(cls, text: str) -> Genome:
        """Inverse of `to_json`; ConfigError where the text is no genome."""
        try:
            data = json.loads(text)
            return cls(
                tuple(_cell(cell) for cell in data["cells"]),
                frozenset((int(a), int(b)) for a, b in data["forward"]),
                frozenset((int(a), int(b)) for a, b in data["feedback"]),
                str(data.get("readout_rule", BACKPROPAGATION)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a genome: {type(error).__name__} {error}") from None


def _plain(node: NodeGene) -> NodeGene:
    return node if node.rule == BACKPROPAGATION else replace(node, rule=BACKPROPAGATION)


def _cell(data: dict[str, Any]) -> CellGene:
    nodes = tuple(NodeGene(**node) for node in data["nodes"])
    return CellGene(str(data["motif"]), int(data["width"]), bool(data["halve"]), nodes)
