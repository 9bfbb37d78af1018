"""What an energy model is: a plan made once for a graph, and a price for what a run did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cost_models.activity import NeuronEvents
from cost_models.device import Device
from cost_models.fit.report import Slice, WeightBits
from targets.errors import DataError
from targets.graph.graph import SpikingGraph

# What a term pays for. A kind without a term in a model is not priced by it, which is not zero.
KINDS = ("event", "fixed", "static", "io", "host")


@dataclass(frozen=True)
class Options:
    """Options of `estimate` that a plan depends on; see there.

    Attributes:
        cores: `(node, core numbers)` of a placement by hand, or None.
    """

    weight_bits: WeightBits = 8
    inputs: str = "mapped"
    cores: tuple[tuple[str, tuple[int, ...]], ...] | None = None
    batch: int = 1


@dataclass(frozen=True, eq=False)
class Usage:
    """What a run did: events of all its samples, over `steps` steps each."""

    events: NeuronEvents
    steps: int
    samples: int

    def spikes_only(self, device: str) -> None:
        """DataError where a node sends values, for a device that sends spikes only."""
        for name in self.events.graded:
            raise DataError(f"node {name!r}: sends graded values, {device} is a model of spikes only")


@dataclass(frozen=True)
class Price:
    """Cost of all samples of a run.

    Attributes:
        terms: `{term: joules}`.
        latency_s: None where the model has no time.
        steps: that the machine takes for a sample: T + max phi where every hop takes a step.
        figures: other numbers worth showing, by name with unit.
        omitted: what this price leaves out beyond the device's own list.
    """

    terms: dict[str, float]
    latency_s: float | None
    steps: int
    figures: Mapping[str, float] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Plan:
    """What depends on graph, device and options only.

    Attributes:
        price: the cost of what a run did.
        placement: slices on cores; empty where the model places nothing.
        cores: of the populations; None where the model knows no cores.
        input_cores: that Inputs take beside them.
    """

    price: Callable[[Usage], Price]
    placement: tuple[Slice, ...] = ()
    cores: int | None = None
    input_cores: int = 0


@dataclass(frozen=True)
class Model:
    """An energy model.

    Attributes:
        plan: makes the plan; raises ConfigError for a constant that the device lacks.
        kinds: `{term: one of KINDS}`, every term of a price.
    """

    plan: Callable[[SpikingGraph, Device, Options], Plan]
    kinds: Mapping[str, str]
