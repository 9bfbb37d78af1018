"""SpiNNaker 2: energy of a synaptic event and of a neuron update.

    E = synaptic events x e_synapse + (T + max phi) x neurons x e_neuron

No latency: it depends on how populations share the processing elements.
"""

from __future__ import annotations

from cost_models.device import Device
from cost_models.energy.census import census, hop_latency
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from targets.graph.graph import SpikingGraph


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices synaptic events, those of constant sources included, and neuron updates."""
    counted, late = census(graph), hop_latency(graph)
    synapse, neuron = device["energy_synapse"], device["energy_neuron"]

    def price(usage: Usage) -> Price:
        steps = usage.steps + late
        terms = {
            "synapse": (counted.synops(usage) + counted.constant_events(usage)) * synapse,
            "neuron": float(steps) * usage.samples * counted.size * neuron,
        }
        return Price(terms, None, steps)

    return Plan(price)


MODEL = Model(plan, {"synapse": "event", "neuron": "event"})
