"""The rules of chips with a mesh of cores: one function a rule, whose docstring is what it demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork
from cost_models.fit.place import Layout
from cost_models.fit.report import Broken
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.loihi.normalise import decay_groups


@dataclass(frozen=True)
class Finding:
    """Where a rule is broken: found against allowed, and what to do."""

    node: str
    found: int
    allowed: int
    hint: str


@dataclass(frozen=True)
class Aligned:
    """A graph and its aligned network, as every chip with time steps sees it."""

    graph: SpikingGraph
    network: ChipNetwork


@dataclass(frozen=True)
class Case(Aligned):
    """What the rules of a mesh look at; `graded` says that Inputs carry values."""

    chip: Chip
    layout: Layout
    graded: bool


def broken_by(rules: Sequence[Callable[[Any], Iterator[Finding]]], case: Any) -> tuple[Broken, ...]:
    """Every finding of every rule, each with the rule's name and demand."""
    return tuple(
        Broken(rule.__name__, found.node, found.found, found.allowed, found.hint, demand(rule))
        for rule in rules
        for found in rule(case)
    )


def demand(rule: Callable[..., object]) -> str:
    """A rule in words: its docstring on one line."""
    return " ".join((rule.__doc__ or "").split())


def cycle(case: Aligned) -> Iterator[Finding]:
    """A cycle must hold at least as many steps of delay as it has hops, since each hop takes a step."""
    for short in case.network.short:
        missing = short.hops - short.delays
        steps = "1 step" if missing == 1 else f"{missing} steps"
        yield Finding(
            " -> ".join((*short.nodes, short.nodes[0])),
            short.delays,
            short.hops,
            f"add {steps} of Delay to an edge of the cycle, or take out one of its populations",
        )


def linear(case: Aligned) -> Iterator[Finding]:
    """Between two populations only what a synapse can hold may stand: weights, pooling, delays."""
    for name in case.network.nonlinear:
        yield Finding(name, 1, 0, "replace it by a population of IF neurons, or take it out")


def readout(case: Aligned) -> Iterator[Finding]:
    """An Output must read one population directly: what lies between would be computed nowhere."""
    for output, source in case.network.stray:
        hint = f"end in a population (it now reads {source!r} through or beside other nodes)"
        yield Finding(output, 1, 0, hint)


def graded_input(case: Case) -> Iterator[Finding]:
    """Inputs and populations must send binary spikes, one a step."""
    for name in case.graph.inputs if case.graded else ():
        yield Finding(name, 1, 0, "encode the input as spikes (rate, latency or events)")
    if case.graph.profile.spikes_per_step == "many":
        for name in case.graph.populations:
            yield Finding(name, 1, 0, "train with one spike a step (profile spikes_per_step = one)")


def fan_in(case: Case) -> Iterator[Finding]:
    """No neuron may have more source neurons than a core has in-axons: splitting cannot reduce it."""
    hint = "give the neuron fewer sources, or sum them first in a population between"
    yield from _alone(case, "in_axons", hint)


def fan_out(case: Case) -> Iterator[Finding]:
    """No neuron may reach more cores than a core has out-axons: splitting cannot reduce it."""
    yield from _alone(case, "out_axons", "connect the neuron to fewer or smaller populations")


def synapse_memory(case: Case) -> Iterator[Finding]:
    """The synapses of one neuron must fit the memory of a core: splitting cannot reduce them."""
    yield from _alone(case, case.chip.memory, "give the neuron fewer synapses, or weights of fewer bits")


def compartments(case: Case) -> Iterator[Finding]:
    """A core must hold at least one neuron beside the constant sources of its population."""
    yield from _alone(case, "compartments", "merge the biases of this population")


def profiles(case: Case) -> Iterator[Finding]:
    """Neurons of a population may have as many pairs of decays as a core has compartment profiles, of which
    the constant sources beside them take one.
    """
    constants = {source.follows for source in case.network.placed("constant")}
    for name in case.graph.populations:
        allowed = case.chip.device.integer("profiles") - (name in constants)
        found = decay_groups(dynamics(case.graph, name))
        if found > allowed:
            yield Finding(
                name, found, allowed, "share time constants between neurons, or split the population"
            )


def axonal_delay(case: Case) -> Iterator[Finding]:
    """What a hop's delay leaves after alignment must not exceed the axonal delay of the chip."""
    for late in case.network.late:
        allowed = case.chip.device.integer("max_axonal_delay")
        hint = f"shorten the delay from {late.source!r}, or spend {late.relays} relay neurons (counted here)"
        yield Finding(late.target, late.delay, allowed, hint)


def cores(case: Case) -> Iterator[Finding]:
    """The populations must need no more cores than the chip has."""
    regions, allowed = case.layout.regions, case.chip.device.integer("cores")
    needed = sum(map(len, regions.values()))
    if needed > allowed:
        largest = max(regions, key=lambda name: len(regions[name]))
        yield Finding(
            largest,
            needed,
            allowed,
            f"this population takes {len(regions[largest])} of them; make it smaller, or spread over "
            f"{-(-needed // allowed)} chips",
        )


def _alone(case: Case, resource: str, hint: str) -> Iterator[Finding]:
    for name, exceeded in case.layout.alone_too_big.items():
        if resource in exceeded:
            yield Finding(name, exceeded[resource], case.chip.device.integer(resource), hint)


Rule = Callable[[Case], Iterator[Finding]]
LOIHI2: tuple[Rule, ...] = (
    cycle,
    linear,
    readout,
    fan_in,
    fan_out,
    synapse_memory,
    compartments,
    cores,
)
LOIHI1: tuple[Rule, ...] = (*LOIHI2[:3], graded_input, *LOIHI2[3:-1], profiles, axonal_delay, cores)
# Without these a placement does not exist on however many cores.
UNPLACEABLE = frozenset({"cycle", "linear", "fan_in", "fan_out", "synapse_memory", "compartments"})
