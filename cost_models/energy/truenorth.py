"""TrueNorth: one all-in energy of a synaptic event, and its 1 ms tick.

    E = synaptic events x e_event,   latency = (T + max phi) x tick

e_event is the power of the whole chip over its synaptic events at one operating point (20 Hz, 128
active synapses a neuron), so static power, neurons and routing are inside and not terms of their own.
"""

from __future__ import annotations

from cost_models.device import Device
from cost_models.energy.census import census, hop_latency
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from targets.graph.graph import SpikingGraph


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices synaptic events, those of constant sources included."""
    counted, late = census(graph), hop_latency(graph)
    energy, tick = device["energy_synaptic_event"], device["latency_step"]

    def price(usage: Usage) -> Price:
        usage.spikes_only(device.name)
        steps = usage.steps + late
        joules = (counted.synops(usage) + counted.constant_events(usage)) * energy
        return Price({"synaptic_event": joules}, steps * usage.samples * tick, steps)

    return Plan(price)


MODEL = Model(plan, {"synaptic_event": "event"})
