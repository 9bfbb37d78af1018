"""The front of a search as its trials come, and the hypervolume that it dominates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import BudgetConfig
from msenas_hw.search.evaluation import Measured
from msenas_hw.search.objectives import MAXIMISED, OBJECTIVES, feasible, objectives, rounded
from msenas_hw.search.store import Trial

Floats = NDArray[np.float64]
# Above so many objectives the exact volume of a few hundred points takes minutes.
EXACT_OBJECTIVES = 6
REFERENCE = (
    "limits of the budget where they are set, else the worst of the first generation that has networks "
    "which live and fit; fitness in units of that generation's span, all else in units of the reference"
)


class Archive:
    """Feasible trials that no feasible trial dominates, each architecture once.

    With `budget.robust`, only those that none dominates under any cost model; none may be left.
    A trial costs time and memory by the size of the front, not by the number of trials.
    """

    def __init__(self, budget: BudgetConfig, names: Sequence[str] = OBJECTIVES) -> None:
        self._budget, self._names = budget, tuple(names)
        models = (budget.device, *budget.models) if budget.robust else (None,)
        self._fronts = {model: _Front(len(self._names)) for model in models}

    def add(self, trial: Trial) -> None:
        """Take in one more trial."""
        if feasible(trial.measured, self._budget):
            for model, front in self._fronts.items():
                front.add(trial, self._point(trial.measured, model))

    def front(self) -> list[Trial]:
        """The front, fittest first."""
        first, *others = self._fronts.values()
        common = set(first.trials).intersection(*(front.trials for front in others))
        order = sorted(self._names, key=lambda name: name not in MAXIMISED)
        return sorted(
            (first.trials[key] for key in common),
            key=lambda trial: (objectives(trial.measured, order), trial.number),
        )

    def _point(self, measured: Measured, model: str | None) -> Floats:
        point = dict(zip(self._names, objectives(measured, self._names), strict=True))
        if model is not None:
            point["energy_j"] = rounded(measured.energies[model])
        return np.array(list(point.values()))


class _Front:
    """Points that none dominates; `trials` holds theirs by architecture, in the same order."""

    def __init__(self, dimensions: int) -> None:
        self.trials: dict[str, Trial] = {}
        self._points: Floats = np.empty((0, dimensions))

    def add(self, trial: Trial, point: Floats) -> None:
        if trial.key in self.trials:
            return
        no_worse, better = self._points <= point, self._points < point
        if (no_worse.all(axis=1) & better.any(axis=1)).any():
            return
        worse = (self._points >= point).all(axis=1) & (self._points > point).any(axis=1)
        kept = np.logical_not(worse)
        if not kept.all():
            self.trials = {
                key: old for (key, old), stays in zip(self.trials.items(), kept, strict=True) if stays
            }
            self._points = self._points[kept]
        self.trials[trial.key] = trial
        self._points = np.vstack([self._points, point])


def front(trials: Iterable[Trial], budget: BudgetConfig, names: Sequence[str] = OBJECTIVES) -> list[Trial]:
    """Feasible trials that no feasible trial dominates, each architecture once, fittest first."""
    archive = Archive(budget, names)
    for trial in trials:
        archive.add(trial)
    return archive.front()


@dataclass(frozen=True)
class Scale:
    """Reference point and units of a hypervolume, by objective (all minimised).

    Attributes:
        names: objectives.
        reference: point against which the volume is measured.
        units: length of 1 along each objective.
    """

    names: tuple[str, ...]
    reference: tuple[float, ...]
    units: tuple[float, ...]

    @classmethod
    def of(
        cls, first: Sequence[Measured], budget: BudgetConfig, names: Sequence[str] = OBJECTIVES
    ) -> Scale | None:
        """The scale that a first generation fixes (`REFERENCE`); None where nothing lives and fits."""
        good = [one for one in first if one.alive and not one.misfit]
        if not good:
            return None
        points = np.array([objectives(one, names) for one in good])
        worst, span, limits = points.max(axis=0), np.ptp(points, axis=0), budget.limits
        reference = [limits.get(name, float(worst[index])) for index, name in enumerate(names)]
        units = [
            float(span[index]) if name in MAXIMISED else reference[index] for index, name in enumerate(names)
        ]
        return cls(tuple(names), tuple(reference), tuple(unit if unit > 0 else 1.0 for unit in units))

    def volume(self, points: Sequence[Sequence[float]]) -> float:
        """Volume between points [N, objectives] and the reference, in units.

        Exact up to 6 objectives; above, by fixed directions (`moocore.hv_approx`), so that a point more
        never makes it smaller.
        """
        if not len(points):
            return 0.0
        from moocore import hv_approx, hypervolume

        measure = hypervolume if len(self.names) <= EXACT_OBJECTIVES else hv_approx
        scaled = (np.asarray(points, dtype=np.float64) - self.reference) / self.units
        inside = scaled[(scaled < 0).all(axis=1)]
        return rounded(float(measure(inside, ref=np.zeros(len(self.names))))) if len(inside) else 0.0


def hypervolume(trials: Sequence[Trial], budget: BudgetConfig, names: Sequence[str] = OBJECTIVES) -> float:
    """Volume that the front of `trials` dominates, on the scale of their first generation that has one.

    0 where nothing is feasible. It never shrinks as trials are added.
    """
    scale = scale_of(trials, budget, names)
    best = front(trials, budget, names)
    return scale.volume([objectives(trial.measured, names) for trial in best]) if scale else 0.0


def scale_of(trials: Sequence[Trial], budget: BudgetConfig, names: Sequence[str]) -> Scale | None:
    """The scale of the first generation that has a network which lives and fits."""
    good = [trial.generation for trial in trials if trial.measured.alive and not trial.measured.misfit]
    if not good:
        return None
    first = [trial.measured for trial in trials if trial.generation == good[0]]
    return Scale.of(first, budget, names)
