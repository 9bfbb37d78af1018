"""Where two rules must give the same gradient, they do: against plain autograd and explicit sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch

from msenas_hw.training.rules import RuleHooks, Rules, step_wise, true_gradient
from msenas_hw.training.rules.feedback import Asymmetric, Call
from msenas_hw.training.rules.operators import operator_of
from targets.errors import ConfigError
from targets.reference.network import ReferenceNetwork
from targets.reference.stateless import apply as apply_node

Graphs = dict[str, Callable[..., Any]]


def same(a: dict[str, Any], b: dict[str, Any], names: Any = None, tolerance: float = 1e-6) -> None:
    for name in names or a:
        scale = max(1.0, float(b[name].abs().max()))
        assert float((a[name] - b[name]).abs().max()) <= tolerance * scale, name


@pytest.mark.parametrize("kind", ["dense", "convolutional", "recurrent"])
def test_bp_is_autograd(graphs: Graphs, sample: Any, gradients: Any, kind: str) -> None:
    graph = graphs[kind]((6, 8, 8, 3)) if kind == "dense" else graphs[kind]()
    x, y = sample(graph)
    plain, found = gradients(graph, None, x, y), gradients(graph, Rules(default="bp"), x, y)
    assert all(float(g.abs().max()) > 0 for name, g in plain.items() if "bias" not in name)
    # In float64; a network without rules sums the steps of a cycle in another order.
    same(found, plain, tolerance=1e-14 if kind == "recurrent" else 0.0)


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
@pytest.mark.parametrize("temporal", ["bptt", "trace", "none"])
def test_fa_with_the_weight_is_bp(
    graphs: Graphs, sample: Any, gradients: Any, kind: str, temporal: str
) -> None:
    graph = graphs[kind]((6, 8, 8, 3)) if kind == "dense" else graphs[kind]()
    x, y = sample(graph)

    def prepare(hooks: RuleHooks, network: ReferenceNetwork) -> None:
        later = [name for name in network.weights if name not in ("w1", "c1")]
        for name in later:
            hooks.matrix("feedback", name).copy_(network.weights[name].detach())

    bp = gradients(graph, Rules(default=f"bp+{temporal}"), x, y)
    fa = gradients(graph, Rules(default=f"fa+{temporal}"), x, y, prepare)
    same(fa, bp)
    assert max(float((gradients(graph, Rules(default="fa"), x, y)[n] - bp[n]).abs().max()) for n in bp) > 1e-3


@pytest.mark.parametrize("padding", ["same", "valid", 1, (2, 0)])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (1, 2, 2), (2, 2, 1), ((2, 1), 1, 2)])
def test_both_gradients_of_a_convolution(padding: Any, stride: Any, dilation: int, groups: int) -> None:
    if padding == "same" and stride != 1:
        stride = 1
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 4 // groups, 2, 3)).astype(np.float32)
    node = nir.Conv2d(
        (7, 8), weight, stride, padding, dilation, groups, rng.normal(size=4).astype(np.float32)
    )
    x = torch.from_numpy(rng.normal(size=(2, 3, 4, 7, 8))).requires_grad_()
    w, b = torch.from_numpy(weight.astype(np.float64)), torch.from_numpy(node.bias.astype(np.float64))
    w.requires_grad_(), b.requires_grad_()

    def apply(x: torch.Tensor) -> torch.Tensor:
        out = apply_node(node, x.flatten(0, 1), w, b)
        return out.reshape(*x.shape[:2], *out.shape[1:])

    plain = apply(x)
    toward = torch.from_numpy(rng.normal(size=plain.shape))
    expected = torch.autograd.grad(plain, (x, w, b), toward)
    out = Asymmetric.apply(x, w, b, w.detach(), Call(operator_of(node), apply), x.detach())
    assert torch.equal(out, plain)
    for a, e in zip(torch.autograd.grad(out, (x, w, b), toward), expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-12)
    other = torch.from_numpy(rng.normal(size=w.shape))
    out = Asymmetric.apply(x, w, b, other, Call(operator_of(node), apply), x.detach())
    crossed = torch.autograd.grad(out, (x, w, b), toward)
    by_other = apply_node(node, x.flatten(0, 1), other, b).reshape(plain.shape)
    (through,) = torch.autograd.grad(by_other, x, toward)
    torch.testing.assert_close(crossed[0], through, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(crossed[1], expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["dense", "recurrent"])
def test_dfa_with_the_readout_is_bptt_at_the_last_hidden_layer(
    graphs: Graphs, sample: Any, gradients: Any, kind: str
) -> None:
    graph = graphs[kind]((6, 8, 8, 3)) if kind == "dense" else graphs[kind]()
    last, weights = ("h2", ["w2", "w2 bias"]) if kind == "dense" else ("h1", ["w1"])
    x, y = sample(graph)

    def prepare(hooks: RuleHooks, network: ReferenceNetwork) -> None:
        readout = "w3" if kind == "dense" else "w2"
        hooks.matrix("teacher", last).copy_(network.weights[readout].detach())

    temporal = "bptt" if kind == "dense" else "trace"
    bp = gradients(graph, Rules({"default": "bp", last: f"bp+{temporal}"}), x, y)
    dfa = gradients(graph, Rules({"default": "bp", last: f"dfa+{temporal}"}), x, y, prepare)
    same(dfa, bp, weights)
    same(dfa, bp, ["x"])


def test_local_with_the_readout_is_bp_at_the_last_hidden_layer(
    graphs: Graphs, sample: Any, gradients: Any
) -> None:
    # A readout without memory: its value at each step is its current, as the local readout's.
    graph = graphs["dense"]((6, 8, 8, 3))
    nodes = dict(graph.nodes)
    nodes["out"] = type(nodes["out"])(tau=np.full(3, 1e-3), r=np.ones(3), v_leak=np.zeros(3))
    nodes["w3"].bias[:] = 0
    graph = graph.replace(nodes=nodes)
    x, y = sample(graph)

    def prepare(hooks: RuleHooks, network: ReferenceNetwork) -> None:
        hooks.matrix("teacher", "h2").copy_(network.weights["w3"].detach())

    bp = gradients(graph, Rules(default="bp", h2="bp+trace"), x, y, per_step=True)
    local = gradients(graph, Rules(default="bp", h1="frozen", h2="local+trace"), x, y, prepare, per_step=True)
    same(local, bp, ["w2", "w2 bias"])
    chained = gradients(graph, Rules(default="bp", h2="local+trace+pass"), x, y, prepare, per_step=True)
    same(chained, bp, ["w1", "w2"])


@pytest.mark.parametrize("model", ["lif", "if", "cubalif"])
@pytest.mark.parametrize("temporal", ["trace", "none"])
def test_step_by_step_is_the_whole_sequence(graphs: Graphs, sample: Any, model: str, temporal: str) -> None:
    every = [graphs["dense"]((6, 8, 8, 3), model=model)]
    every += [graphs["recurrent"](model=model, late=late) for late in (0, 1, 2)]
    for graph in every:
        x, y = sample(graph)
        found = []
        for stepping in (True, False):
            rules = Rules({"default": f"fa+{temporal}", "h1": f"sdfa+{temporal}"})
            hooks = RuleHooks(graph, rules, seed=3, classes=3)
            network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
            loss = lambda out: torch.nn.functional.cross_entropy(out, y)  # noqa: E731, B023
            if stepping:
                step_wise(network, x, loss, y)
            else:
                hooks.begin(network, y)
                out = network({"input": x}).outputs["output"]
                torch.stack([loss(o) for o in out]).mean().backward()
                hooks.finish(network)
            found.append({name: weight.grad for name, weight in network.weights.items()})
            found[-1] |= {f"{name} bias": bias.grad for name, bias in network.biases.items()}
        assert all(float(g.abs().max()) > 0 for g in found[0].values())
        same(*found)


def test_trace_is_the_explicit_sum(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["dense"]((6, 8, 3))
    x, y = sample(graph, steps=6)
    found = gradients(graph, Rules(default="bp+trace"), x, y)
    network = ReferenceNetwork(graph, dtype=torch.float64)
    values = network({"input": x}, states=["h1"])
    spikes, v = values.outputs["h1"].detach(), values.states["h1"].v.detach()
    v = v + spikes  # before the reset
    out = values.outputs["output"].detach().mean(0)
    error = torch.softmax(out, 1)
    error[torch.arange(len(y)), y] -= 1
    error = error / len(y) / len(x)
    decay = float(network.coefficients["h1"].decay[0])
    psi = 1 / (1 + (torch.pi * (v - 1)) ** 2)
    trace, readout_trace = torch.zeros_like(x[0]), torch.zeros_like(spikes[0])
    w1, w2 = torch.zeros_like(found["w1"]), torch.zeros_like(found["w2"])
    for t in range(len(x)):
        trace, readout_trace = decay * trace + x[t], decay * readout_trace + spikes[t]
        gain = network.coefficients["h1"].gain[0]
        delta = (error * gain) @ network.weights["w2"].detach() * psi[t] * gain
        w1 += delta.T @ trace
        w2 += (error * gain).T @ readout_trace
    same(found, {"w1": w1, "w2": w2}, ["w1", "w2"])


def test_trace_is_exact_below_layers_in_bptt(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    bptt = gradients(graph, Rules(default="bp"), x, y)
    same(gradients(graph, Rules(default="bp", h1="bp+trace"), x, y), bptt, ["w1", "w1 bias", "w2", "w3"])
    same(gradients(graph, Rules(default="bp", h2="bp+trace"), x, y), bptt, ["w2", "w2 bias", "w3"])
    every = gradients(graph, Rules(default="bp+trace"), x, y)
    same(every, bptt, ["w3", "w3 bias"])
    assert float((every["w1"] - bptt["w1"]).abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ["cubalif", "if", "mixed decays"])
def test_trace_of_other_dynamics_is_exact(graphs: Graphs, sample: Any, gradients: Any, kind: str) -> None:
    graph = graphs["dense"]((6, 8, 3), model=kind if kind != "mixed decays" else "lif")
    if kind == "mixed decays":
        nodes = dict(graph.nodes)
        nodes["h1"].tau[:] = np.array([2e-3, 3e-3] * 4, np.float32)
        graph = graph.replace(nodes=nodes)
    x, y = sample(graph)
    bptt = gradients(graph, Rules(default="bp"), x, y)
    assert float(bptt["w1"].abs().max()) > 1e-4
    same(gradients(graph, Rules(default="bp", h1="bp+trace"), x, y), bptt, ["w1", "w1 bias", "w2"])


@pytest.mark.parametrize("steps", [1, 5])
def test_without_memory_the_temporal_rules_are_one(
    graphs: Graphs, sample: Any, gradients: Any, steps: int
) -> None:
    graph = graphs["dense"]((6, 8, 8, 3), decay=0.0 if steps > 1 else 0.8)
    x, y = sample(graph, steps=steps)
    bptt, trace, none = (gradients(graph, Rules(default=f"bp+{t}"), x, y) for t in ("bptt", "trace", "none"))
    # Under "subtract" the membrane left after a spike still reaches the next step unless decay is 0.
    same(trace, bptt)
    same(none, bptt)


@pytest.mark.parametrize("rule", ["fa", "usf", "brsf", "frsf"])
def test_what_a_feedback_rule_leaves_alone(graphs: Graphs, sample: Any, gradients: Any, rule: str) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    bp = gradients(graph, Rules(default="bp"), x, y)
    own = gradients(graph, Rules(default="bp", h2=rule), x, y)
    same(own, bp, ["w2", "w2 bias", "w3", "w3 bias"], tolerance=0.0)
    assert float((own["w1"] - bp["w1"]).abs().max()) > 1e-4
    first = gradients(graph, Rules(default="bp", h1=rule), x, y)
    same(first, bp, tolerance=0.0)


def test_drtp_ignores_the_output_and_sdfa_all_but_signs(graphs: Graphs, sample: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)

    def hidden(teacher: str, loss_scale: float) -> torch.Tensor:
        hooks = RuleHooks(graph, Rules(default=teacher, out="bp"), seed=3, classes=3)
        network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
        hooks.begin(network, y)
        out = network({"input": x}).outputs["output"].mean(0)
        loss, extra = loss_scale * torch.nn.functional.cross_entropy(out, y), hooks.extra_loss()
        (loss if extra is None else loss + extra).backward()
        return network.weights["w2"].grad

    for teacher in ("drtp", "sdfa"):
        assert float(hidden(teacher, 1.0).abs().max()) > 0
        torch.testing.assert_close(hidden(teacher, 1.0), hidden(teacher, 5.0))
    torch.testing.assert_close(hidden("drtp", 1.0), hidden("drtp", -1.0))
    torch.testing.assert_close(hidden("sdfa", 1.0), -hidden("sdfa", -1.0))
    torch.testing.assert_close(hidden("dfa", 5.0), 5 * hidden("dfa", 1.0))


def test_stop_and_teachers_block_errors_from_above(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    found = gradients(graph, Rules(default="bp", h2="local"), x, y)
    assert found["w1"] is None
    assert found["x"] is None
    assert float(found["w2"].abs().max()) > 0
    stopped = gradients(graph, Rules(default="bp", out="bp+stop"), x, y)
    assert stopped["w1"] is None
    assert stopped["w2"] is None
    assert float(stopped["w3"].abs().max()) > 0


def test_the_attack_gradient_is_the_true_one(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    x, y = sample(graph)
    hooks = RuleHooks(graph, Rules(default="fa", h2="dfa+trace", h1="brsf+none"), seed=3, classes=3)
    network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
    x = x.requires_grad_()
    with true_gradient(network):
        out = network({"input": x}).outputs["output"]
        torch.nn.functional.cross_entropy(out.mean(0), y).backward()
    plain = gradients(graph, None, x.detach(), y)
    same({"x": x.grad, "w1": network.weights["w1"].grad}, plain, ["x", "w1"], tolerance=0.0)


def test_the_attack_gradient_is_a_finite_difference(graphs: Graphs, sample: Any) -> None:
    # Populations that do not fire, so that the loss has a derivative.
    graph = graphs["dense"]((6, 8, 8, 3), model="li")
    x, y = sample(graph)
    hooks = RuleHooks(graph, Rules(default="fa", h2="dfa+trace"), seed=3, classes=3)
    network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
    loss = lambda x: torch.nn.functional.cross_entropy(  # noqa: E731
        network({"input": x}).outputs["output"].mean(0), y
    )
    x = x.requires_grad_()
    with true_gradient(network):
        (true,) = torch.autograd.grad(loss(x), x)
    hooks.begin(network, y)
    (pseudo,) = torch.autograd.grad(loss(x), x)
    toward = torch.from_numpy(np.random.default_rng(0).normal(size=tuple(x.shape)))
    with torch.no_grad():
        difference = (loss(x + 1e-5 * toward) - loss(x - 1e-5 * toward)) / 2e-5
    assert abs(float((true * toward).sum() - difference)) <= 1e-6 * abs(float(difference))
    assert abs(float((pseudo * toward).sum() - difference)) > 1e-2 * abs(float(difference))


def test_dfa_inside_the_cycle_of_the_readout(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["recurrent"]()
    rng = np.random.default_rng(4)
    nodes = dict(graph.nodes)
    nodes["out_later"] = nir.Delay(np.full(3, 1e-3))
    nodes["back"] = nir.Linear(rng.normal(size=(8, 3)).astype(np.float32))
    edges = [*graph.edges, ("out", "out_later"), ("out_later", "back"), ("back", "h1")]
    graph = graph.replace(nodes=nodes, edges=edges)
    x, y = sample(graph)

    def prepare(hooks: RuleHooks, network: ReferenceNetwork) -> None:
        hooks.matrix("teacher", "h1").copy_(network.weights["w2"].detach())

    bp = gradients(graph, Rules(default="bp+trace"), x, y)
    dfa = gradients(graph, Rules(default="bp+trace", h1="dfa+trace"), x, y, prepare)
    same(dfa, bp)
    assert all(float(bp[name].abs().max()) > 0 for name in ("w1", "loop", "back", "w2"))


def test_dfa_after_the_readout_of_a_step_is_refused(graphs: Graphs, sample: Any, gradients: Any) -> None:
    graph = graphs["recurrent"]()
    one = np.ones((4, 3), np.float32)
    nodes = {**graph.nodes, "wb": nir.Linear(one), "hb": nir.LI(one[:, 0] * 2e-3, one[:, 0], one[:, 0] * 0)}
    nodes |= {"out_later": nir.Delay(np.full(4, 1e-3)), "back": nir.Linear(np.ones((8, 4), np.float32))}
    loop = [("out", "wb"), ("wb", "hb"), ("hb", "out_later"), ("out_later", "back"), ("back", "h1")]
    graph = graph.replace(nodes=nodes, edges=[*graph.edges, *loop])
    x, y = sample(graph)
    with pytest.raises(ConfigError, match=r"layer 'hb'.*another teacher than dfa"):
        gradients(graph, Rules(default="bp", hb="dfa"), x, y)


def test_e_prop_of_a_recurrent_layer_is_its_eligibility_sum(
    graphs: Graphs, sample: Any, gradients: Any
) -> None:
    graph = graphs["recurrent"](late=2)
    x, y = sample(graph, steps=8)
    drawn: list[torch.Tensor] = []

    def prepare(hooks: RuleHooks, network: ReferenceNetwork) -> None:
        drawn.append(hooks.matrix("teacher", "h1").double())

    found = gradients(graph, Rules(default="e-prop", out="ottt"), x, y, prepare, per_step=True)
    network = ReferenceNetwork(graph, dtype=torch.float64)
    values = network({"input": x}, states=["h1"])
    z, out = values.outputs["h1"].detach(), values.outputs["output"].detach()
    psi = 1 / (1 + (torch.pi * (values.states["h1"].v.detach() + z - 1)) ** 2)
    decay = float(network.coefficients["h1"].decay[0])
    sums = {name: torch.zeros_like(found[name]) for name in ("w1", "loop", "loop bias")}
    eligible, recurrent, one = torch.zeros_like(x[0]), torch.zeros_like(z[0]), 0.0
    for t in range(len(x)):
        # The loop's own Delay holds one step, the one behind its synapse node two.
        eligible = decay * eligible + x[t]
        recurrent = decay * recurrent + (z[t - 3] if t >= 3 else 0)
        one = decay * one + (t >= 2)
        error = torch.softmax(out[t], 1)
        error[torch.arange(len(y)), y] -= 1
        gains = network.coefficients["out"].gain[0] * network.coefficients["h1"].gain[0]
        signal = (error @ drawn[0]) * psi[t] * gains / (len(y) * len(x))
        sums["w1"] += signal.T @ eligible
        sums["loop"] += signal.T @ recurrent
        sums["loop bias"] += signal.sum(0) * one
    assert all(float(value.abs().max()) > 1e-4 for value in sums.values())
    same(found, sums, sums)
