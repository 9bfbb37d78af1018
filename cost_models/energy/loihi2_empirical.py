"""Loihi 2 by one fully counted workload: no energy of an operation was ever published.

    E = synaptic operations x e_synop + chips x P_static x latency,   latency = (T + max phi) x step_s

e_synop is dynamic energy over synaptic operations of that workload: neuron updates, spikes and
routing are inside, so it holds near its ratio of operations only. Chips are the cores of the fit
check over the cores of a chip.
"""

from __future__ import annotations

from cost_models.device import Device, load_device
from cost_models.energy.census import census, hop_latency
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from cost_models.fit.check import check_on
from targets.graph.graph import SpikingGraph


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices synaptic operations, those of constant sources included, and static power of the chips."""
    counted, late = census(graph), hop_latency(graph)
    cores = check_on(graph, device, options.weight_bits).cores
    chips = max(1, -(-cores // load_device(device.chip).integer("cores")))
    energy, step, power = device["energy_synop"], device["latency_step"], device["power_static"]

    def price(usage: Usage) -> Price:
        steps = usage.steps + late
        seconds = steps * usage.samples * step
        terms = {
            "synop": (counted.synops(usage) + counted.constant_events(usage)) * energy,
            "static": chips * power * seconds,
        }
        return Price(terms, seconds, steps, {"chips": float(chips)})

    return Plan(price, cores=cores)


MODEL = Model(plan, {"synop": "event", "static": "static"})
