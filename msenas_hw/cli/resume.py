"""`msenas resume`"""

from __future__ import annotations

from msenas_hw.cli.options import Format, Output, Ray, Run, Workers
from msenas_hw.cli.progress import short, shown
from msenas_hw.cli.search import conclude


def resume(run: Run, workers: Workers = None, ray: Ray = None, form: Output = Format.TABLE) -> None:
    """Continue an interrupted search; prints the front."""
    from msenas_hw.search import resume as proceed

    with shown(run) as report:
        study = proceed(run, workers, report, short, ray)
    conclude(study, run, form)
