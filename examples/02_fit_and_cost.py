"""Does a network fit a chip, and what does a sample cost there?"""

from __future__ import annotations

import itertools

import nir
import numpy as np

import cost_models
import targets

rng = np.random.default_rng(1)


def neurons(count: int) -> nir.LIF:
    one = np.ones(count)
    return nir.LIF(tau=4e-3 * one, r=4 * one, v_leak=0 * one, v_threshold=one)


def network(hidden: int) -> targets.SpikingGraph:
    nodes = {
        "input": nir.Input({"input": np.array([784])}),
        "first": nir.Linear(rng.normal(0, 0.1, (hidden, 784))),
        "hidden": neurons(hidden),
        "second": nir.Linear(rng.normal(0, 0.2, (10, hidden))),
        "readout": neurons(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = list(nodes)
    return targets.SpikingGraph.build(nodes, list(itertools.pairwise(names)), {"dt": 1e-3})


graph = network(256)
for device in ("loihi1", "loihi2"):
    fit = cost_models.check(graph, device)
    print(f"{device}: fits={fit.fits}, {fit.cores} cores, bound by {fit.binding}")

# The chip computes in fixed point, so its own spikes are counted.
spikes = (rng.random((50, 16, 784)) < 0.1).astype(np.float32)
run = targets.compile(graph, "loihi").run(spikes)
cost = cost_models.estimate(graph, run, "loihi1-sanafe")
print(f"{cost.energy_j:.3g} J and {cost.latency_s:.3g} s a sample, {cost.synops:.0f} synaptic operations")
for term, joules in cost.terms.items():
    print(f"  {term:<14} {joules:.3g} J")
print("left out:", "; ".join(cost.omitted))

too_large = cost_models.check(network(20_000), "loihi1")
for rule in too_large.broken:
    print(f"broken: {rule.rule} at {rule.node}: found {rule.found}, allowed {rule.allowed}")
