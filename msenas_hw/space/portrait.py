"""A network as a person reads it: in tables for a machine, and in text with every motif drawn.

Counts come from the wiring, before any weight is drawn: `weights` are those that may differ from zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from msenas_hw.space.canonical import arch_id, canonical
from msenas_hw.space.config import Task, own_task
from msenas_hw.space.connectome import READOUT, Connectome, Projection, connectome
from msenas_hw.space.genome import INPUT, CellGene, Genome, NodeGene
from msenas_hw.space.layout import Layout, layout
from msenas_hw.space.motif_text import motif_lines
from msenas_hw.space.motifs import MOTIFS

LEGEND = "──▶ excitatory   ──┤ inhibitory   a number on a line: steps of delay"
Table = dict[str, Any]


def portrait(genome: Genome, task: Task) -> Table:
    """Everything about the network of a genome, as plain tables."""
    arch = arch_id(genome, task)
    genome, task = canonical(genome, task), own_task(genome, task)
    wiring, where = connectome(genome, task), layout(genome, task)
    counts = _counts(wiring)
    cells = [
        {**_cell(genome, index, wiring, counts), "level": where.entry[index]}
        for index in range(len(genome.cells))
    ]
    readout = {
        "population": READOUT,
        "weight_bits": genome.readout_bits,
        "rule": genome.readout_rule,
        "neurons": task.classes,
        **counts[READOUT],
    }
    populations = [*(row for cell in cells for row in cell["populations"]), readout]
    return {
        "arch": arch,
        "steps": task.steps,
        "dt_s": task.dt,
        "input": list(task.input_shape),
        "classes": task.classes,
        **{key: sum(row[key] for row in populations) for key in ("neurons", "weights", "biases")},
        "connections": list(_connections(genome, where)),
        "cells": cells,
        "readout": readout,
    }


def portrait_text(shown: Mapping[str, Any]) -> str:
    """The text of a `portrait`."""
    head = (
        f"network {shown['arch']}: {_many(len(shown['cells']), 'cell')}, {shown['neurons']:,} neurons, "
        f"{shown['weights']:,} weights, {shown['biases']:,} biases"
    )
    frame = (
        f"input {_times(shown['input'])}, T = {shown['steps']} steps of {shown['dt_s']:g} s, "
        f"{shown['classes']} classes"
    )
    links = [_link_line(link) for link in shown["connections"]]
    blocks = [_cell_block(cell) for cell in shown["cells"]]
    readout = [READOUT, *_aligned([["", *_population_words({"model": "if", **shown["readout"]})]])]
    return "\n\n".join("\n".join(part) for part in [[head, frame, LEGEND], links, *blocks, readout])


def name_of(index: int, genome: Genome) -> str:
    """The Input, a cell or the readout, as nodes of the graph are called."""
    if index == INPUT:
        return "input"
    return READOUT if index == genome.readout else f"cell{index + 1}"


def model_words(node: NodeGene | Mapping[str, Any]) -> list[str]:
    """Model and time constants of a population."""
    value = node.get if isinstance(node, Mapping) else node.__dict__.get
    times = [f"{key} {value(key):g}" for key in ("tau", "tau_syn") if value(key) is not None]
    return [str(value("model")).upper() if value("model") != "cubalif" else "CubaLIF", *times]


def _counts(wiring: Connectome) -> dict[str, dict[str, int]]:
    """Weights and biases into every population."""
    found = {name: {"weights": 0, "biases": 0} for name in wiring.populations}
    for projection in wiring.projections:
        into = found[projection.target]
        into["weights"] += _weights(projection, wiring)
        into["biases"] += wiring.populations[projection.target].shape[0] * projection.bias
    return found


def _weights(projection: Projection, wiring: Connectome) -> int:
    source, target = wiring.shape(projection.source), wiring.populations[projection.target]
    if projection.target == READOUT:
        return prod(source) * target.shape[0]
    itself = target.shape[0] if projection.neighbours_only else 0
    return source[0] * target.shape[0] * target.gene.kernel**2 - itself


def _cell(genome: Genome, index: int, wiring: Connectome, counts: Mapping[str, dict[str, int]]) -> Table:
    cell, own = genome.cells[index], name_of(index, genome)
    motif = MOTIFS[cell.motif]
    rows = [
        {
            "population": name,
            "receives": name in motif.entries,
            "projects": name in motif.outputs,
            **vars(node),
            "neurons": prod(wiring.populations[f"{own}.{name}"].shape),
            **counts[f"{own}.{name}"],
        }
        for name, node in zip(motif.populations, cell.nodes, strict=True)
    ]
    return {
        "cell": own,
        "motif": cell.motif,
        "shape": list(wiring.populations[f"{own}.{motif.populations[0]}"].shape),
        "halve": cell.halve,
        "populations": rows,
        "synapses": list(_synapses(cell)),
    }


def _synapses(cell: CellGene) -> Iterator[Table]:
    motif = MOTIFS[cell.motif]
    for synapse in motif.synapses:
        yield {
            "source": synapse.source,
            "target": synapse.target,
            "sign": synapse.sign,
            "delay": motif.delay(synapse),
            "neighbours_only": synapse.neighbours_only,
        }


def _connections(genome: Genome, where: Layout) -> Iterator[Table]:
    """Forward connections by target, then feedback; `skips` counts the hops that a connection leaps over."""
    halvings, out, entry = (*where.halvings, 0), (*where.out, 0), (*where.entry, where.readout)
    for i, j in sorted(genome.forward, key=lambda pair: (pair[1], pair[0])):
        stride = 1 if j == genome.readout else 2 ** (halvings[j] - halvings[i])
        yield {
            "source": name_of(i, genome), "target": name_of(j, genome), "kind": "forward",
            "stride": stride, "skips": entry[j] - out[i] - 1, "delay": 0,
        }  # fmt: skip
    for i, j in sorted(genome.feedback):
        yield {
            "source": name_of(i, genome), "target": name_of(j, genome), "kind": "feedback",
            "stride": 1, "skips": 0, "delay": where.feedback_delay(i, j),
        }  # fmt: skip


def _link_line(link: Mapping[str, Any]) -> str:
    notes = []
    if link["kind"] == "feedback":
        notes.append(f"feedback, delay {link['delay']}")
    if link["skips"]:
        notes.append(f"skips {_many(link['skips'], 'level')}")
    if link["stride"] > 1:
        notes.append(f"resolution / {link['stride']}")
    line = "┄┄▶" if link["kind"] == "feedback" else "──▶"
    return f"{link['source']:<7} {line} {link['target']:<7}  {'; '.join(notes)}".rstrip()


def _cell_block(cell: Mapping[str, Any]) -> list[str]:
    title = f"{cell['cell']}  {cell['motif']}, {_times(cell['shape'])}"
    rows = [[row["population"], *_population_words(row)] for row in cell["populations"]]
    return [
        title + (", resolution halved" if cell["halve"] else ""),
        *(f"    {line}" for line in motif_lines(MOTIFS[cell["motif"]])),
        *_aligned(rows),
    ]


def _population_words(row: Mapping[str, Any]) -> list[str]:
    model, *times = model_words(row)
    kernel = row.get("kernel")
    return [
        model,
        ", ".join(times),
        f"threshold {row['threshold']:g}" if "threshold" in row else "",
        f"kernel {kernel} x {kernel}" if kernel else "",
        f"{row['weight_bits']} bits",
        f"{row['neurons']:,} neurons",
        f"{row['weights']:,} weights",
        row["rule"],
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[word.ljust(wide) for word, wide in zip(row, widths, strict=True) if wide] for row in rows]
    return [f"    {'  '.join(words)}".rstrip() for words in padded]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _times(sizes: list[int]) -> str:
    return " x ".join(map(str, sizes))
