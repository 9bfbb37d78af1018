"""`msenas train`"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msenas_hw.cli.options import Data, Encoding, Format, Output, Profile, Steps
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from msenas_hw.cli.training import Job, Report

OVER_BUDGET = 3


def train(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|MODEL.nir", help="Run folder, or a network in NIR.", show_default=False),
    ],
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="Architecture of the run's front, or chosen.", show_default=False),
    ] = None,
    data: Data = None,
    encoding: Encoding = None,
    steps: Steps = None,
    profile: Profile = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="CONFIG.toml", help="The experiment, for MODEL.nir.", show_default=False
        ),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Change the configuration.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Folder for what MODEL.nir becomes; by default runs/train-MODEL.",
            show_default=False,
        ),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Draw the weights of MODEL.nir anew.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="Train seeds 0 to N - 1 instead of training.seeds.", show_default=False
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew where a training was interrupted.")
    ] = False,
    form: Output = Format.TABLE,
) -> None:
    """Train a network of a run, or retrain any NIR file; continues a training that was interrupted.

    Writes model.nir, train.json and metrics.jsonl; exit code 3 where the network is over budget.
    """
    from msenas_hw.cli.training import conduct, job_of_model, job_of_run

    only = {
        "--data": data, "--encoding": encoding, "--steps": steps, "--profile": profile, "--config": config,
        "--output": output, "--from-scratch": from_scratch or None,
    }  # fmt: skip
    if source.suffix == ".nir":
        _refuse("a NIR file", {"--arch": arch})
        job = job_of_model(source, config, change or [], data, encoding, steps, profile, output, from_scratch)
    else:
        _refuse("a run folder", only)
        job = job_of_run(source, arch, change or [])
    _concluded(job, conduct(job, seeds, restart), form)


def _refuse(kind: str, options: Mapping[str, object]) -> None:
    """ConfigError where an option is given that `kind` does not take."""
    from targets.errors import ConfigError

    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: not for {kind}; the first argument is RUN or MODEL.nir")


def _concluded(job: Job, report: Report, form: Format) -> None:
    # A column of further devices only where the budget names any.
    rows = [{key: value for key, value in row.items() if value != {}} for row in report.table["runs"]]
    emit(form, report.table, rows)
    say(f"wrote {report.table['model']} (seed {report.kept['seed']})")
    if report.over:
        say(f"error: network {job.name} is over budget once trained: {report.over}")
        raise typer.Exit(OVER_BUDGET)
