"""Plans of models that need a placement: neurons on the cores of a chip with a mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cost_models.activity import NeuronEvents
from cost_models.device import Device
from cost_models.energy.events import Events, Wiring, wire
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from cost_models.fit.check import check_on, chip_of
from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork, Group, chip_network
from cost_models.fit.place import slices_on
from cost_models.fit.report import FitReport, Slice
from cost_models.fit.split import flat
from targets.errors import DoesNotFitError
from targets.graph.graph import SpikingGraph

# A soma of an Input neuron that is injected costs nothing here, so it is said.
INJECTED = "soma energy and time of Input neurons, taken as injected by spike generators"


class Terms(Protocol):
    """Joules of each term for events summed over all samples, which took `seconds` in `steps` steps."""

    def __call__(self, events: Events, steps: int, seconds: float, device: Device) -> dict[str, float]: ...


def placed_model(
    terms: Terms, latency_s: Callable[[Events, int, Device], float], kinds: Mapping[str, str]
) -> Model:
    """A model from the joules and the seconds of events on cores."""

    def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
        return _plan(graph, device, options, terms, latency_s)

    return Model(plan, kinds)


@dataclass(frozen=True, eq=False)
class _Placed:
    """A network on cores."""

    device: Device
    network: ChipNetwork
    wiring: Wiring
    terms: Terms
    latency_s: Callable[[Events, int, Device], float]
    omitted: tuple[str, ...]

    def price(self, usage: Usage) -> Price:
        """Cost of what a run did, on the aligned network."""
        usage.spikes_only(self.device.name)
        aligned = usage.steps + self.network.latency
        steps = aligned * usage.samples
        counts = _group_counts(self.network, usage.events, usage.steps, usage.samples)
        events = self.wiring.events(counts, steps)
        seconds = self.latency_s(events, steps, self.device)
        return Price(self.terms(events, steps, seconds, self.device), seconds, aligned, omitted=self.omitted)


def _plan(
    graph: SpikingGraph,
    device: Device,
    options: Options,
    terms: Terms,
    latency_s: Callable[[Events, int, Device], float],
) -> Plan:
    chip = chip_of(device, options.weight_bits)
    network = chip_network(graph, chip.max_delay())
    if options.cores is not None:
        if network.short or network.nonlinear:
            _existing(check_on(graph, device, options.weight_bits))
        slices = slices_on(network, chip, dict(options.cores))
    else:
        report = check_on(graph, device, options.weight_bits)
        slices = (*_existing(report), *_input_slices(network, chip, report.cores))
    injected = options.inputs == "injected"
    wiring = wire(network, slices, frozenset(graph.inputs) if injected else frozenset())
    placed = _Placed(device, network, wiring, terms, latency_s, (INJECTED,) if injected else ())
    return Plan(
        price=placed.price,
        placement=slices,
        cores=len({s.core for s in slices if s.population not in graph.inputs}),
        input_cores=len({s.core for s in slices if s.population in graph.inputs}),
    )


def _existing(report: FitReport) -> tuple[Slice, ...]:
    if not report.placement:
        listed = "\n".join(f"  {broken}" for broken in report.broken)
        raise DoesNotFitError(f"no placement on {report.device} exists, on however many cores:\n{listed}")
    return report.placement


def _input_slices(network: ChipNetwork, chip: Chip, first: int) -> list[Slice]:
    """Inputs on cores of their own, from core `first` on, in equal slices."""
    slices: list[Slice] = []
    for group in network.placed("input"):
        parts = -(-group.size // chip.device.integer("compartments"))
        for region in flat(group.size, parts):
            core = first + len(slices)
            slices.append(Slice(group.name, region, core, chip.tile_of(core)))
    return slices


def _group_counts(
    network: ChipNetwork, events: NeuronEvents, steps: int, samples: int
) -> dict[str, NDArray[np.float64]]:
    """Spikes of every group: relays repeat their source, constants fire in each step from their onset on."""
    found = {}
    for group in network.groups.values():
        if group.role == "constant":
            found[group.name] = _constant_spikes(group, steps, samples)
        else:
            found[group.name] = events.spikes[group.follows]
    return found


def _constant_spikes(group: Group, steps: int, samples: int) -> NDArray[np.float64]:
    return np.array([max(steps - group.onset, 0) * samples], dtype=np.float64)
