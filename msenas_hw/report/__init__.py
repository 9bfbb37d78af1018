"""Reports of a search."""

from __future__ import annotations

from msenas_hw.report.front import draw
from msenas_hw.report.page import write_report

__all__ = ["draw", "write_report"]
