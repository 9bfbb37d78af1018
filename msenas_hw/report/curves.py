"""Hypervolume of a search and of its baselines over their evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msenas_hw.report.front import form_of, rendered
from msenas_hw.report.goals import objectives
from msenas_hw.report.volume import box, curve
from msenas_hw.search.baselines import compared
from targets.errors import MsenasError
from targets.files import replacing

REFERENCE = (
    "volumes are shares of the box from the best to the worst figure of the feasible networks of all these "
    "searches, a tenth wider at the worst end"
)


def curves(run: Path) -> dict[str, Any]:
    """The curves of a run folder as JSON.

    Returns:
        `objectives`; `reference`, the point against which the volume is measured, and `reference_is`, how it
        is found; `curves`, a row a search with its `evaluations` and `hypervolume` after them; `summary`, a
        row an algorithm with the mean, least and most of its seeds, and the seeds on which the run's own
        algorithm is above it.

    Raises:
        MsenasError: no network of any search is inside the budget.
    """
    studies = compared(run)
    own = next(iter(studies.values())).config
    goals = objectives(own)
    scale = box(list(studies.values()), goals)
    if scale is None:
        raise MsenasError(f"{run}: no network of any search is inside the budget, so there is no hypervolume")
    rows = []
    for name, study in studies.items():
        line = curve(study, scale)
        algorithm, _, seed = name.rpartition("-")
        rows.append(
            {
                "algorithm": algorithm,
                "seed": int(seed),
                "evaluations": [at for at, _ in line],
                "hypervolume": [volume for _, volume in line],
            }
        )
    return {
        "objectives": [goal.name for goal in goals],
        "reference": scale.as_json(),
        "reference_is": REFERENCE,
        "curves": rows,
        "summary": _summary(rows, own.search.algorithm),
    }


def _summary(rows: list[dict[str, Any]], own: str) -> list[dict[str, Any]]:
    ends: dict[str, dict[int, float]] = {}
    for row in rows:
        ends.setdefault(row["algorithm"], {})[row["seed"]] = (row["hypervolume"] or [0.0])[-1]
    return [
        {
            "algorithm": algorithm,
            "seeds": len(found),
            "mean": float(np.mean(list(found.values()))),
            "least": min(found.values()),
            "most": max(found.values()),
            f"{own} is above": sum(ends[own].get(seed, 0.0) > volume for seed, volume in found.items()),
        }
        for algorithm, found in ends.items()
    ]


def draw_curves(found: Mapping[str, Any], path: Path) -> None:
    """Draw `curves`, a line a seed and a colour an algorithm; the suffix chooses SVG, PNG or PDF.

    Raises:
        ConfigError: another suffix.
        MsenasError: matplotlib is not installed.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(rendered(lambda axes: _fill(axes, found), form_of(path)))


def _fill(axes: Any, found: Mapping[str, Any]) -> None:
    algorithms = list(dict.fromkeys(row["algorithm"] for row in found["curves"]))
    for row in found["curves"]:
        first = row["seed"] == min(one["seed"] for one in _seeds(found, row["algorithm"]))
        axes.step(
            row["evaluations"],
            row["hypervolume"],
            where="post",
            color=f"C{algorithms.index(row['algorithm'])}",
            alpha=0.7,
            label=row["algorithm"] if first else None,
        )
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"hypervolume of {', '.join(found['objectives'])}")
    axes.set_ylim(bottom=0)
    axes.legend()


def _seeds(found: Mapping[str, Any], algorithm: str) -> list[dict[str, Any]]:
    return [row for row in found["curves"] if row["algorithm"] == algorithm]
