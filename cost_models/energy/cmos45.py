"""Arithmetic at 45 nm: additions and multiplications, and nothing else (Horowitz, ISSCC 2014).

    E = ACs x e_add + MACs x (e_add + e_mul) + neuron operations

An operation of a spike adds (AC); one of a graded value multiplies too (MAC). A neuron update takes
the multiplications and additions of its equation (Euler): IF 0 and 1, LIF and LI 1 and 2, CubaLIF
and CubaLI 2 and 3. Memory, routing, control and leakage are not in it, and it has no time.
"""

from __future__ import annotations

from collections.abc import Mapping

import nir

from cost_models.device import Device
from cost_models.energy.census import census
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from targets.graph.graph import SpikingGraph

# Multiplications and additions of one update: leak, current, input; a reset by subtraction is one more.
NEURON_OPERATIONS: Mapping[type[nir.NIRNode], tuple[int, int]] = {
    nir.I: (0, 1),
    nir.IF: (0, 1),
    nir.LI: (1, 2),
    nir.LIF: (1, 2),
    nir.CubaLI: (2, 3),
    nir.CubaLIF: (2, 3),
}


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices effective ACs and MACs of the folded hops, and neuron updates."""
    counted = census(graph)
    add, mul = device["energy_add"], device["energy_multiply"]
    update = sum(
        size
        * (NEURON_OPERATIONS[counted.kinds[name]][0] * mul + NEURON_OPERATIONS[counted.kinds[name]][1] * add)
        for name, size in counted.neurons.items()
    )

    def price(usage: Usage) -> Price:
        macs = counted.macs(usage)
        acs = counted.synops(usage) - macs
        biases = sum(counted.bias_adds(usage, name) for name in counted.neurons)
        terms = {
            "ac": acs * add,
            "mac": macs * (add + mul),
            "bias": biases * add,
            "neuron": float(usage.steps) * usage.samples * update,
        }
        return Price(terms, None, usage.steps)

    return Plan(price)


MODEL = Model(plan, dict.fromkeys(("ac", "mac", "bias", "neuron"), "event"))
