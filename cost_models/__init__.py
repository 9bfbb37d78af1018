"""What running a spiking graph costs, and whether it fits a chip.

    fit  = cost_models.check(graph, "loihi2")
    cost = cost_models.estimate(graph, run, "loihi1-sanafe")
    did  = cost_models.activity(graph, run)
    cost_models.devices()

Every constant carries its source, grade, scope and operating point (`devices/*.toml`); a path to an
own TOML file does where a device name does.
"""

from __future__ import annotations

from cost_models.activity import Activity, HopActivity, activity
from cost_models.device import Constant, Device, devices, load_device
from cost_models.energy.estimate import estimate
from cost_models.energy.report import Estimate
from cost_models.fit.check import check
from cost_models.fit.report import Broken, FitReport, Slice, Use

__all__ = [
    "Activity",
    "Broken",
    "Constant",
    "Device",
    "Estimate",
    "FitReport",
    "HopActivity",
    "Slice",
    "Use",
    "activity",
    "check",
    "devices",
    "estimate",
    "load_device",
]
