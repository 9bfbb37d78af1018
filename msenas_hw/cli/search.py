"""`msenas search`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msenas_hw.cli.options import Format, Output, Ray, Workers
from msenas_hw.cli.output import emit, say
from msenas_hw.cli.progress import duration, short, shown

if TYPE_CHECKING:
    from msenas_hw.config import Config
    from msenas_hw.search import Study


def search(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="The experiment.", show_default=False)
    ],
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Change the configuration.", show_default=False
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Run folder to make; by default runs/CONFIG.", show_default=False),
    ] = None,
    workers: Workers = None,
    ray: Ray = None,
    baselines: Annotated[
        str | None,
        typer.Option(
            "--baselines",
            metavar="ALGORITHM,...",
            help="Searches to compare with, such as random,regularised (sets baselines.algorithms).",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Seeds of the search and of each baseline.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only tell the size of the space, the feasible part and the time."),
    ] = False,
    form: Output = Format.TABLE,
) -> None:
    """Search for networks inside the budget; prints the front."""
    from msenas_hw.config import load_config
    from msenas_hw.search import search as begin

    given = [
        *(change or []),
        *([f"baselines.algorithms={baselines.split(',')}"] if baselines else []),
        *([f"baselines.seeds={seeds}"] if seeds else []),
    ]
    experiment = load_config(config, given)
    if dry_run:
        _dry_run(experiment, workers, form)
        return
    folder = run or Path("runs") / config.stem
    say(f"run folder {folder}")
    with shown(folder) as report:
        study = begin(experiment, folder, workers, report, short, ray)
    conclude(study, folder, form)


def conclude(study: Study, folder: Path, form: Format) -> None:
    """Show what a finished search found."""
    emit(form, study.front_rows())
    say(reliability(study))
    say(f"chosen: {study.chosen}; train it with: msenas train {folder} --arch chosen")


def reliability(study: Study) -> str:
    """How much of the fitness is the network's own, in words."""
    from targets.errors import DataError

    try:
        found = study.variance()
    except DataError as error:
        return f"reliability of the fitness: {error}"
    return (
        f"fitness variance: {found.between_networks:.2g} between {found.networks} networks, "
        f"{found.between_draws:.2g} between draws of their weights "
        f"(reliability of the mean of {found.draws} draws: {found.mean:.2f})"
    )


def _dry_run(experiment: Config, workers: int | None, form: Format) -> None:
    from msenas_hw.search.preview import preview

    found = preview(experiment, workers or experiment.search.workers)
    emit(form, found)
    say(f"the search would take about {duration(found['estimated_seconds'])}")
