"""Training that runs its steps again in the backward pass has the gradients of training that holds them."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch

from msenas_hw.data import Dataset
from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.rules import RuleHooks, Rules
from msenas_hw.training.step import gradient
from targets import SpikingGraph
from targets.reference.network import ReferenceNetwork

DT = 1e-3
RULES = {
    "feedback": Rules(default="bp", h1="fa", h2="brsf", out="usf"),
    "teachers": Rules(default="bp", h1="dfa", h2="local"),
    "labels": Rules(default="bp", h1="drtp+trace", h2="sdfa+none"),
    "deltas": Rules(default="bp", h1="stdp", h2="rstdp"),
    "rates": Rules(default="ottt", h1="softhebb+pass"),
}


def looped() -> SpikingGraph:
    """in - w1 - h1 - w2 - h2 (loop through a Delay of two steps) - w3 - out."""
    rng = np.random.default_rng(3)

    def dense(rows: int, columns: int) -> nir.Affine:
        weight = rng.normal(size=(rows, columns)) * 2 / np.sqrt(columns)
        return nir.Affine(weight.astype(np.float32), rng.uniform(0, 0.2, rows).astype(np.float32))

    def lif(count: int) -> nir.LIF:
        one = np.ones(count, np.float32)
        return nir.LIF(one * 3 * DT, one * 3, one * 0, one, one * 0)

    nodes = {
        "in": nir.Input({"input": np.array([6])}),
        "w1": dense(8, 6),
        "h1": lif(8),
        "w2": dense(8, 8),
        "h2": lif(8),
        "loop": dense(8, 8),
        "later": nir.Delay(np.full(8, 2 * DT)),
        "w3": dense(3, 8),
        "out": lif(3),
        "sink": nir.Output({"output": np.array([3])}),
    }
    edges = [
        ("in", "w1"), ("w1", "h1"), ("h1", "w2"), ("w2", "h2"), ("h2", "loop"), ("loop", "later"),
        ("later", "h2"), ("h2", "w3"), ("w3", "out"), ("out", "sink"),
    ]  # fmt: skip
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def found(rules: Rules | None, checkpoint: int | None, penalty: float) -> tuple[float, list[Any]]:
    """Loss and gradients of two batches."""
    graph, rng = looped(), np.random.default_rng(0)
    hooks = None if rules is None else RuleHooks(graph, rules, 0, 3)
    network = ReferenceNetwork(graph, torch.float64, hooks=hooks, checkpoint=checkpoint)
    settings, parts = TrainingConfig(normalise=False), []
    for _ in range(2):
        network.zero_grad(set_to_none=True)
        x = torch.from_numpy((rng.random((7, 5, 6)) < 0.4).astype(np.float64))
        loss = gradient(network, x, torch.from_numpy(rng.integers(0, 3, 5)), settings, penalty)
        parts.append((loss, [None if p.grad is None else p.grad.clone() for p in network.parameters()]))
    return parts[0][0] + parts[1][0], [g for _, gradients in parts for g in gradients]


@pytest.mark.parametrize("penalty", [0.0, 0.5])
@pytest.mark.parametrize("checkpoint", [1, 3])
@pytest.mark.parametrize("rules", [None, *RULES])
def test_rules_learn_the_same(rules: str | None, checkpoint: int, penalty: float) -> None:
    chosen = None if rules is None else RULES[rules]
    loss, plain = found(chosen, None, penalty)
    again, checkpointed = found(chosen, checkpoint, penalty)
    assert loss == pytest.approx(again, rel=1e-12)
    assert sum(g is not None and float(g.abs().max()) > 0 for g in plain) >= 4
    for a, b in zip(plain, checkpointed, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_a_training_reaches_the_same_network(dense: SpikingGraph, bars: Dataset) -> None:
    networks = [
        train(dense, bars, "rate", 6, TrainingConfig(epochs=2, batch=16, normalise=False, **more), 0)
        for more in ({}, {"checkpoint": 4})
    ]
    for name in ("up", "down"):
        a, b = (trained.graph.nodes[name] for trained in networks)
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-4, atol=1e-5)
        assert not np.array_equal(a.weight, dense.nodes[name].weight)


@pytest.mark.parametrize("more", [{}, {"normalise": False, "step_wise": True}])
def test_what_spans_all_steps_or_holds_one_is_refused(more: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match=r"checkpoint: .*(statistics|step_wise)"):
        TrainingConfig(checkpoint=4, **more)
