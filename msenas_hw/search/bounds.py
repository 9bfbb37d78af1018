"""Whether a budget can be met at all, asked before the first generation.

Cores, memory and parameters are those of the cheapest networks (`cheapest`, which says what is proven of
them). What needs spikes (energy, latency) is estimated for the same networks without a single spike, a
lower bound of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from msenas_hw.config import Config
from msenas_hw.search.cheapest import cheapest
from msenas_hw.search.devices import costs, parameters, structure
from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.objectives import advice, violations
from msenas_hw.space import Genome, SpaceConfig, Task, arch_id, decode, own_task
from targets.errors import BudgetError
from targets.graph.graph import SpikingGraph
from targets.run import Run


def least_parameters(space: SpaceConfig, task: Task) -> int:
    """No network of the space has fewer parameters, and one has as many."""
    genomes = cheapest(space, task, space.models[0], min(space.widths))
    return min(parameters(decode(genome, task)) for genome in genomes)


def candidates(space: SpaceConfig, task: Task, width: int) -> Iterator[Genome]:
    """The cheapest networks of one width, of every neuron model: costs of a step depend on it."""
    for model in space.models:
        yield from cheapest(space, task, model, width)


def require_possible(config: Config, given: Setting) -> None:
    """Refuse a chip that holds no network, and a budget that none can meet.

    Raises:
        BudgetError: a rule of a chip that every network breaks, or a limit below what every one takes (exit
            code 3), with the least value.
    """
    space, budget = config.space, config.budget
    fewest = least_parameters(space, given.task) if budget.parameters is not None else 0
    if budget.parameters is not None and budget.parameters < fewest:
        raise _impossible(config, "parameters", fewest, _EXACT)
    found: list[Measured] = []
    for width in sorted(space.widths):
        for genome in candidates(space, given.task, width):
            found.append(_silent(genome, given))
            if not any(violations(found[-1], budget).values()):
                return
        if not any(map(_is_cut, found)):
            break  # wider cells take more
    for device in ("", *budget.devices):
        if all(_on(one, device)["broken"] for one in found):
            raise _unfit(
                config, device, min(found, key=lambda one: float(_on(one, device)["misfit"])), len(found)
            )
    fitting = [
        one for one in found if not any(_on(one, device)["broken"] for device in ("", *budget.devices))
    ]
    _judge(config, fitting, len(found))


def _judge(config: Config, fitting: Sequence[Measured], count: int) -> None:
    """Refuse the limit that the best of some networks exceeds by most; `count` were looked at."""
    tables = [violations(one, config.budget) for one in fitting]
    names = [name for name in (tables[0] if tables else ()) if name.split()[0] in _JUDGED]
    over = {name: min(table[name] for table in tables) for name in names}
    binding = max(over, key=lambda name: over[name], default="")
    if over.get(binding):
        resource, _, device = binding.partition(" ")
        nearest = min(fitting, key=lambda one: float(_on(one, device)[resource]))
        what = _JUDGED[resource] if resource in _SILENT or _is_cut(nearest) else _WHOLE[resource]
        raise _impossible(config, binding, _on(nearest, device)[resource], what.format(count))


def _on(measured: Measured, device: str) -> Mapping[str, Any]:
    """Figures on a further device of the budget, or on its own where there is no name."""
    return measured.devices[device] if device else vars(measured)


def _is_cut(measured: Measured) -> bool:
    """Whether a population lies on several cores of a chip."""
    populations = 1 + sum(len(cell.nodes) for cell in Genome.from_json(measured.genome).cells)
    cores = [measured.cores, *(one["cores"] for one in measured.devices.values())]
    return any(count is not None and count > populations for count in cores)


_EXACT = "exact: no network of the space takes less"
_STATED = "no smaller network is known; msenas_hw.search.cheapest says on which chips that is proven"
_CUT = "the least of the {} cheapest networks, which are cut over cores"
_SILENCE = "a lower bound: the best value found without a single spike, on the {} cheapest networks"
# What the least value of the cheapest networks is, where each of their populations has one core.
_WHOLE = {"cores": _EXACT, "memory": _STATED}
# Limits that the cheapest networks decide, and what their least value is elsewhere.
_JUDGED = {"cores": _CUT, "memory": _CUT, "energy_j": _SILENCE, "latency_s": _SILENCE}
_SILENT = ("energy_j", "latency_s")


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


def _unfit(config: Config, device: str, nearest: Measured, count: int) -> BudgetError:
    rule = _on(nearest, device)["broken"][0]
    return BudgetError(
        f"no network of [space] fits {device or config.budget.fits_on}: of the {count} cheapest the nearest "
        f"breaks rule {rule['rule']} on node {rule['node']!r}, found {rule['found']}, allowed "
        f"{rule['allowed']}. {advice(f'fit {device}'.strip())}"
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
