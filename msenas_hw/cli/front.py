"""`msenas front`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from msenas_hw.cli.options import Format, Output, Run
from msenas_hw.cli.output import emit, say


def front(
    run: Run,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves", help="In place of the front: hypervolume of the search and of its baselines."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="With --curves: draw them over the evaluations (SVG, PNG or PDF).",
            show_default=False,
        ),
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Print the Pareto front of a run, fittest first."""
    from msenas_hw.search import Study

    if curves or plot:
        _curves(run, plot, form)
        return
    rows = Study.open(run).front_rows()
    emit(form, rows)
    if not rows:
        say("no network of this run is inside the budget so far")


def _curves(run: Path, plot: Path | None, form: Format) -> None:
    from msenas_hw.report.curves import curves as hypervolumes
    from msenas_hw.report.curves import draw_curves

    found: dict[str, Any] = hypervolumes(run)
    emit(form, found, found["summary"])
    say(found["reference_is"])
    if plot is not None:
        draw_curves(found, plot)
