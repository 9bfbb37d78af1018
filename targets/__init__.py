"""What a spiking graph means, and the machines it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from targets.errors import (
    BudgetError,
    ConfigError,
    DataError,
    DisagreementError,
    DoesNotFitError,
    GraphError,
    MsenasError,
    TargetUnavailableError,
    UnsupportedNodeError,
)
from targets.graph.graph import SpikingGraph
from targets.graph.profile import Profile
from targets.graph.reader import AssumptionWarning
from targets.graph.writer import save
from targets.loading import load
from targets.run import Executable, Run
from targets.target import Refusal, Target, compile, find, names

if TYPE_CHECKING:
    from targets.agreement import Agreement, verify
    from targets.loihi.storage import load_program
    from targets.reference.from_torch import from_torch

# These import torch, which takes seconds; graphs and files do without it.
_LATE = {
    "from_torch": "targets.reference.from_torch",
    "load_program": "targets.loihi.storage",
    "verify": "targets.agreement",
    "Agreement": "targets.agreement",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'targets' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATE[name]), name)


__all__ = [
    "Agreement",
    "AssumptionWarning",
    "BudgetError",
    "ConfigError",
    "DataError",
    "DisagreementError",
    "DoesNotFitError",
    "Executable",
    "GraphError",
    "MsenasError",
    "Profile",
    "Refusal",
    "Run",
    "SpikingGraph",
    "Target",
    "TargetUnavailableError",
    "UnsupportedNodeError",
    "compile",
    "find",
    "from_torch",
    "load",
    "load_program",
    "names",
    "save",
    "verify",
]
