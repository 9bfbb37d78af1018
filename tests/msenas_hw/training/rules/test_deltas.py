"""Local rules against sums over pairs of spikes, and where they drive weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from msenas_hw.training.rules import Plasticity, RuleHooks, Rules
from msenas_hw.training.rules.deltas import RewardedStdp, SoftHebb, Stdp
from msenas_hw.training.rules.operators import Dense, operator_of
from targets.errors import ConfigError
from targets.reference.network import ReferenceNetwork

Graphs = dict[str, Callable[..., Any]]
CONSTANTS = Plasticity(potentiation=1.5, depression=0.7, tau=4.0, tau_eligibility=10.0)


def pair(pre: int, post: int, steps: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """One spike of one neuron before and one after a synapse, [T, 1, 1] each."""
    x, s = torch.zeros(steps, 1, 1), torch.zeros(steps, 1, 1)
    x[pre], s[post] = 1, 1
    return x, s


@pytest.mark.parametrize("dt", [-6, -3, -1, 0, 1, 2, 7])
def test_the_window_of_an_isolated_pair(dt: int) -> None:
    weight = torch.zeros(1, 1)
    x, s = pair(pre=max(0, -dt) + 1, post=max(0, dt) + 1)
    rule = Stdp(Dense(), CONSTANTS, weight)
    for at in range(0, 12, 3):
        rule.observe(x[at : at + 3], s[at : at + 3])
    expected = 1.5 * math.exp(-dt / 4) if dt >= 0 else -0.7 * math.exp(dt / 4)
    assert float(rule.change(weight, None)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("late", [0, 1, 3])
def test_stdp_is_the_sum_over_pairs_through_a_network(graphs: Graphs, sample: Any, late: int) -> None:
    graph = graphs["recurrent"](late=late)
    x, y = sample(graph, steps=7)
    hooks = RuleHooks(graph, Rules(default="bp", h1="stdp"), seed=0, classes=3, plasticity=CONSTANTS)
    network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
    hooks.begin(network, y)
    out = network({"input": x}).outputs
    out["output"].sum().backward()
    hooks.finish(network)
    post = out["h1"].detach().numpy()
    loop = np.concatenate([np.zeros((late, 4, 8)), out["later"].detach().numpy()])[:7]
    for name, pre in (("w1", x.numpy()), ("loop", loop)):
        expected = np.zeros_like(network.weights[name].detach().numpy())
        for t in range(7):
            for u in range(7):
                pairs = np.einsum("bo,bi->oi", post[t], pre[u]) / len(y)
                expected += pairs * (1.5 * math.exp((u - t) / 4) if u <= t else -0.7 * math.exp((t - u) / 4))
        np.testing.assert_allclose(-network.weights[name].grad.numpy(), expected, atol=1e-12)
    assert float(network.weights["w2"].grad.abs().max()) > 0


def test_stdp_of_a_convolution_sums_over_places() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 1, 3, 3)).astype(np.float32)
    node = nir.Conv2d((6, 6), weight, 2, 1, 1, 2, np.zeros(4, np.float32))
    x = torch.from_numpy((rng.random((5, 2, 2, 6, 6)) < 0.4).astype(np.float32))
    s = torch.from_numpy((rng.random((5, 2, 4, 3, 3)) < 0.4).astype(np.float32))
    rule = Stdp(operator_of(node), Plasticity(depression=0.0), torch.from_numpy(weight))
    rule.observe(x, s)
    p, expected = torch.zeros_like(x[0]), torch.zeros(4, 1, 3, 3)
    w = torch.from_numpy(weight).requires_grad_()
    for now, fired in zip(x, s, strict=True):
        p = math.exp(-1 / 5) * p + now
        drive = torch.nn.functional.conv2d(p, w, None, 2, 1, 1, 2)
        expected += torch.autograd.grad(drive, w, fired)[0] / 2
    torch.testing.assert_close(rule.change(w.detach(), None), expected)


def test_reward_scales_and_delay_decays_the_eligibility() -> None:
    weight = torch.zeros(1, 1)

    def change(steps: int, reward: float) -> float:
        rule = RewardedStdp(Dense(), CONSTANTS, weight)
        rule.observe(*pair(2, 4, steps))
        return float(rule.change(weight, torch.tensor([reward])))

    assert change(8, 0.0) == 0.0
    assert change(8, 2.0) == pytest.approx(2 * 1.5 * math.exp(-2 / 4) * math.exp(-3 / 10) / 10, rel=1e-5)
    assert change(8, -1.0) == pytest.approx(-change(8, 1.0))
    assert change(13, 1.0) / change(8, 1.0) == pytest.approx(math.exp(-5 / 10), rel=1e-5)


def test_rewards_of_a_run(graphs: Graphs, sample: Any) -> None:
    graph = graphs["dense"]((6, 8, 3))
    x, y = sample(graph)
    hooks = RuleHooks(graph, Rules(default="bp", h1="rstdp"), seed=0, classes=3)
    network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
    grads = []
    for reward in (None, torch.zeros(4), torch.ones(4)):
        hooks.begin(network, y)
        out = network({"input": x}).outputs["output"]
        out.sum().backward()
        hooks.reward = reward
        hooks.finish(network)
        grads.append(network.weights["w1"].grad)
    right = (out.detach().sum(0).argmax(1) == y).double()
    assert 0 < right.mean() < 1
    assert float(hooks.baseline) == pytest.approx(0.1 * float(right.mean()))
    assert not torch.equal(grads[0], grads[2])
    assert float(grads[1].abs().max()) == 0.0
    with pytest.raises(ConfigError, match=r"layer 'h1'.*labels"):
        hooks.begin(network)


def test_softhebb_drives_norms_to_one_whatever_the_labels(graphs: Graphs) -> None:
    graph = graphs["dense"]((64, 20, 10))
    data = load_digits()
    x = torch.from_numpy((data.data / 16).astype(np.float32))
    trained = []
    for labels in (torch.from_numpy(data.target), torch.from_numpy(data.target[::-1].copy())):
        hooks = RuleHooks(graph, Rules(default="bp", h1="softhebb"), seed=0, classes=10)
        network = ReferenceNetwork(graph, hooks=hooks)
        weight = network.weights["w1"]
        optimiser = torch.optim.SGD([weight], lr=0.03)
        start = weight.detach().norm(dim=1)
        for chosen in torch.arange(1400).split(50):
            hooks.begin(network, labels[chosen])
            network({"input": x[chosen].expand(4, -1, -1)}).outputs["output"].sum().backward()
            hooks.finish(network)
            optimiser.step()
        trained.append(weight.detach())
    assert torch.equal(*trained)
    assert float((trained[0].norm(dim=1) - 1).abs().mean()) < float((start - 1).abs().mean())


def test_softhebb_is_its_equation() -> None:
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.normal(size=(3, 5)))
    x = torch.from_numpy((rng.random((4, 6, 5)) < 0.5).astype(np.float64))
    rule = SoftHebb(Dense(), Plasticity(temperature=0.5), torch.nn.functional.linear)
    rule.observe(x[:1], x[:1])
    rule.observe(x[1:], x[1:])
    rates = x.mean(0).numpy()
    u = rates @ weight.numpy().T
    y = np.exp(u / 0.5) / np.exp(u / 0.5).sum(1, keepdims=True)
    y = np.where(y == y.max(1, keepdims=True), y, -y)
    change = np.zeros((3, 5))
    for b in range(6):
        for j in range(3):
            change[j] += y[b, j] * (rates[b] - u[b, j] * weight.numpy()[j])
    change *= np.sqrt(np.abs(np.linalg.norm(weight.numpy(), axis=1) - 1))[:, None] / np.abs(change).max()
    np.testing.assert_allclose(rule.change(weight, None).numpy(), change, atol=1e-12)


def test_below_a_local_rule(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    assert gradients(graph, Rules(default="bp", h2="stdp"), x, y)["w1"] is None
    bp = gradients(graph, Rules(default="bp"), x, y)
    passed = gradients(graph, Rules(default="bp", h2="stdp+pass"), x, y)
    torch.testing.assert_close(passed["w1"], bp["w1"])
    assert passed["w2 bias"] is None
    assert not torch.allclose(passed["w2"], bp["w2"])
