"""A few compile-and-run cycles and a kill; `tests/benchmarks/stress_lava.py` runs 200 and 20."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

STRESS = Path(__file__).parents[2] / "benchmarks" / "stress_lava.py"


@pytest.mark.usefixtures("lava_environment")
def test_cycles_and_a_kill_leave_nothing_behind():
    spec = importlib.util.spec_from_file_location("stress_lava", STRESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.stress(cycles=3, kills=1, seconds=300.0, seed=0)
    assert (found["cycles"], found["kills"]) == (3, 1)
    assert module.broken(found) == []
