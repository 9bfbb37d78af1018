"""A third party's target, the one of `examples/09_own_target.py`, inherits the suite."""

from __future__ import annotations

import runpy
from pathlib import Path

from targets.conformance import TargetConformance

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "09_own_target.py"


class TestToy(TargetConformance):
    target = runpy.run_path(str(EXAMPLE))["NumpyTarget"]()
    must_run = ("IF",)
