"""`msenas report`"""

from __future__ import annotations

from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Output, Run
from msenas_hw.cli.output import emit, say


def report(
    run: Run,
    networks: Annotated[
        int,
        typer.Option(
            "--networks",
            min=0,
            help="Networks of the front that are run again for layers, energy terms and cores.",
        ),
    ] = 12,
    form: Output = Format.TABLE,
) -> None:
    """Tell the story of a search: RUN/report.html (one file, needs no network), report.json and front.csv.

    Beside each trained network it writes card.md, the model card.
    """
    from msenas_hw.report import write_report
    from msenas_hw.search import Study

    file = write_report(
        Study.open(run), run, networks, lambda arch, at, total: say(f"runs {arch} again ({at} of {total})")
    )
    emit(form, {"report": str(file), "bytes": file.stat().st_size})
