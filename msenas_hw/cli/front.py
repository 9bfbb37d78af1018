"""`msenas front`"""

from __future__ import annotations

from msenas_hw.cli.options import Format, Output, Run
from msenas_hw.cli.output import emit, say


def front(run: Run, form: Output = Format.TABLE) -> None:
    """Print the Pareto front of a run, fittest first."""
    from msenas_hw.search import Study

    rows = Study.open(run).front_rows()
    emit(form, rows)
    if not rows:
        say("no network of this run is inside the budget so far")
