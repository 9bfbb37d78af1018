"""What an energy model gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cost_models.device import Constant
from cost_models.energy.plan import KINDS
from cost_models.fit.report import Slice


@dataclass(frozen=True)
class Estimate:
    """Cost of a run on a device, per sample.

    Attributes:
        energy_j, latency_s: totals of what the model knows; `omitted` says what it does not.
            latency_s is None where the model has no time.
        spikes: events of all Inputs and populations of the graph.
        synops: synaptic operations of all hops of the graph.
        terms: `{term: joules}`; they sum to `energy_j`.
        kinds: `{term: "event" | "fixed" | "static" | "io" | "host"}`; fixed terms are paid each step.
        energy_band_j, latency_band_s: low and high end, from the `band_*` constants of the device.
        constants: what the device file holds, each with source, grade, scope and operating point.
        figures: other numbers of the model, by name with unit.
        cores: of the populations, as `check` counts them; None where the model knows no cores.
        input_cores: cores that Input neurons take beside them.
        steps: that the machine takes for a sample: T + max phi where every hop takes a step.
        placement: what the packets were counted on; empty where the model places nothing.
    """

    device: str
    energy_j: float
    latency_s: float | None
    spikes: float
    synops: float
    terms: dict[str, float]
    kinds: dict[str, str]
    energy_band_j: tuple[float, float]
    latency_band_s: tuple[float, float] | None
    constants: Mapping[str, Constant] = field(repr=False)
    sources: tuple[str, ...]
    omitted: tuple[str, ...]
    figures: dict[str, float]
    cores: int | None
    input_cores: int
    steps: int
    placement: tuple[Slice, ...] = field(repr=False)

    @property
    def by_kind(self) -> dict[str, float | None]:
        """Joules of each kind of term; None where the model prices none of that kind, which is not zero."""
        return {
            kind: sum(self.terms[name] for name in self.terms if self.kinds[name] == kind)
            if kind in self.kinds.values()
            else None
            for kind in KINDS
        }

    def _repr_html_(self) -> str:
        from targets.notebook import table

        rows = [
            {
                "term": name,
                "pays for": self.kinds[name],
                "energy (J)": joules,
                "share": joules / self.energy_j,
            }
            for name, joules in self.terms.items()
            if self.energy_j
        ]
        low, high = self.energy_band_j
        latency = "no model of time" if self.latency_s is None else f"latency {self.latency_s:.4g} s"
        said = f"{self.device}: {self.energy_j:.4g} J a sample ({low:.4g} to {high:.4g} J), {latency}"
        return table(rows, said, [f"leaves out: {text}" for text in self.omitted])

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
            "by_kind": self.by_kind,
            "energy_band_j": list(self.energy_band_j),
            "latency_band_s": None if self.latency_band_s is None else list(self.latency_band_s),
            "figures": dict(self.figures),
            "constants": [{"name": name, **vars(constant)} for name, constant in self.constants.items()],
        }
