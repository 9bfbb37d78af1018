"""What a network takes of each device of a budget: cores, memory, broken rules, energy and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msenas_hw.budget import BudgetConfig
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.run import Run

# Energy models that say limits too, besides the devices of bare limits.
LIMITED = ("limits", "xylo_a2")
MEMORY = ("synapse_bits", "synapse_words", "kernel_words")


@dataclass(frozen=True)
class Other:
    """A further device of the budget.

    Attributes:
        name: in the budget.
        model: its cost model of energy and latency, "" where it has limits alone.
        chip: device of its limits, "" where it has none.
    """

    name: str
    model: str
    chip: str


def others(budget: BudgetConfig) -> tuple[Other, ...]:
    """The further devices of a budget.

    Raises:
        ConfigError: a device is unknown, or does not tell what its limits are about.
    """
    from cost_models import load_device

    found = []
    for name, section in budget.devices.items():
        bare = load_device(name).model == "limits"
        one = Other(name, "" if bare else name, chip_of(section.chip or name))
        where = f"budget.devices.{name}"
        require(where, one.model, one.chip, section.limits)
        if section.chip and not one.chip:
            raise ConfigError(f"{where}.chip: {section.chip!r} has no limits (see: msenas devices)")
        found.append(one)
    return tuple(found)


def chip_of(name: str) -> str:
    """`name` where the limits of its chip are known, else ""; a GPU, for example, has none."""
    from cost_models import load_device
    from cost_models.fit.check import limits_of

    return name if limits_of(load_device(name)).model in LIMITED else ""


def require(where: str, model: str, chip: str, names: Sequence[str] | dict[str, float]) -> None:
    """Refuse figures `names` that a cost model or a chip (either may be "") cannot tell.

    Raises:
        ConfigError: it names `where` in the configuration they are asked for.
    """
    from cost_models import load_device

    if chip == "":
        missing = [name for name in ("cores", "memory") if name in names]
        if missing:
            raise ConfigError(f"{where}: has no limits of a chip, so {missing[0]} means nothing on it")
    if model == "" and {"energy_j", "latency_s"} & set(names):
        raise ConfigError(
            f"{where}: {chip!r} has limits and no energy model; name a cost model (see: msenas devices), "
            f"and chip = {chip!r} for its limits"
        )
    if model and "latency_s" in names and load_device(model).band("latency") is None:
        raise ConfigError(f"{where}: {model!r} has no model of time; name another (see: msenas devices)")


def structure(graph: SpikingGraph, chip: str, further: Sequence[Other] = ()) -> dict[str, Any]:
    """Fields of `Measured` that need no spikes: parameters, and what the network takes of each chip."""
    own = fitted(graph, chip)
    return {
        "parameters": parameters(graph),
        **{key: value or 0 for key, value in own.items() if key != "broken"},
        "broken": tuple(own["broken"]),
        "devices": {one.name: fitted(graph, one.chip) for one in further},
    }


def fitted(graph: SpikingGraph, chip: str) -> dict[str, Any]:
    """`cores`, `memory`, `misfit` and `broken` on one chip; without a chip None, None, 0 and none."""
    import cost_models

    if not chip:
        return {"cores": None, "memory": None, "misfit": 0.0, "broken": []}
    fit = cost_models.check(graph, chip)
    words = [
        use[key].most * fit.population_cores[name]
        for name, use in fit.use.items()
        for key in MEMORY
        if key in use
    ]
    return {
        "cores": fit.cores,
        "memory": sum(words),
        "misfit": float(sum(excess(rule.found, rule.allowed) for rule in fit.broken)),
        "broken": [rule.as_json() for rule in fit.broken],
    }


def costs(graph: SpikingGraph, run: Run, model: str) -> dict[str, float | None]:
    """`energy_j` and `latency_s` of a sample; None each without a cost model."""
    import cost_models

    if not model:
        return {"energy_j": None, "latency_s": None}
    found = cost_models.estimate(graph, run, model).as_json()
    return {key: found[key] for key in ("energy_j", "latency_s")}


def excess(found: float, allowed: float) -> float:
    """How far a broken rule is exceeded, relative to what is allowed; 1 where that is no measure."""
    return abs(found - allowed) / abs(allowed) if allowed and found != allowed else 1.0


def parameters(graph: SpikingGraph) -> int:
    """Stored weights and biases of a graph, zeros aside (a synapse of weight zero is none)."""
    arrays = [
        np.asarray(getattr(node, field))
        for node in graph.nodes.values()
        for field in ("weight", "bias")
        if getattr(node, field, None) is not None
    ]
    return sum(int(np.count_nonzero(array)) for array in arrays)
