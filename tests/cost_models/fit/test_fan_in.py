"""Fan-in that no split reduces, judged by the neuron that exceeds it."""

from __future__ import annotations

import nir
import numpy as np

import cost_models
from targets import SpikingGraph


def test_the_neuron_with_the_most_sources_decides_though_another_has_more_synapses() -> None:
    """Neuron 0 has 5,000 synapses from 2,500 sources over two hops; neuron 1 has 4,500 from 4,500."""
    sources = 4500
    first, second = np.zeros((2, sources)), np.zeros((2, sources))
    first[0, :2500] = second[0, :2500] = 1.0
    first[1] = 1.0
    one = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([sources])}),
        "near": nir.Linear(first),
        "far": nir.Linear(second),
        "later": nir.Delay(one * 1e-3),
        "n": nir.IF(one * 1e3, one),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [
        ("input", "near"),
        ("near", "n"),
        ("input", "far"),
        ("far", "later"),
        ("later", "n"),
        ("n", "output"),
    ]
    report = cost_models.check(SpikingGraph.build(nodes, edges, {"dt": 1e-3}), "loihi1")
    assert not report.fits
    broken = {rule.rule: rule for rule in report.broken}
    assert (broken["fan_in"].found, broken["fan_in"].allowed) == (4500, 4096)
