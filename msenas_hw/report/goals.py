"""The figures that a report shows of a network: name, unit, and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msenas_hw.config import Config
from msenas_hw.search.evaluation import Measured
from msenas_hw.search.objectives import MAXIMISED

# Costs of a network that breaks a rule of the chip are not measured; the store holds 0 for them.
UNMEASURED_WITHOUT_FIT = ("energy_j", "latency_s", "spikes", "synops")


@dataclass(frozen=True)
class Goal:
    """A figure of a network.

    Attributes:
        name: as in `msenas front`.
        label: as a person reads it.
        unit: SI, empty for a count.
        larger_is_better: whether more of it is better.
    """

    name: str
    label: str
    unit: str = ""
    larger_is_better: bool = False

    @property
    def sign(self) -> float:
        """What makes a figure one to minimise."""
        return -1.0 if self.larger_is_better else 1.0


_KNOWN: Mapping[str, Goal] = {
    goal.name: goal
    for goal in (
        Goal("fitness", "Fitness", larger_is_better="fitness" in MAXIMISED),
        Goal("energy_j", "Energy a sample", "J"),
        Goal("latency_s", "Latency a sample", "s"),
        Goal("synops", "Synaptic operations a sample"),
        Goal("spikes", "Spikes a sample"),
        Goal("cores", "Cores"),
        Goal("memory", "Memory words"),
        Goal("parameters", "Parameters"),
    )
}


def goal(name: str) -> Goal:
    """The figure of that name; one that is not known by more than its name is a cost."""
    return _KNOWN.get(name, Goal(name, name.replace("_", " ").capitalize()))


def objectives(config: Config) -> tuple[Goal, ...]:
    """What the search of a configuration optimises."""
    return tuple(goal(name) for name in config.search.objectives)


def figures(config: Config) -> tuple[Goal, ...]:
    """Every figure that is shown: the objectives, then the others."""
    chosen = objectives(config)
    return (*chosen, *(one for name, one in _KNOWN.items() if one not in chosen))


def value(measured: Measured, name: str) -> float | None:
    """A figure of an evaluation; None where it was not measured, which is not zero."""
    if measured.failure or not measured.alive:
        return None
    if measured.misfit and name in UNMEASURED_WITHOUT_FIT:
        return None
    found = float(getattr(measured, name))
    # The limits of some chips do not tell the memory.
    return None if name == "memory" and not found else found
