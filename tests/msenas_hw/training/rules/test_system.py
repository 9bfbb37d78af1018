"""Rules as part of a training: any mix, memory, checkpoints, copies, mixed precision, normalisers."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from msenas_hw.training.normaliser import CurrentNormaliser
from msenas_hw.training.rules import RuleHooks, Rules, step_wise
from msenas_hw.training.rules.words import WORDS
from targets.errors import ConfigError
from targets.reference.network import ReferenceNetwork

Graphs = dict[str, Callable[..., Any]]


def random_rules(populations: tuple[str, ...], readout: str, seed: int) -> Rules:
    rng = np.random.default_rng(seed)

    def words(name: str) -> str:
        fields = ["feedback", "temporal", "below"] + ["teacher"] * (name != readout)
        fields += ["delta"] * (rng.random() < 0.3) + ["frozen"] * (rng.random() < 0.2)
        choices = {f: [word for word, (field, _) in WORDS.items() if field == f] for f in fields}
        picked = [str(rng.choice(of)) for of in choices.values()]
        return "+".join(dict.fromkeys(picked))

    return Rules({name: words(name) for name in populations})


def train(graph: Any, rules: Rules, x: torch.Tensor, y: torch.Tensor, batches: int = 3) -> ReferenceNetwork:
    hooks = RuleHooks(graph, rules, seed=5, classes=3)
    network = ReferenceNetwork(graph, hooks=hooks)
    more(network, x, y, batches)
    return network


def more(network: ReferenceNetwork, x: torch.Tensor, y: torch.Tensor, batches: int) -> None:
    hooks = network.hooks
    assert isinstance(hooks, RuleHooks)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(batches):
        hooks.begin(network, y)
        out = network({"input": x}).outputs["output"]
        loss, extra = torch.nn.functional.cross_entropy(out.mean(0), y), hooks.extra_loss()
        optimiser.zero_grad()
        loss = loss if extra is None else loss + extra
        if loss.requires_grad:
            loss.backward()
        hooks.finish(network)
        optimiser.step()


@pytest.mark.parametrize("kind", ["dense", "convolutional", "recurrent"])
def test_any_mix_trains_and_repeats(graphs: Graphs, sample: Any, kind: str) -> None:
    graph = graphs[kind]((6, 8, 8, 3)) if kind == "dense" else graphs[kind]()
    x, y = sample(graph)
    seen = set()
    for seed in range(12):
        rules = random_rules(graph.populations, "out", seed)
        one, two = train(graph, rules, x, y), train(graph, rules, x, y)
        seen.add(str(one.hooks.rules))
        for name, value in one.state_dict().items():
            assert torch.isfinite(value).all()
            assert torch.equal(value, two.state_dict()[name]), (name, rules)
        for name, weight in one.weights.items():
            rule = one.hooks.rules.of(one.hooks.layers.synapses[name].layer)
            moved = not np.array_equal(weight.detach().numpy(), graph.nodes[name].weight)
            assert not (rule.frozen and moved), (name, str(rule))
    assert len(seen) > 6


@pytest.mark.parametrize(
    "rule", ["fa", "brsf", "frsf+trace", "usf+none", "dfa", "local", "drtp+trace", "rstdp"]
)
def test_a_checkpoint_and_a_copy_go_on_alike(graphs: Graphs, sample: Any, rule: str) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    rules = Rules(default=rule, out="brsf")
    whole = train(graph, rules, x, y, 4)
    first = train(graph, rules, x, y, 2)
    loaded = ReferenceNetwork(graph, hooks=RuleHooks(graph, rules, seed=99, classes=3))
    loaded.hooks.seed = 5
    loaded.load_state_dict(first.state_dict())
    for network in (copy.deepcopy(first), loaded):
        more(network, x, y, 2)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, network.state_dict()[name]), name


def test_evaluation_is_that_of_the_plain_network(graphs: Graphs, sample: Any) -> None:
    graph = graphs["recurrent"]()
    x, _ = sample(graph)
    hooks = RuleHooks(graph, Rules(default="dfa+trace", out="fa"), seed=0, classes=3)
    plain, ruled = ReferenceNetwork(graph), ReferenceNetwork(graph, hooks=hooks)
    with torch.no_grad():
        expected, found = plain({"input": x}).outputs, ruled({"input": x}).outputs
    hooks.begin(ruled)
    trained = ruled({"input": x}).outputs
    for name, value in expected.items():
        assert torch.equal(found[name], value)
        assert torch.equal(trained[name], value)
    fresh = ReferenceNetwork(graph, hooks=RuleHooks(graph, Rules(default="fa"), seed=0, classes=3))
    with pytest.raises(ConfigError, match=r"node 'loop'.*begin"):
        fresh({"input": x})


def test_mixed_precision(graphs: Graphs, sample: Any) -> None:
    graph = graphs["convolutional"]()
    x, y = sample(graph)
    hooks = RuleHooks(graph, Rules(default="fa+trace", l2="dfa+brsf", l1="local+none"), seed=0, classes=3)
    network = ReferenceNetwork(graph, hooks=hooks)
    hooks.begin(network, y)
    with torch.autocast("cpu", torch.bfloat16):
        out = network({"input": x}).outputs["output"]
        loss = torch.nn.functional.cross_entropy(out.mean(0), y) + hooks.extra_loss()
    loss.backward()
    for weight in network.weights.values():
        assert weight.grad.dtype == torch.float32
        assert torch.isfinite(weight.grad).all()


def test_normalisers_keep_their_exact_gradient(graphs: Graphs, sample: Any) -> None:
    graph = graphs["convolutional"]()
    x, y = sample(graph, batch=8)
    found = []
    for rule in ("bp", "fa"):
        hooks = RuleHooks(graph, Rules(default=rule), seed=0, classes=3)
        transforms = {
            name: CurrentNormaliser(graph.shapes[name], torch.float64) for name in ("l1", "l2", "l3")
        }
        network = ReferenceNetwork(graph, torch.float64, transforms, hooks)
        for name in ("c2", "c3", "dense"):
            if rule == "fa":
                hooks.matrix("feedback", name).copy_(network.weights[name].detach())
        hooks.begin(network, y)
        out = network({"input": x}).outputs["output"]
        torch.nn.functional.cross_entropy(out.mean(0), y).backward()
        found.append([p.grad for t in transforms.values() for p in t.parameters()])
        found[-1] += [weight.grad for weight in network.weights.values()]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_a_penalty_on_spikes_reaches_taught_populations(graphs: Graphs, sample: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    hooks = RuleHooks(graph, Rules(default="bp", h1="dfa"), seed=0, classes=3)
    network = ReferenceNetwork(graph, hooks=hooks)
    hooks.begin(network, y)
    outputs = network({"input": x}).outputs
    assert not outputs["h1"].requires_grad
    hooks.attached(outputs)["h1"].mean().backward()
    assert float(network.weights["w1"].grad.abs().max()) > 0


class Held:
    """A saved tensor, counted while it lives."""

    live = peak = 0

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        size = tensor.numel() * tensor.element_size()
        Held.live += size
        Held.peak = max(Held.peak, Held.live)
        weakref.finalize(self, Held.free, size)

    @staticmethod
    def free(size: int) -> None:
        Held.live -= size


@contextmanager
def counted() -> Iterator[None]:
    Held.live = Held.peak = 0
    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        yield


@pytest.mark.parametrize("rules", ["bp+trace", "dfa+trace", "fa+none", "local+trace"])
def test_memory_by_steps_is_flat_in_time(graphs: Graphs, sample: Any, rules: str) -> None:
    graph = graphs["dense"]((6, 64, 64, 3))
    peaks = []
    for steps in (4, 32):
        x, y = sample(graph, steps=steps, batch=64)
        hooks = RuleHooks(graph, Rules(default=rules), seed=0, classes=3)
        network = ReferenceNetwork(graph, hooks=hooks)
        with counted():
            step_wise(network, x, lambda out: torch.nn.functional.cross_entropy(out, y), y)  # noqa: B023
        peaks.append(Held.peak)
    assert peaks[1] <= 1.1 * peaks[0]


def test_memory_back_through_time_grows_with_it(graphs: Graphs, sample: Any) -> None:
    graph = graphs["dense"]((6, 64, 64, 3))
    peaks = []
    for steps in (4, 32):
        x, y = sample(graph, steps=steps, batch=64)
        with counted():
            train(graph, Rules(default="bp"), x, y, 1)
        peaks.append(Held.peak)
    assert peaks[1] > 5 * peaks[0]


def test_what_cannot_go_step_by_step(graphs: Graphs, sample: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    network = ReferenceNetwork(graph, hooks=RuleHooks(graph, Rules(default="bp+trace", h2="bp"), 0, 3))
    with pytest.raises(ConfigError, match=r"layer 'h2': found temporal rule bptt, allowed trace, none"):
        step_wise(network, x, torch.sum, y)
    passing = RuleHooks(graph, Rules(default="bp+trace", h2="frozen"), 0, 3)
    with pytest.raises(ConfigError, match=r"layer 'h2': found temporal rule bptt"):
        step_wise(ReferenceNetwork(graph, hooks=passing), x, torch.sum, y)
    dead = RuleHooks(graph, Rules(default="bp+trace", h1="frozen"), 0, 3)
    step_wise(ReferenceNetwork(graph, hooks=dead), x, torch.sum, y)
    with pytest.raises(ConfigError, match=r"found hooks Hooks, allowed RuleHooks"):
        step_wise(ReferenceNetwork(graph), x, torch.sum, y)


def test_too_many_decays_for_a_trace(graphs: Graphs) -> None:
    graph = graphs["dense"]((6, 20, 3))
    graph.nodes["h1"].tau[:] = np.linspace(2e-3, 9e-3, 20)
    with pytest.raises(ConfigError, match=r"layer 'h1': trace.*found 20 different ones, allowed 16"):
        RuleHooks(graph, Rules(default="bp+trace"), seed=0, classes=3)
