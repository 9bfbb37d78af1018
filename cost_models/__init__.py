"""What running a spiking graph costs, and whether it fits a chip.

    fit  = cost_models.check(graph, "loihi2")
    cost = cost_models.estimate(graph, run, "loihi1-sanafe")
    did  = cost_models.activity(graph, run)           # as a chip works: hops between populations
    each = cost_models.layers(graph, run)             # as a framework works: node by node, NeuroBench's names
    taus = cost_models.agreement({"loihi1-sanafe": [...], "gpu-h100": [...]})
    cost_models.devices()

Every constant carries its source, grade, scope and operating point (`devices/*.toml`); a path to an
own TOML file does where a device name does.
"""

from __future__ import annotations

from cost_models.activity import Activity, HopActivity, activity, records
from cost_models.device import Constant, Device, devices, load_device
from cost_models.energy.estimate import energy_devices, estimate
from cost_models.energy.report import Estimate
from cost_models.fit.check import check
from cost_models.fit.report import Broken, FitReport, Slice, Use
from cost_models.layers import LayerActivity, LayerTable, layers
from cost_models.ranking import agreement, robust_front, winners

__all__ = [
    "Activity",
    "Broken",
    "Constant",
    "Device",
    "Estimate",
    "FitReport",
    "HopActivity",
    "LayerActivity",
    "LayerTable",
    "Slice",
    "Use",
    "activity",
    "agreement",
    "check",
    "devices",
    "energy_devices",
    "estimate",
    "layers",
    "load_device",
    "records",
    "robust_front",
    "winners",
]
