"""The genome: typed genes at three scales.

micro  `NodeGene`: neuron model, time constants, threshold, kernel, width of the weights and learning rule
       of one population
meso   `CellGene.motif`: the circuit inside a cell
macro  number, width and halving of the cells, the connections between them, and the steps of a sample
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from msenas_hw.space.motifs import MOTIFS
from targets.errors import ConfigError

Model = Literal["if", "lif", "cubalif"]
Connection = tuple[int, int]
INPUT = -1
# What a gene is where the JSON does not name it.
BACKPROPAGATION = "bp"
WEIGHT_BITS = 8
# The time constants that each model reads.
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
        weight_bits: width in which a chip stores every weight into the population.

    Raises:
        ConfigError: unknown model, a time constant that the model reads is missing or below one step,
            a threshold that is not positive, an even kernel, or a width that no chip stores.
    """

    model: Model
    tau: float | None
    tau_syn: float | None
    threshold: float
    kernel: int
    rule: str = BACKPROPAGATION
    weight_bits: int = WEIGHT_BITS

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
        _check_bits("node gene: weight_bits", self.weight_bits)


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

    def to_dict(self) -> dict[str, Any]:
        """Genes by name, in the order of their definition; `dataclasses.asdict` would copy each value."""
        return {**vars(self), "nodes": [dict(vars(node)) for node in self.nodes]}


@dataclass(frozen=True)
class Genome:
    """Cells and the connections between them.

    Attributes:
        cells: in an order in which every forward connection points forward.
        forward: `(i, j)`, i < j; i = -1 is the Input, j = len(cells) the readout. The Input does not
            connect to the readout.
        feedback: `(i, j)`, i > j, both cells.
        readout_rule: learning rule of the readout.
        readout_bits: width in which a chip stores the weights into the readout.
        steps: time steps of a sample; None means those of the task.

    Raises:
        ConfigError: a connection or the number of node genes is outside its range.
    """

    cells: tuple[CellGene, ...]
    forward: frozenset[Connection]
    feedback: frozenset[Connection] = frozenset()
    readout_rule: str = BACKPROPAGATION
    readout_bits: int = WEIGHT_BITS
    steps: int | None = None

    def __post_init__(self) -> None:
        last = len(self.cells)
        _check_bits("readout_bits", self.readout_bits)
        if self.steps is not None and (type(self.steps) is not int or self.steps < 1):
            raise ConfigError(f"steps: found {self.steps!r}, allowed a whole number >= 1")
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
        """Plain lists and dictionaries, connections sorted.

        Back-propagation, weights of 8 bits and the steps of the task go without saying.
        """
        cells = [cell.to_dict() for cell in self.cells]
        for node in (node for cell in cells for node in cell["nodes"]):
            for key in [key for key, usual in _USUAL_OF_NODE.items() if node[key] == usual]:
                del node[key]
        values = {key: getattr(self, key) for key in _USUAL}
        spoken = {key: value for key, value in values.items() if value != _USUAL[key]}
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
                **{key: data[key] for key in _USUAL if key in data},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a genome: {type(error).__name__} {error}") from None


_USUAL_OF_NODE: Mapping[str, Any] = {"rule": BACKPROPAGATION, "weight_bits": WEIGHT_BITS}
_USUAL: Mapping[str, Any] = {"readout_rule": BACKPROPAGATION, "readout_bits": WEIGHT_BITS, "steps": None}


def _check_bits(what: str, bits: int) -> None:
    if bits not in range(1, 9):
        raise ConfigError(f"{what} is {bits}, allowed 1 to 8")


def _plain(node: NodeGene) -> NodeGene:
    return node if node.rule == BACKPROPAGATION else replace(node, rule=BACKPROPAGATION)


def _cell(data: dict[str, Any]) -> CellGene:
    nodes = tuple(NodeGene(**node) for node in data["nodes"])
    return CellGene(str(data["motif"]), int(data["width"]), bool(data["halve"]), nodes)
