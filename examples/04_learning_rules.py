"""A learning rule for each layer: feedback alignment, direct feedback alignment and traces in one network."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np

import targets
from cost_models.learning import check_learning
from msenas_hw.data import load
from msenas_hw.fitness import Balanced, balance
from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.rules import Rules, canonical

SIZES, STEPS = (64, 48, 48, 10), 6
rng = np.random.default_rng(0)


def network() -> targets.SpikingGraph:
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(np.array([1, 8, 8])),
        "flatten": nir.Flatten({"input": np.array([1, 8, 8])}, start_dim=0, end_dim=-1),
    }
    for (inputs, outputs), name in zip(pairwise(SIZES), ("first", "second", "readout"), strict=True):
        one = np.ones(outputs)
        nodes[f"into_{name}"] = nir.Affine(rng.normal(0, inputs**-0.5, (outputs, inputs)), 0 * one)
        nodes[name] = nir.LIF(tau=4.0 * one, r=one, v_leak=0 * one, v_threshold=one)
    nodes["output"] = nir.Output(np.array([10]))
    return targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})


data = load("digits")
balanced = balance(network(), data.inputs("train", "rate", STEPS, 64)[0])
assert isinstance(balanced, Balanced)
graph = balanced.graph
ASSIGNMENTS = {
    "back-propagation": Rules({"default": "bp"}),
    "mixed": Rules({"first": "dfa+trace", "second": "bp", "readout": "usf"}),
    "on chip": Rules({"first": "dfa+trace", "second": "dfa+trace", "readout": "bp+trace"}),
    "hidden layers frozen": Rules({"first": "frozen", "second": "frozen", "readout": "bp"}),
}
for title, rules in ASSIGNMENTS.items():
    trained = train(graph, data, "rate", STEPS, TrainingConfig(epochs=12, rules=rules), seed=0)
    texts = {layer: str(rule) for layer, rule in canonical(graph, rules).named.items()}
    learns = all(row.fits for row in check_learning(graph, texts, "loihi2"))
    print(f"{title}: validation {trained.validation_accuracy:.3f}; Loihi 2 can learn it by itself: {learns}")
    print("   " + ", ".join(f"{layer}: {text}" for layer, text in texts.items()))
