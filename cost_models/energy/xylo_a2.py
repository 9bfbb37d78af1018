"""Xylo Audio 2 (SYNS61201): real-time steps, measured power, and the vendor's clock cycles as figures.

    E = T' x e_step + P_idle x latency,   latency = T' x dt

T' = T + max phi steps. No energy of a clock cycle was published, so e_step is a measured mean that follows
neither size nor activity; `cycles_per_step` (`cost_models.fit.xylo`) does, at the spike rates of the run.
"""

from __future__ import annotations

import numpy as np

from cost_models.device import Device
from cost_models.energy.census import hop_latency
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from cost_models.fit.links import find_links
from cost_models.fit.xylo import cycles_per_step, size_of
from targets.graph.graph import SpikingGraph


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices steps and idle power; cycles and the clock they need are figures."""
    dt, late, size = graph.require_dt("the Xylo model"), hop_latency(graph), size_of(graph)
    read = {link.source for link in find_links(graph).readouts}
    hidden = tuple(name for name in graph.populations if name not in read)
    worst = cycles_per_step(size, device)
    energy, power, margin = device["energy_step"], device["power_idle"], device["clock_margin"]

    def price(usage: Usage) -> Price:
        steps = usage.steps + late
        seconds = steps * usage.samples * dt
        rates = (_rate(graph, usage, graph.inputs), _rate(graph, usage, hidden))
        figures = {
            "cycles_per_step": cycles_per_step(size, device, *rates),
            "worst_cycles_per_step": worst,
            "clock_hz": (1 + margin) * worst / dt,
        }
        terms = {"step": steps * usage.samples * energy, "idle": seconds * power}
        return Price(terms, seconds, steps, figures)

    return Plan(price, cores=1)


def _rate(graph: SpikingGraph, usage: Usage, names: tuple[str, ...]) -> float:
    """Events a neuron and step; several in one step cost what one does, so it is at most 1."""
    neurons = sum(int(np.prod(graph.shapes[name])) for name in names)
    events = sum(float(usage.events.spikes[name].sum()) for name in names)
    return min(1.0, events / (neurons * usage.steps * usage.samples)) if neurons else 0.0


MODEL = Model(plan, {"step": "fixed", "idle": "static"})
