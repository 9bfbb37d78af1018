"""Operations, addressing and memory of an event-driven accelerator (Lemaire et al., arXiv:2210.13107).

Each hop has local memories: a queue of input events, its weights, the potentials of its target. An
access to a memory costs more the larger it is (linear between published sizes).

    operations  = (synaptic operations + biases + output spikes) x e_add + leaky updates x (e_add + e_mul)
    addressing  = synaptic operations x e_add, and e_add + e_mul twice an event of a convolution
    memory      = events in and out x access(queue)
                + (synaptic operations + biases) x access(weights)
                + 2 x (synaptic operations + neuron updates) x access(potentials)

A graded value multiplies, so each of its operations costs e_add + e_mul. A CubaLIF or CubaLI holds
two states, which the paper does not treat: both are updated and stored. No time, no static power.
"""

from __future__ import annotations

from bisect import bisect_right

import nir

from cost_models.activity import STATES
from cost_models.device import Device
from cost_models.energy.census import Census, Stream, census
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from targets.graph.graph import SpikingGraph

_LEAKLESS = (nir.IF, nir.I)


def access_j(size_bytes: float, device: Device) -> float:
    """Joules of one access to a memory: linear between the rows of `energy_access`, flat beyond the last."""
    rows = device.rows("energy_access")
    at = bisect_right([row[0] for row in rows], size_bytes)
    if at == len(rows):
        return rows[-1][1]
    (x0, y0), (x1, y1) = rows[at - 1] if at else (0.0, 0.0), rows[at]
    return y0 + (y1 - y0) * (size_bytes - x0) / (x1 - x0)


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices events, and fixes the size of every memory."""
    counted = census(graph)
    streams = [(stream, *_memories(stream, device)) for stream in counted.streams]
    queue = access_j(device["queue_words"] * device["word_bytes"], device)

    def price(usage: Usage) -> Price:
        terms = _neurons(counted, usage, device, queue)
        for stream, weights, potentials in streams:
            for name, joules in _stream(stream, usage, device, queue, weights, potentials).items():
                terms[name] += joules
        return Price(terms, None, usage.steps)

    return Plan(price)


def _memories(stream: Stream, device: Device) -> tuple[float, float]:
    """Joules of an access to the weights of a hop, and to the potentials of its target."""
    word = device["word_bytes"]
    return access_j(stream.parameters * word, device), access_j(stream.size * word, device)


def _stream(
    stream: Stream, usage: Usage, device: Device, queue: float, weights: float, potentials: float
) -> dict[str, float]:
    add, mac = device["energy_add"], device["energy_add"] + device["energy_multiply"]
    sent, graded = usage.events.sent[stream.source], usage.events.graded.get(stream.source)
    synops, arrived = float(sent @ stream.fan_out), float(sent.sum())
    macs = 0.0 if graded is None else float(graded @ stream.fan_out)
    return {
        "operations": (synops - macs) * add + macs * mac,
        "addressing": synops * add + (2 * arrived * mac if stream.convolves else 0.0),
        "events": arrived * queue,
        "weights": synops * weights,
        "potentials": 2 * synops * potentials,
    }


def _neurons(counted: Census, usage: Usage, device: Device, queue: float) -> dict[str, float]:
    add, mac, word = (
        device["energy_add"],
        device["energy_add"] + device["energy_multiply"],
        device["word_bytes"],
    )
    terms = dict.fromkeys(KINDS, 0.0)
    for name, size in counted.neurons.items():
        fired = float(usage.events.spikes[name].sum())
        updates = float(usage.steps) * usage.samples * size * STATES.get(counted.kinds[name], 1)
        biases = counted.bias_adds(usage, name)
        into = [stream.parameters for stream in counted.streams if stream.target == name]
        terms["operations"] += (fired + biases) * add
        terms["operations"] += 0.0 if issubclass(counted.kinds[name], _LEAKLESS) else updates * mac
        terms["events"] += fired * queue
        terms["weights"] += biases * access_j(max(into, default=0) * word, device)
        terms["potentials"] += 2 * updates * access_j(size * word, device)
    return terms


KINDS = dict.fromkeys(("operations", "addressing", "events", "weights", "potentials"), "event")
MODEL = Model(plan, KINDS)
