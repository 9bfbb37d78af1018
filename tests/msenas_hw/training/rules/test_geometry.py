"""Angles and signs of feedback, against their exact values and along a training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from msenas_hw.training.rules import RuleHooks, Rules, true_gradient
from targets.graph.graph import SpikingGraph
from targets.reference.network import ReferenceNetwork

Graphs = dict[str, Callable[..., Any]]


def angle(a: torch.Tensor, b: torch.Tensor) -> float:
    """Degrees between two tensors."""
    cosine = (a * b).sum() / (a.norm() * b.norm())
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))


def square(weight: np.ndarray) -> SpikingGraph:
    nodes = {
        "input": nir.Input({"input": np.array([weight.shape[1]])}),
        "first": nir.Linear(weight),
        "h1": nir.IF(*(np.ones(weight.shape[0]) for _ in range(2)), np.zeros(weight.shape[0])),
        "w": nir.Linear(weight),
        "out": nir.IF(*(np.ones(weight.shape[0]) for _ in range(2)), np.zeros(weight.shape[0])),
        "output": nir.Output({"output": np.array([weight.shape[0]])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})


# Angles of |U| o sign(W) and sign(W) to W, from E[|a||b|] of uniform and normal magnitudes.
@pytest.mark.parametrize(
    ("rule", "drawn", "degrees", "tolerance"),
    [
        ("usf", "uniform", 30.0, 1.0),
        ("usf", "normal", 37.07, 1.0),
        ("brsf", "uniform", 41.4, 1.0),
        ("brsf", "normal", 46.3, 1.0),
        ("frsf", "uniform", 41.4, 1.0),
        ("frsf", "normal", 46.3, 1.0),
        ("fa", "uniform", 90.0, 2.0),
        ("fa", "normal", 90.0, 2.0),
    ],
)
def test_angles_to_the_weight(rule: str, drawn: str, degrees: float, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    size = (300, 300)
    weight = (rng.uniform(-0.1, 0.1, size) if drawn == "uniform" else rng.normal(0, 0.1, size)).astype("f4")
    graph = square(weight)
    hooks = RuleHooks(graph, Rules(default="bp", out=rule), seed=0, classes=300)
    hooks.begin(ReferenceNetwork(graph, hooks=hooks))
    carrier = hooks.carrier("w", torch.from_numpy(weight))
    assert abs(angle(carrier, torch.from_numpy(weight)) - degrees) <= tolerance
    if rule != "fa":
        assert torch.equal(carrier >= 0, torch.from_numpy(weight) >= 0)
        assert abs(float(carrier.std()) / 0.1 - (0.58 if drawn == "uniform" else 1.0)) < 0.1


def test_signs_follow_the_weight_and_draws_keep_their_times() -> None:
    weight = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    weight[0] = 0
    graph = square(weight)
    flipped = torch.from_numpy(-weight)
    for rule in ("usf", "brsf", "frsf", "fa"):
        hooks = RuleHooks(graph, Rules(default="bp", out=rule), seed=0, classes=20)
        network = ReferenceNetwork(graph, hooks=hooks)
        hooks.begin(network)
        first, again = (hooks.carrier("w", network.weights["w"]) for _ in range(2))
        assert torch.equal(first, again)
        after = hooks.carrier("w", flipped)
        hooks.begin(network)
        later = hooks.carrier("w", network.weights["w"])
        assert torch.equal(first, later) == (rule != "brsf")
        if rule == "fa":
            assert torch.equal(after, first)
            continue
        assert torch.equal(after[1:], -first[1:])
        assert (first[0] > 0).all()
        assert (first > 0).sum() == (weight >= 0).sum()


def test_what_a_mask_leaves_out_carries_no_error() -> None:
    weight = np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32)
    graph = square(weight)
    mask = np.eye(20, dtype=np.float32)
    graph.nodes["w"].metadata["mask"] = mask
    for rule in ("usf", "brsf", "frsf", "fa"):
        hooks = RuleHooks(graph, Rules(default="bp", out=rule), seed=0, classes=20)
        hooks.begin(ReferenceNetwork(graph, hooks=hooks))
        carrier = hooks.carrier("w", torch.from_numpy(weight * mask))
        assert torch.equal(carrier != 0, torch.from_numpy(mask) != 0)


def digits(graph: SpikingGraph, rules: Rules, epochs: int) -> tuple[RuleHooks, ReferenceNetwork, Any]:
    """Trained on 1000 digits; with a function that measures the gradient of 200 others."""
    data = load_digits()
    x = torch.from_numpy(data.data / 16).float()
    y = torch.from_numpy(data.target)
    hooks = RuleHooks(graph, rules, seed=0, classes=10)
    network = ReferenceNetwork(graph, hooks=hooks)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)

    def backward(chosen: torch.Tensor) -> None:
        hooks.begin(network, y[chosen])
        out = network({"input": x[chosen].expand(6, -1, -1)}).outputs["output"].mean(0)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(out, y[chosen]).backward()

    for _ in range(epochs):
        for chosen in torch.from_numpy(rng.permutation(1000)).split(50):
            backward(chosen)
            hooks.finish(network)
            optimiser.step()

    def measured() -> dict[str, float]:
        chosen = torch.arange(1000, 1200)
        backward(chosen)
        pseudo = {name: weight.grad.clone() for name, weight in network.weights.items()}
        with true_gradient(network):
            backward(chosen)
        return {name: angle(pseudo[name], weight.grad) for name, weight in network.weights.items()}

    return hooks, network, measured


def test_angles_of_pseudo_gradients_at_the_start(graphs: Graphs) -> None:
    graph = graphs["dense"]((64, 100, 100, 10))
    for rule in ("usf", "brsf", "frsf", "fa", "dfa"):
        found = digits(graph, Rules(default=rule), 0)[2]()
        assert found["w3"] == pytest.approx(0, abs=0.1)
        for name in ("w1", "w2"):
            assert abs(found[name] - 90) < 15 if rule in ("fa", "dfa") else found[name] < 60, (rule, name)


def test_feedback_alignment_aligns(graphs: Graphs) -> None:
    graph = graphs["dense"]((64, 100, 100, 10))
    for rule in ("fa", "dfa"):
        hooks, network, measured = digits(graph, Rules(default=rule), 10)
        assert all(angle < 80 for angle in measured().values())
        if rule == "fa":
            matrix = hooks.matrix("feedback", "w3")
            start = angle(matrix, torch.from_numpy(graph.nodes["w3"].weight))
            end = angle(matrix, network.weights["w3"].detach())
            assert start > 80
            assert start - end > 15
