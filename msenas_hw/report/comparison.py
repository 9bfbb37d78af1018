"""Several runs side by side, on one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from msenas_hw.config import Config
from msenas_hw.report import goals
from msenas_hw.report.goals import Goal
from msenas_hw.report.networks import read_json
from msenas_hw.report.volume import box, curve, undominated
from msenas_hw.search import Study, open_run
from targets.errors import ConfigError

# What decides the figures themselves; where it differs, equal figures do not mean equal networks.
_DECIDING = {
    "fitness": ("data.", "search.fitness", "search.draws"),
    "energy_j": ("data.", "budget.device"),
    "latency_s": ("data.", "budget.device"),
}


def compare(runs: Sequence[Path]) -> dict[str, Any]:
    """Configuration, hypervolume, front, best figures and accuracies of runs.

    Returns:
        `config`: keys that differ, with the value of each run; `reference`: the one reference point of
        all hypervolumes (`msenas_hw.report.volume`), None where no network is feasible; `doubtful`:
        figures that the runs do not measure alike, with the keys that differ; `runs`: one table a run.

    Raises:
        ConfigError: fewer than two runs, one twice, or runs that share no objective.
    """
    names = [str(run) for run in runs]
    if len(runs) < 2 or len({run.resolve() for run in runs}) != len(runs):
        raise ConfigError(f"compare: found {', '.join(names) or 'no run'}, allowed at least 2 different runs")
    studies = [Study.open(run) for run in runs]
    shared = _shared([study.config for study in studies])
    differing = _differing(names, [study.config for study in studies])
    scale = box(studies, shared)
    points = [scale.points(study) if scale else [] for study in studies]
    joint = undominated([point for found in points for point in found])
    return {
        "objectives": [goal.name for goal in shared],
        "reference": scale.as_json() if scale else None,
        "config": differing,
        "doubtful": _doubtful(shared, [row["key"] for row in differing]),
        "runs": [
            {
                **_one(name, run, study, shared),
                "hypervolume": curve(study, scale)[-1][1] if scale and study.trials() else 0.0,
                "in_joint_front": sum(point in joint for point in set(found)),
            }
            for name, run, study, found in zip(names, runs, studies, points, strict=True)
        ],
    }


def _shared(configs: Sequence[Config]) -> tuple[Goal, ...]:
    """Objectives of every run, in the order of the first."""
    each = [goals.objectives(config) for config in configs]
    shared = tuple(goal for goal in each[0] if all(goal in others for others in each))
    if not shared:
        found = "; ".join(", ".join(goal.name for goal in one) for one in each)
        raise ConfigError(f"compare: the runs share no objective (found {found}), allowed at least 1 of all")
    return shared


def _one(name: str, run: Path, study: Study, shared: Sequence[Goal]) -> dict[str, Any]:
    best = study.front()
    return {
        "run": name,
        "status": open_run(run).status,
        "trials": len(study.trials()),
        "chosen": study.chosen,
        "best": {
            goal.name: {"arch": top.key, "value": goals.value(top.measured, goal.name)}
            for goal in shared
            if (top := min(best, key=lambda trial: _turned(goal, trial), default=None)) is not None
        },
        "accuracy": _accuracies(run),
        "front": study.front_rows(),
    }


def _turned(goal: Goal, trial: Any) -> float:
    return goal.sign * float(getattr(trial.measured, goal.name))


def _accuracies(run: Path) -> list[dict[str, Any]]:
    """Test accuracy of each trained network, best on validation first."""
    rows = []
    for file in sorted(run.glob("artifacts/*/train.json")):
        seeds = read_json(file)["runs"]
        tested = [float(one["test_accuracy"]) for one in seeds]
        rows.append(
            {
                "arch": file.parent.name,
                "seeds": [one["seed"] for one in seeds],
                "test_accuracy": mean(tested),
                "deviation": stdev(tested) if len(tested) > 1 else None,
                "validation_accuracy": mean(float(one["validation_accuracy"]) for one in seeds),
            }
        )
    return sorted(rows, key=lambda row: -row["validation_accuracy"])


def _differing(names: Sequence[str], configs: Sequence[Config]) -> list[dict[str, Any]]:
    flat = [_flat(config.model_dump(mode="json")) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    return [
        {"key": key, **{name: one.get(key) for name, one in zip(names, flat, strict=True)}}
        for key in keys
        if any(one.get(key) != flat[0].get(key) for one in flat)
    ]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def _doubtful(shared: Sequence[Goal], keys: Sequence[str]) -> dict[str, list[str]]:
    """Objectives whose figures the runs do not measure alike."""
    found = {
        goal.name: [key for key in keys if key.startswith(_DECIDING.get(goal.name, ("data.",)))]
        for goal in shared
    }
    return {name: named for name, named in found.items() if named}
