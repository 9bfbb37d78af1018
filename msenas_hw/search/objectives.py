"""From figures to objectives and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from msenas_hw.budget import DEVICE_RESOURCES, RESOURCES, BudgetConfig
from targets.errors import BudgetError

if TYPE_CHECKING:
    from msenas_hw.search.evaluation import Measured

OBJECTIVES = ("fitness", "energy_j", "latency_s")
# Objectives of which more is better.
MAXIMISED = ("fitness",)
STRUCTURAL = ("fit", "cores", "memory", "parameters")
CONSTRAINTS = ("failed", "alive", "fit", *RESOURCES)
# Constraints are relative violations, so their sum compares; a candidate without figures, or one
# without any signal, must rank behind every candidate that merely costs too much.
NO_FIGURES, NO_SIGNAL = 1e9, 1e6


def rounded(value: float) -> float:
    """`value` to 6 significant digits, so that ranking does not hang on the last bits."""
    return float(f"{value:.6g}")


def objectives(measured: Measured, names: Sequence[str] = OBJECTIVES) -> tuple[float, ...]:
    """What the search minimises: the figures called `names`, the fitness negated."""
    return tuple(
        rounded(-getattr(measured, name) if name in MAXIMISED else getattr(measured, name)) for name in names
    )


def violations(measured: Measured, budget: BudgetConfig) -> dict[str, float]:
    """Relative violation of each constraint, found / allowed - 1; 0 where it holds.

    Further devices of the budget stand behind: `fit NAME` and `RESOURCE NAME` of each.
    """
    names = constraints(budget)
    if measured.failure:
        return {name: NO_FIGURES if name == "failed" else 0.0 for name in names}
    found = {
        "failed": 0.0,
        "alive": 0.0 if measured.alive or measured.rejected else NO_SIGNAL,
        "fit": rounded(measured.misfit),
        **_over(vars(measured), budget.limits, RESOURCES),
    }
    for device, section in budget.devices.items():
        figures = measured.devices.get(device, {})
        over = _over(figures, section.limits, DEVICE_RESOURCES)
        found[f"fit {device}"] = rounded(figures.get("misfit") or 0.0)
        found.update({f"{name} {device}": value for name, value in over.items()})
    return found


def constraints(budget: BudgetConfig) -> tuple[str, ...]:
    """Names of `violations`, in order."""
    further = (f"{name} {device}" for device in budget.devices for name in ("fit", *DEVICE_RESOURCES))
    return (*CONSTRAINTS, *further)


def _over(figures: Mapping[str, Any], limits: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {
        name: rounded(max(0.0, (figures.get(name) or 0.0) / limits[name] - 1.0)) if name in limits else 0.0
        for name in names
    }


def structural(budget: BudgetConfig) -> dict[str, float]:
    """The limits that need no spikes, by name; those of further devices as `RESOURCE NAME`."""
    own = {name: limit for name, limit in budget.limits.items() if name in STRUCTURAL}
    further = {
        f"{name} {device}": limit
        for device, section in budget.devices.items()
        for name, limit in section.limits.items()
        if name in STRUCTURAL
    }
    return own | further


def unfit(measured: Measured, budget: BudgetConfig) -> bool:
    """Whether limits that need no spikes are broken: rules of the chips, cores, memory, parameters."""
    found = violations(measured, budget)
    return any(value for name, value in found.items() if name.partition(" ")[0] in STRUCTURAL)


def feasible(measured: Measured, budget: BudgetConfig) -> bool:
    """Whether a candidate works, fits the chip and keeps the budget."""
    return not any(violations(measured, budget).values())


def closest(found: Sequence[Measured], budget: BudgetConfig) -> BudgetError:
    """The error of a search in which nothing met the budget: what binds, found against allowed.

    The binding resource is the one whose smallest violation is largest. Where each limit can be met
    alone, it is the worst of the network that is nearest to all of them.
    """
    head = f"none of {len(found)} networks meets the budget on {budget.fits_on}"
    live = [measured for measured in found if measured.alive or measured.rejected]
    if not live:
        return BudgetError(f"{head}: {_DEAD}")
    fitting = [measured for measured in live if not measured.misfit] or live
    tables = [violations(measured, budget) for measured in fitting]
    smallest = {name: min(table[name] for table in tables) for name in constraints(budget)}
    binding = max(smallest, key=lambda name: smallest[name])
    tail = ""
    if smallest[binding] > 0:
        nearest = int(np.argmin([table[binding] for table in tables]))
    else:
        nearest = int(np.argmin([sum(table.values()) for table in tables]))
        binding = max(tables[nearest], key=lambda name: tables[nearest][name])
        tail = " (each limit can be met alone, not all together)"
    shortfall = _shortfall(binding, fitting[nearest], budget)
    return BudgetError(f"{head}; {binding} binds: {shortfall}{tail}. {advice(binding)}")


_DEAD = "every network is silent or saturated. Give more data.steps, or data with stronger signals"


def _shortfall(binding: str, measured: Measured, budget: BudgetConfig) -> str:
    resource, _, device = binding.partition(" ")
    figures = measured.devices[device] if device else vars(measured)
    if resource == "fit":
        rule = figures["broken"][0]
        return (
            f"rule {rule['rule']} is broken, found {rule['found']}, allowed {rule['allowed']} "
            f"(network {measured.arch})"
        )
    limits = budget.devices[device].limits if device else budget.limits
    found, allowed = float(figures[resource]), limits[resource]
    return (
        f"smallest violation found {found:.6g}, allowed {allowed:.6g} "
        f"({100 * (found / allowed - 1):.3g} % over, network {measured.arch})"
    )


def advice(binding: str) -> str:
    """What to do about the constraint that binds (`constraints`)."""
    resource, _, device = binding.partition(" ")
    section = f"budget.devices.{device}" if device else "budget"
    if resource == "fit":
        return f"Choose a larger {section}.chip, or narrow [space] to smaller networks"
    return f"Raise {section}.{resource}, or narrow [space] to smaller networks"
