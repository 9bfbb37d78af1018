"""Whether a budget can be met at all, asked before the first generation.

Parameters have a proven least value (`least_parameters`). Cores and memory are those of the smallest
networks: more channels, cells, connections, pixels or bits never take less of a chip. What needs spikes
(energy, latency) is estimated for the smallest networks without a single spike, a lower bound of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from msenas_hw.config import Config
from msenas_hw.search.devices import costs, structure
from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.objectives import violations
from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task, arch_id, decode, own_task
from msenas_hw.space.canonical import SMALL_KERNEL
from msenas_hw.space.genome import INPUT
from msenas_hw.space.layout import may_halve, size_at
from targets.errors import BudgetError
from targets.graph.graph import SpikingGraph
from targets.run import Run


def least_parameters(space: SpaceConfig, task: Task) -> int:
    """No network of the space has fewer parameters.

    Let every cell have the least width w and kernel area q, and let I, e and o be the fewest
    synapses inside, entries and outputs of an allowed motif, each on its own; more of any adds weights.
    Of n cells let x connections join cells, y reach the readout and z leave the Input (of c channels).
    Every cell has a source and a target, so x + z >= n and x + y >= n; and y, z >= 1. A readout of
    h halvings lies behind h halving cells on one path, so x >= h - 1. The weights are at least

        n I + x e o w^2 q + z e w c q + y o w K A(h),

    K being the classes and A(h) the pixels after h halvings, as many as cells and pixels allow. Along x
    the bound is linear, so its least value lies at an end of x's range. A chain of cells of one motif
    attains x = n - 1, y = z = 1.
    """
    motifs = [MOTIFS[name] for name in space.motifs]
    width, area = min(space.widths), _kernel(space, task) ** 2
    inside = min(
        sum(width * width * area - (width if synapse.neighbours_only else 0) for synapse in motif.synapses)
        for motif in motifs
    )
    entries, outputs = min(len(one.entries) for one in motifs), min(len(one.outputs) for one in motifs)
    between = entries * outputs * width * width * area
    first = entries * width * task.input_shape[0] * area
    found = []
    for count in range(space.cells[0], space.cells[1] + 1):
        for halvings in range(min(count, halvings_of(space, task)) + 1):
            rows, columns = size_at(task, halvings)
            last = outputs * width * task.classes * rows * columns
            for joined in {max(0, halvings - 1), count - 1}:
                others = max(1, count - joined)
                found.append(count * inside + joined * between + others * (first + last))
    return min(found)


def _kernel(space: SpaceConfig, task: Task) -> int:
    """Side of the least kernel; on a few pixels every kernel is small (`canonical`)."""
    few = min(size_at(task, halvings_of(space, task))) < SMALL_KERNEL
    return min(SMALL_KERNEL, *space.kernels) if few else min(space.kernels)


def halvings_of(space: SpaceConfig, task: Task) -> int:
    """How often the resolution can halve."""
    count = 0
    while count < space.max_halvings and may_halve(task, count):
        count += 1
    return count


def smallest(space: SpaceConfig, task: Task) -> Iterator[Genome]:
    """The smallest networks of a space: least width, kernel, weight bits and steps; a chain of cells or cells
    side by side, halving at once or never, of each motif and neuron model."""
    most = halvings_of(space, task)
    counts = range(space.cells[0], min(space.cells[1], max(space.cells[0], most)) + 1)
    for model, motif, count in product(space.models, space.motifs, counts):
        node = NodeGene(
            model, min(space.taus), min(space.taus_syn), space.thresholds[0], min(space.kernels),
            weight_bits=min(space.weight_bits),
        )  # fmt: skip
        chain = frozenset((index, index + 1) for index in range(INPUT, count))
        fan = frozenset(pair for index in range(count) for pair in ((INPUT, index), (index, count)))
        for forward, halved in product(dict.fromkeys((chain, fan)), sorted({most, 0}, reverse=True)):
            cells = tuple(
                CellGene(motif, min(space.widths), index < halved, (node,) * len(MOTIFS[motif].populations))
                for index in range(count)
            )
            side = forward == fan and forward != chain
            yield Genome(
                tuple(replace(cell, halve=halved > 0) for cell in cells) if side else cells,
                forward,
                steps=min(space.steps, default=None),
                readout_bits=min(space.weight_bits),
            )


def require_possible(config: Config, given: Setting) -> None:
    """Refuse a budget that no network can meet.

    Raises:
        BudgetError: a limit below what every network takes (exit code 3), with the least value.
    """
    budget = config.budget
    if not budget.limits and not any(section.limits for section in budget.devices.values()):
        return
    fewest = least_parameters(config.space, given.task)
    if budget.parameters is not None and budget.parameters < fewest:
        raise _impossible(config, "parameters", fewest, "proven for every network")
    found: list[Measured] = []
    for genome in smallest(config.space, given.task):
        found.append(_silent(genome, given))
        if not any(violations(found[-1], budget).values()):
            return
    tables = [violations(one, budget) for one in found]
    over = {name: min(table[name] for table in tables) for name in tables[0] if name.split()[0] in _JUDGED}
    binding = max(over, key=lambda name: over[name])
    if over[binding]:
        resource, _, device = binding.partition(" ")
        figures = [one.devices[device] if device else vars(one) for one in found if not one.broken]
        best = min((float(one[resource]) for one in figures), default=float("nan"))
        raise _impossible(config, binding, best, _JUDGED[resource].format(len(found)))


_STRUCTURE = "exact, the least of the {} smallest networks"
_SILENCE = "a lower bound: the best value found without a single spike, on the {} smallest networks"
# Limits that the smallest networks decide, and what their least value is.
_JUDGED = {"cores": _STRUCTURE, "memory": _STRUCTURE, "energy_j": _SILENCE, "latency_s": _SILENCE}


def _impossible(config: Config, binding: str, found: float, what: str) -> BudgetError:
    resource, _, device = binding.partition(" ")
    budget = config.budget
    limits = budget.devices[device].limits if device else budget.limits
    section = f"budget.devices.{device}" if device else "budget"
    return BudgetError(
        f"no network of [space] can meet the budget on {device or budget.fits_on}; {binding} binds: found "
        f"{found:.6g}, allowed {limits[resource]:.6g} ({what}). Raise {section}.{resource}, or let [space] "
        "hold smaller networks"
    )


def _silent(genome: Genome, given: Setting) -> Measured:
    """What a network takes of its devices where no neuron ever fires."""
    task = own_task(genome, given.task)
    graph = decode(genome, task)
    run = _without_spikes(graph, task.steps)
    fields: dict[str, Any] = structure(graph, given.chip, given.others)
    for one in given.others:
        fields["devices"][one.name].update(costs(graph, run, one.model))
    if not fields["broken"]:
        fields.update({key: value or 0.0 for key, value in costs(graph, run, given.device).items()})
    return Measured(arch_id(genome, given.task), genome.to_json(), alive=True, **fields)


def _without_spikes(graph: SpikingGraph, steps: int) -> Run:
    """A run of one sample in which nothing ever fires."""
    named = {name: graph.shapes[name] for name in (*graph.inputs, *graph.populations)}
    return Run(
        outputs={},
        spike_counts={name: np.zeros(shape, np.int64) for name, shape in named.items()},
        spikes={name: np.zeros((steps, 1, *graph.shapes[name]), np.float32) for name in graph.inputs},
        ran_on="no spikes",
        seconds=0.0,
        steps=steps,
        samples=1,
    )
