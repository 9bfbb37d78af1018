"""Fit on Xylo Audio 2: all neurons share one recurrent core, whose clock must keep up with the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import nir
import numpy as np

from cost_models.device import Device
from cost_models.fit.links import find_links
from cost_models.fit.network import ChipNetwork, Group, chip_network
from cost_models.fit.report import FitReport, Slice, Use, WeightBits
from cost_models.fit.rules import Aligned, Finding, broken_by, cycle, linear, readout
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind


@dataclass(frozen=True)
class Size:
    """What the clock cycles of a step depend on.

    Attributes:
        inputs, hidden, outputs: neurons.
        recurrent: synapses between hidden neurons.
    """

    inputs: int
    hidden: int
    outputs: int
    recurrent: int


@dataclass(frozen=True)
class Case(Aligned):
    """What the rules look at; `outputs` are the populations that an Output reads."""

    device: Device
    outputs: tuple[str, ...]


def cycles_per_step(size: Size, device: Device, input_rate: float = 1.0, hidden_rate: float = 1.0) -> float:
    """Master clock cycles that the core takes for one step.

    Nin (p_in Nhid c1 + c2) + c3 p_hid x recurrent synapses + Nhid c4 + Nhid p_hid (c5 + c6 Nout)
    + Nhid (c7 + c8 p_hid) + Nout c9. Source: Rockpool, cycles_model of SYNS61201, without aliases.

    Args:
        size: of the network (`size_of`).
        device: with the cycle constants ("xylo-a2").
        input_rate, hidden_rate: probability that a channel or hidden neuron has an event in a step, 0 to
            1; several events in a step cost as much as one. By default the worst case.

    Raises:
        ConfigError: a rate outside 0 to 1.
    """
    for name, rate in (("input_rate", input_rate), ("hidden_rate", hidden_rate)):
        if not 0 <= rate <= 1:
            raise ConfigError(f"{name}: found {rate}, allowed 0 to 1")
    inputs = size.inputs * (
        input_rate * size.hidden * device["input_synapse_cycles"] + device["input_channel_cycles"]
    )
    synapses = hidden_rate * size.recurrent * device["hidden_synapse_cycles"]
    outputs = (
        size.hidden
        * hidden_rate
        * (device["output_spike_cycles"] + size.outputs * device["output_synapse_cycles"])
    )
    neurons = size.hidden * (
        device["hidden_current_cycles"]
        + device["hidden_neuron_cycles"]
        + hidden_rate * device["hidden_spike_cycles"]
    )
    return inputs + synapses + outputs + neurons + size.outputs * device["output_neuron_cycles"]


def size_of(graph: SpikingGraph) -> Size:
    """Size of the aligned network, relay neurons among the hidden ones."""
    return _size(chip_network(graph, 0), _read(graph))


def fit(graph: SpikingGraph, device: Device, weight_bits: WeightBits, graded: bool) -> FitReport:
    """Check `graph` on the one core of the chip."""
    network, outputs = chip_network(graph, 0), _read(graph)
    size = _size(network, outputs)
    broken = broken_by(RULES, Case(graph, network, device, outputs))
    placed = [*network.placed("population"), *network.placed("relay")]
    roles = {g.name: "output_neurons" if g.name in outputs else "hidden_neurons" for g in placed}
    counts = {
        "input_channels": size.inputs,
        "hidden_neurons": size.hidden,
        "output_neurons": size.outputs,
    }
    return FitReport(
        device=device.name,
        weight_bits=weight_bits,
        cores=1,
        population_cores=dict.fromkeys(roles, 1),
        use={g.name: {roles[g.name]: Use(g.size, device.integer(roles[g.name]))} for g in placed},
        broken=broken,
        placement=tuple(Slice(g.name, ((0, g.size),), 0, None) for g in placed) if not broken else (),
        chip_use={key: Use(count, device.integer(key)) for key, count in counts.items()},
        figures=_figures(size, device, graph.profile.dt),
        unchecked=(
            "fastest clock of the chip: compare with figures.clock_hz",
            "decay: the chip shifts bits, so time constants become powers of two",
            *(("input events: more than 15 a channel and step are lost",) if graded else ()),
        ),
        sources=device.sources,
    )


def _figures(size: Size, device: Device, dt_s: float | None) -> dict[str, float]:
    cycles = cycles_per_step(size, device)
    clock = {} if dt_s is None else {"clock_hz": (1 + device["clock_margin"]) * cycles / dt_s}
    return {"worst_cycles_per_step": cycles, **clock}


def _read(graph: SpikingGraph) -> tuple[str, ...]:
    """Populations from which an Output is reached through no other population."""
    read = {link.source for link in find_links(graph).readouts}
    return tuple(name for name in graph.populations if name in read)


def _hidden(network: ChipNetwork, outputs: tuple[str, ...]) -> list[Group]:
    """Populations that no Output reads, and relays."""
    found = [*network.placed("population"), *network.placed("relay")]
    return [group for group in found if group.name not in outputs]


def _size(network: ChipNetwork, outputs: tuple[str, ...]) -> Size:
    hidden = {group.name for group in _hidden(network, outputs)}
    return Size(
        inputs=sum(group.size for group in network.placed("input")),
        hidden=sum(network.groups[name].size for name in hidden),
        outputs=sum(network.groups[name].size for name in outputs),
        recurrent=sum(
            prod(connection.shape) if connection.full else int(connection.matrix.nnz)
            for connection in network.connections
            if connection.source in hidden and connection.target in hidden
        ),
    )


def neuron(case: Case) -> Iterator[Finding]:
    """Populations must be LIF or CubaLIF; one that an Output reads may be LI or CubaLI."""
    for name in case.graph.populations:
        node, reads = case.graph.nodes[name], name in case.outputs
        if not isinstance(node, (nir.LIF, nir.CubaLIF, *((nir.LI, nir.CubaLI) if reads else ()))):
            yield Finding(name, 1, 0, f"use CubaLIF or LIF in place of {kind(node)}")


def input_channels(case: Case) -> Iterator[Finding]:
    """There must be at most 16 input channels."""
    sizes = {group.name: group.size for group in case.network.placed("input")}
    yield from _at_most(case, "input_channels", sizes, "reduce the channels before the chip")


def hidden_neurons(case: Case) -> Iterator[Finding]:
    """There must be at most 1,000 hidden neurons, relays among them."""
    sizes = {group.name: group.size for group in _hidden(case.network, case.outputs)}
    yield from _at_most(case, "hidden_neurons", sizes, "make this population smaller")


def output_neurons(case: Case) -> Iterator[Finding]:
    """There must be at most 8 output neurons."""
    sizes = {name: case.network.groups[name].size for name in case.outputs}
    yield from _at_most(case, "output_neurons", sizes, "read fewer neurons")


def depth(case: Case) -> Iterator[Finding]:
    """There must be at least two populations in a row: hidden neurons, then output neurons."""
    if not _hidden(case.network, case.outputs):
        for name in case.outputs:
            yield Finding(name, 1, 2, "put a hidden population before it")


def input_to_output(case: Case) -> Iterator[Finding]:
    """Inputs must feed hidden neurons only."""
    for connection in case.network.connections:
        if connection.target in case.outputs and case.network.groups[connection.source].role == "input":
            hint = f"put a hidden population between {connection.source!r} and it"
            yield Finding(connection.target, 1, 0, hint)


def output_feedback(case: Case) -> Iterator[Finding]:
    """Output neurons must feed no neurons."""
    for connection in case.network.connections:
        if connection.source in case.outputs:
            yield Finding(connection.source, 1, 0, f"take out its edge to {connection.target!r}")


def axonal_delay(case: Case) -> Iterator[Finding]:
    """A hop must take one step: there are no delays, and a skip connection needs them."""
    for late in case.network.late:
        hint = f"spend {late.relays} relay neurons on the way from {late.source!r} (counted here)"
        yield Finding(late.target, late.delay, 0, hint)


def bias(case: Case) -> Iterator[Finding]:
    """Weights must have no bias that acts on the synaptic current."""
    constants = case.network.placed("constant")
    for name in dict.fromkeys(group.follows for group in constants):
        mine = {group.name for group in constants if group.follows == name}
        columns = [c.matrix for c in case.network.into(name) if c.source in mine]
        hint = "train without a bias, or move it to v_leak of the neurons"
        yield Finding(name, int(np.count_nonzero(sum(abs(column) for column in columns).toarray())), 0, hint)


def _at_most(case: Case, key: str, sizes: Mapping[str, int], hint: str) -> Iterator[Finding]:
    total = sum(sizes.values())
    if total > case.device.integer(key):
        largest = max(sizes, key=lambda name: sizes[name])
        yield Finding(largest, total, case.device.integer(key), hint)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    cycle,
    linear,
    readout,
    neuron,
    input_channels,
    hidden_neurons,
    output_neurons,
    depth,
    input_to_output,
    output_feedback,
    axonal_delay,
    bias,
)
