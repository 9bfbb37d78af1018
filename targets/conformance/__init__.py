"""The suite that every target passes; a third party's target inherits it.

    from targets.conformance import TargetConformance

    class TestMine(TargetConformance):
        target = MyTarget()

Needs pytest.
"""

from __future__ import annotations

from targets.conformance.suite import TargetConformance

__all__ = ["TargetConformance"]
