"""The rules of a chip: one function a rule, whose docstring is what it demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork
from cost_models.fit.place import Layout
from cost_models.fit.report import Broken


@dataclass(frozen=True)
class Case:
    """What the rules look at."""

    network: ChipNetwork
    chip: Chip
    layout: Layout
    cores: int


def cores(case: Case) -> Iterator[Broken]:
    """The populations must need no more cores than the chip has."""
    allowed = case.chip.device.integer("cores")
    if case.cores > allowed:
        largest = max(case.layout.regions, key=lambda name: len(case.layout.regions[name]))
        count = len(case.layout.regions[largest])
        yield Broken(
            "cores", largest, case.cores, allowed, f"this population takes {count} of them; make it smaller"
        )


def fan_in(case: Case) -> Iterator[Broken]:
    """No neuron may have more source neurons than a core has in-axons: splitting cannot reduce it."""
    hint = "give the neuron fewer sources, or sum them first in a population between"
    yield from _alone(case, "fan_in", "in_axons", hint)


def synapse_memory(case: Case) -> Iterator[Broken]:
    """The synapses of one neuron must fit the memory of a core: splitting cannot reduce them."""
    yield from _alone(case, "synapse_memory", case.chip.memory, "give the neuron fewer or narrower weights")


def compartments(case: Case) -> Iterator[Broken]:
    """A core must hold at least one neuron beside the constant sources of its population."""
    yield from _alone(case, "compartments", "compartments", "merge the biases of this population")


def fan_out(case: Case) -> Iterator[Broken]:
    """No neuron may reach more cores than a core has out-axons: splitting cannot reduce it."""
    yield from _alone(case, "fan_out", "out_axons", "connect the neuron to fewer or smaller populations")


def axonal_delay(case: Case) -> Iterator[Broken]:
    """What a hop's delay leaves after alignment must not exceed the axonal delay of the chip."""
    for late in case.network.late:
        allowed = case.chip.device.integer("max_axonal_delay")
        hint = f"shorten the delay from {late.source!r}, or spend {late.relays} relay neurons (counted here)"
        yield Broken("axonal_delay", late.target, late.delay, allowed, hint)


def readout(case: Case) -> Iterator[Broken]:
    """An Output must read a population directly: what lies between would be computed nowhere."""
    for output, source in case.network.stray:
        hint = f"end in a population (it now reads {source!r} through other nodes)"
        yield Broken("readout", output, 1, 0, hint)


def _alone(case: Case, rule: str, resource: str, hint: str) -> Iterator[Broken]:
    for name, exceeded in case.layout.alone_too_big.items():
        if resource in exceeded:
            yield Broken(rule, name, exceeded[resource], case.chip.device.integer(resource), hint)


RULES: tuple[Callable[[Case], Iterator[Broken]], ...] = (
    fan_in,
    fan_out,
    synapse_memory,
    compartments,
    axonal_delay,
    readout,
    cores,
)
