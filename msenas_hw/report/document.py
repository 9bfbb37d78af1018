"""Everything that a report says of a run, as one JSON document."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msenas_hw.config import DEVICE_RESOURCES
from msenas_hw.report import goals
from msenas_hw.report.networks import Told, networks, silent
from msenas_hw.report.volume import curves
from msenas_hw.search import Study, Trial
from msenas_hw.search.baselines import compared
from msenas_hw.search.objectives import feasible, violations

FORMAT = 1
# Violations that other words of a trial explain.
_STATES = ("failed", "alive", "fit")


def document(study: Study, run: Path | None, most: int, told: Told = silent) -> dict[str, Any]:
    """The report of a study.

    Args:
        study: of a run that may be unfinished or have no feasible network.
        run: its folder; None for a study in memory.
        most: networks of the front that are run again (`networks`).
        told: as in `networks`.

    Returns:
        the keys of `report.json`. Energy is in J, latency in s; figures are a sample's; None stands for
        what was not measured.
    """
    config = study.config
    detail = networks(study, run, most, told)
    return {
        "format": FORMAT,
        "run": run.resolve().name if run else "study",
        **_header(run),
        "objectives": [goal.name for goal in goals.objectives(config)],
        "figures": [asdict(goal) for goal in goals.figures(config)],
        "limits": config.budget.limits,
        "device": _device(config.budget.device),
        "chip": _chip(config.budget.fits_on),
        "chosen": study.chosen,
        "front": [trial.key for trial in study.front()],
        "trials": _trials(study),
        "generations": [asdict(one) for one in study.generations()],
        "hypervolume": curves(compared(run) if run else {"search": study}, goals.objectives(config)),
        "networks": detail,
        "ranking": ranking(detail),
        "config": config.model_dump(mode="json", exclude_none=True),
    }


def _header(run: Path | None) -> dict[str, Any]:
    """Seeds, versions and state, as `run.toml` keeps them; times are those of its files."""
    if run is None:
        return {"status": "in memory", "seeds": {}, "versions": {}, "searched": None}
    table = tomllib.loads((run / "run.toml").read_text(encoding="utf-8"))
    when = datetime.fromtimestamp((run / "run.toml").stat().st_mtime, UTC)
    return {
        "status": table.get("status", "running"),
        "seeds": table.get("seeds", {}),
        "versions": table.get("versions", {}),
        "searched": when.strftime("%Y-%m-%d %H:%M UTC"),
    }


def _trials(study: Study) -> list[dict[str, Any]]:
    """Every architecture once, at its first trial."""
    first = {trial.key: trial for trial in reversed(study.trials())}
    ordered = sorted(first.values(), key=lambda trial: trial.number)
    best = {trial.key for trial in study.front()}
    return [_trial(study, trial, trial.key in best) for trial in ordered]


def _trial(study: Study, trial: Trial, on_front: bool) -> dict[str, Any]:
    measured, budget = trial.measured, study.config.budget
    over = {name: by for name, by in violations(measured, budget).items() if by}
    further = {"devices": _further(study, trial)} if budget.devices else {}
    return {
        "arch": trial.key,
        "trial": trial.number,
        "generation": trial.generation,
        **{goal.name: goals.value(measured, goal.name) for goal in goals.figures(study.config)},
        "motifs": list(measured.motifs),
        "front": on_front,
        "feasible": feasible(measured, budget),
        "why_not": _why_not(trial, over),
        **further,
    }


def _further(study: Study, trial: Trial) -> dict[str, dict[str, Any]]:
    """Figures on each further device of the budget, with its limits."""
    return {
        name: {
            "fits": not found.get("misfit"),
            "broken": [rule["rule"] for rule in found.get("broken", ())],
            **{key: found.get(key) for key in DEVICE_RESOURCES},
            "limits": section.limits,
        }
        for name, section in study.config.budget.devices.items()
        if (found := trial.measured.devices.get(name)) is not None
    }


def _why_not(trial: Trial, over: Mapping[str, float]) -> str:
    """What makes a trial infeasible, empty where nothing does."""
    measured = trial.measured
    rules = [f"breaks rule {rule['rule']}" for rule in measured.broken]
    limits = [
        f"{name.replace(' ', ' on ')} {100 * by:.3g} % over"
        for name, by in over.items()
        if name not in _STATES
    ]
    return "; ".join(one for one in (measured.failure, measured.reason, *rules, *limits) if one)


def _device(name: str) -> dict[str, Any]:
    """A cost model with every constant, its source, grade and scope."""
    from cost_models import load_device

    found = load_device(name)
    return {
        "name": found.name,
        "describes": found.describes,
        "note": found.note,
        "omitted": list(found.omitted),
        "constants": [{"name": key, **asdict(constant)} for key, constant in found.constants.items()],
    }


def _chip(name: str) -> dict[str, Any]:
    """Cores of a chip, and its mesh where that is known."""
    from cost_models import load_device

    found = load_device(load_device(name).chip)
    keys = ("cores", "cores_per_tile", "tile_rows")
    known = {key: found.integer(key) for key in keys if key in found.constants}
    return {"name": found.name, "describes": found.describes, **known}


def ranking(detail: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How far the cost models agree on the order of the networks that were run again."""
    from cost_models import agreement, robust_front, winners

    energies = {arch: one["views"][0]["energies"] for arch, one in detail.items() if one["views"]}
    rows = list(energies.values())
    shared = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    if len(energies) < 2 or not shared:
        return {"networks": list(energies), "models": [], "pairs": [], "least": {}, "robust": []}
    costs = {name: [row[name] for row in energies.values()] for name in shared}
    names = list(energies)
    return {
        "networks": names,
        "models": shared,
        "pairs": [{"a": a, "b": b, "kendall_tau": tau} for (a, b), tau in agreement(costs).items()],
        "least": {name: names[index] for name, index in winners(costs).items()},
        "robust": [names[index] for index in robust_front(costs)],
    }


def front_rows(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The front of a document, fittest first."""
    rows = {row["arch"]: row for row in document["trials"]}
    return [rows[arch] for arch in document["front"]]
