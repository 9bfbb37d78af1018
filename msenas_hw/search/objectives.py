"""From figures to objectives and constraints, and from trials to a front."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import RESOURCES, BudgetConfig
from msenas_hw.search.evaluation import Measured
from msenas_hw.search.store import Trial
from targets.errors import BudgetError

Floats = NDArray[np.float64]
CONSTRAINTS = ("failed", "alive", "fit", *RESOURCES)
# Constraints are relative violations, so their sum compares; a candidate without figures, or one
# without any signal, must rank behind every candidate that merely costs too much.
NO_FIGURES, NO_SIGNAL = 1e9, 1e6


def rounded(value: float) -> float:
    """`value` to 6 significant digits, so that ranking does not hang on the last bits."""
    return float(f"{value:.6g}")


def objectives(measured: Measured) -> tuple[float, float, float]:
    """What the search minimises: -fitness, energy (J) and latency (s) of a sample."""
    return rounded(-measured.fitness), rounded(measured.energy_j), rounded(measured.latency_s)


def violations(measured: Measured, budget: BudgetConfig) -> dict[str, float]:
    """Relative violation of each constraint; 0 where it holds."""
    if measured.failure:
        return {name: NO_FIGURES if name == "failed" else 0.0 for name in CONSTRAINTS}
    limits = budget.limits
    over = {
        name: rounded(max(0.0, getattr(measured, name) / limits[name] - 1.0)) if name in limits else 0.0
        for name in RESOURCES
    }
    return {
        "failed": 0.0,
        "alive": 0.0 if measured.alive else NO_SIGNAL,
        "fit": rounded(measured.misfit),
        **over,
    }


def feasible(measured: Measured, budget: BudgetConfig) -> bool:
    """Whether a candidate works, fits the chip and keeps the budget."""
    return not any(violations(measured, budget).values())


def front(trials: Sequence[Trial], budget: BudgetConfig) -> list[Trial]:
    """Feasible trials that no feasible trial dominates, each architecture once, fittest first.

    With `budget.robust`, only those that none dominates under any cost model; none may be left.
    """
    once = {trial.key: trial for trial in reversed(trials) if feasible(trial.measured, budget)}
    candidates = sorted(once.values(), key=lambda trial: trial.number)
    if not candidates:
        return []
    if budget.robust:
        return sorted(
            _robust(candidates, budget), key=lambda trial: (objectives(trial.measured), trial.number)
        )
    points = np.array([objectives(trial.measured) for trial in candidates])
    best = [trial for trial, point in zip(candidates, points, strict=True) if not _dominated(point, points)]
    return sorted(best, key=lambda trial: (objectives(trial.measured), trial.number))


def _robust(candidates: Sequence[Trial], budget: BudgetConfig) -> list[Trial]:
    from cost_models import robust_front

    points = np.array([objectives(trial.measured) for trial in candidates])
    names = (budget.device, *budget.models)
    energies = {name: [rounded(trial.measured.energies[name]) for trial in candidates] for name in names}
    return [candidates[i] for i in robust_front(energies, [list(points[:, 0]), list(points[:, 2])])]


def _dominated(point: Floats, points: Floats) -> bool:
    return bool(((points <= point).all(axis=1) & (points < point).any(axis=1)).any())


def hypervolume(trials: Sequence[Trial], budget: BudgetConfig) -> float:
    """Volume that the front dominates, in units fixed by the first generation and the budget.

    Fitness counts from the worst of the first generation with a live network, in its span; energy
    and latency count as shares of their limits, or of that generation's worst where there is none. 0 where
    nothing is feasible. It never shrinks as trials are added.
    """
    from pymoo.indicators.hv import HV

    best = front(trials, budget)
    if not best:
        return 0.0
    live = [trial for trial in trials if trial.measured.alive]
    first = [trial for trial in live if trial.generation == live[0].generation]
    scale = np.array([objectives(trial.measured) for trial in first])
    worst, span = scale.max(axis=0), np.ptp(scale, axis=0)
    limits = budget.limits
    reference = np.array([worst[0], limits.get("energy_j", worst[1]), limits.get("latency_s", worst[2])])
    units = np.where(np.array([True, False, False]), span, reference)
    units[units <= 0] = 1.0
    points = np.array([objectives(trial.measured) for trial in best])
    return rounded(float(HV(ref_point=np.zeros(3))((points - reference) / units)))


def closest(found: Sequence[Measured], budget: BudgetConfig) -> BudgetError:
    """The error of a search in which nothing met the budget: what binds, found against allowed.

    The binding resource is the one whose smallest violation is largest. Where each limit can be met
    alone, it is the worst of the network that is nearest to all of them.
    """
    head = f"none of {len(found)} networks meets the budget on {budget.fits_on}"
    live = [measured for measured in found if measured.alive]
    if not live:
        return BudgetError(f"{head}: {_DEAD}")
    fitting = [measured for measured in live if not measured.misfit] or live
    tables = [violations(measured, budget) for measured in fitting]
    smallest = {name: min(table[name] for table in tables) for name in CONSTRAINTS}
    binding = max(smallest, key=lambda name: smallest[name])
    tail = ""
    if smallest[binding] > 0:
        nearest = int(np.argmin([table[binding] for table in tables]))
    else:
        nearest = int(np.argmin([sum(table.values()) for table in tables]))
        binding = max(tables[nearest], key=lambda name: tables[nearest][name])
        tail = " (each limit can be met alone, not all together)"
    shortfall = _shortfall(binding, fitting[nearest], budget)
    return BudgetError(f"{head}; {binding} binds: {shortfall}{tail}. {_advice(binding)}")


_DEAD = "every network is silent or saturated. Give more data.steps, or data with stronger signals"


def _shortfall(binding: str, measured: Measured, budget: BudgetConfig) -> str:
    if binding == "fit":
        rule = measured.broken[0]
        return (
            f"rule {rule['rule']} is broken, found {rule['found']}, allowed {rule['allowed']} "
            f"(network {measured.arch})"
        )
    found, allowed = float(getattr(measured, binding)), budget.limits[binding]
    return (
        f"smallest violation found {found:.6g}, allowed {allowed:.6g} "
        f"({100 * (found / allowed - 1):.3g} % over, network {measured.arch})"
    )


def _advice(binding: str) -> str:
    if binding == "fit":
        return "Choose a larger budget.chip, or narrow [space] to smaller networks"
    return f"Raise budget.{binding}, or narrow [space] to smaller networks"
