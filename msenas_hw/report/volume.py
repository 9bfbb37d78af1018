"""Hypervolume of several searches on one scale, over their evaluations.

The box spans from the best to the worst figure of the feasible networks of all searches together, a
tenth of the span wider at the worst end so that the extremes count. Volumes are shares of the box: 1
would be one network that is best in everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import BudgetConfig
from msenas_hw.report.goals import Goal
from msenas_hw.search import Study, Trial
from msenas_hw.search.archive import Scale
from msenas_hw.search.objectives import feasible

Floats = NDArray[np.float64]
_WIDER = 0.1
# Points of a curve; the exact volume of a large front takes seconds.
_POINTS = 60


@dataclass(frozen=True, eq=False)
class Box:
    """The scale that volumes share.

    Attributes:
        goals: the objectives, one an axis.
        best, worst: corners, each figure turned so that smaller is better.
    """

    goals: tuple[Goal, ...]
    best: Floats
    worst: Floats

    def as_json(self) -> dict[str, Any]:
        """The reference point, in the units of the figures."""
        return {
            goal.name: float(goal.sign * at) + 0.0 for goal, at in zip(self.goals, self.worst, strict=True)
        }

    def points(self, study: Study) -> list[tuple[float, ...]]:
        """The front of a study on this box's objectives, smaller is better."""
        points, alive = _points(study.trials(), study.config.budget, self.goals)
        return [tuple(map(float, point)) for point in _undominated(points[alive])]

    def volume(self, points: Floats) -> float:
        """Share of the box that `points` [networks, goals] dominate."""
        names = tuple(goal.name for goal in self.goals)
        return Scale(names, tuple(self.worst), tuple(self.worst - self.best)).volume(points.tolist())


def box(studies: Sequence[Study], goals: tuple[Goal, ...]) -> Box | None:
    """The box of several studies; None where no network of any is feasible."""
    found = [_points(study.trials(), study.config.budget, goals) for study in studies]
    points = np.concatenate([points[alive] for points, alive in found])
    if not len(points):
        return None
    best, worst = points.min(axis=0), points.max(axis=0)
    span = np.where(worst > best, worst - best, np.where(worst != 0, np.abs(worst), 1.0))
    return Box(goals, best, best + (1 + _WIDER) * span)


def curve(study: Study, scale: Box) -> list[tuple[int, float]]:
    """`(evaluations, volume)` of a study, up to `_POINTS` of them, the last one at its end."""
    points, alive = _points(study.trials(), study.config.budget, scale.goals)
    ends = np.unique(np.linspace(1, len(points), min(_POINTS, len(points)), dtype=int))
    found: list[tuple[int, float]] = []
    kept = np.empty((0, len(scale.goals)))
    begin = 0
    for end in ends:
        new = points[begin:end][alive[begin:end]]
        kept = _undominated(np.concatenate([kept, new])) if len(new) else kept
        found.append((int(end), scale.volume(kept)))
        begin = int(end)
    return found


def curves(studies: Mapping[str, Study], goals: tuple[Goal, ...]) -> dict[str, list[tuple[int, float]]]:
    """The curve of each study in one box; empty where there is no box."""
    scale = box(list(studies.values()), goals)
    return {} if scale is None else {name: curve(study, scale) for name, study in studies.items()}


def undominated(points: Sequence[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Points that no other is at least as good as in everything, smaller is better."""
    return {tuple(map(float, point)) for point in _undominated(np.array(points))} if points else set()


def _points(
    trials: Sequence[Trial], budget: BudgetConfig, goals: tuple[Goal, ...]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Objectives to minimise [trials, goals], and which trials are feasible."""
    rows = [[goal.sign * float(getattr(trial.measured, goal.name)) for goal in goals] for trial in trials]
    alive = [feasible(trial.measured, budget) for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(-1, len(goals)), np.array(alive, dtype=bool)


def _undominated(points: Floats) -> Floats:
    unique = np.unique(points, axis=0)
    none_worse: NDArray[np.bool_] = np.all(unique[:, None] <= unique[None, :], axis=2)
    np.fill_diagonal(none_worse, False)
    return np.asarray(unique[~none_worse.any(axis=0)])
