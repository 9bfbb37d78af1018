"""What an energy model gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cost_models.fit.report import Slice


@dataclass(frozen=True)
class Estimate:
    """Cost of a run on a device, per sample.

    Attributes:
        energy_j, latency_s: totals of what the model knows; `omitted` says what it does not.
        spikes: events of all Inputs and populations of the graph.
        synops: synaptic operations of all hops of the graph.
        terms: `{term: joules}`; they sum to `energy_j`.
        cores: of the populations, as `check` counts them.
        input_cores: cores that Input neurons take beside them.
        steps: aligned steps a sample, T + max phi.
        placement: what the packets were counted on.
    """

    device: str
    energy_j: float
    latency_s: float
    spikes: float
    synops: float
    terms: dict[str, float]
    sources: tuple[str, ...]
    omitted: tuple[str, ...]
    cores: int
    input_cores: int
    steps: int
    placement: tuple[Slice, ...] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """JSON of `msenas cost`, one device."""
        return {
            "device": self.device,
            "energy_j": self.energy_j,
            "latency_s": self.latency_s,
            "spikes": self.spikes,
            "synops": self.synops,
            "terms": dict(self.terms),
            "sources": list(self.sources),
            "omitted": list(self.omitted),
        }
