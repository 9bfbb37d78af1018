"""`msenas report`"""

from __future__ import annotations

from msenas_hw.cli.options import Format, Output, Run
from msenas_hw.cli.output import emit


def report(run: Run, form: Output = Format.TABLE) -> None:
    """Write RUN/report.html: the front as table and picture, in one file."""
    from msenas_hw.report import write_report
    from msenas_hw.search import Study

    file = write_report(Study.open(run), run)
    emit(form, {"report": str(file), "bytes": file.stat().st_size})
