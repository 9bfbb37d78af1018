"""`msenas compare`"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from msenas_hw.cli.options import Format, Output
from msenas_hw.cli.output import emit, say


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, two or more.", show_default=False)
    ],
    form: Output = Format.TABLE,
) -> None:
    """Compare runs: configuration, hypervolume with one reference point, fronts, best figures, accuracy."""
    from msenas_hw.report.comparison import compare as compared

    found = compared(runs)
    emit(
        form,
        found,
        found["config"],
        [_summary(run) for run in found["runs"]],
        [row for run in found["runs"] for row in _accuracy(run)],
        [{"run": run["run"], **row} for run in found["runs"] for row in run["front"]],
    )
    if found["reference"] is None:
        say("no network of any run is inside its budget, so there is no hypervolume")
    else:
        at = ", ".join(f"{name} {value:.4g}" for name, value in found["reference"].items())
        say(f"hypervolume: share of the box up to {at}")
    for name, keys in found["doubtful"].items():
        say(f"warning: {name} is not measured alike: {', '.join(keys)} differ")


def _summary(run: Mapping[str, Any]) -> dict[str, Any]:
    best = {f"best {name}": one["value"] for name, one in run["best"].items()}
    return {
        "run": run["run"],
        "status": run["status"],
        "trials": run["trials"],
        "front": len(run["front"]),
        "in_joint_front": run["in_joint_front"],
        "hypervolume": run["hypervolume"],
        "chosen": run["chosen"],
        **best,
    }


def _accuracy(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"run": run["run"], **row} for row in run["accuracy"]]
