"""Lava in float64 against the normative update, written again in numpy node by node."""

from __future__ import annotations

import nir
import numpy as np
import pytest

from targets.errors import ConfigError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.lava.target import LavaOptions, LavaTarget
from targets.target import compile as compile_graph

DT = 1e-3


needs_lava = pytest.mark.usefixtures("lava_environment")


def weights(rng, *shape):
    """On a 2^-8 grid, so that no order of summation rounds."""
    return rng.integers(-100, 130, shape) / 256


def lif(rng, size, reset=0.0):
    return nir.LIF(
        tau=rng.uniform(3e-3, 9e-3, size),
        r=rng.uniform(2, 6, size),
        v_leak=rng.uniform(-0.2, 0.2, size),
        v_threshold=rng.uniform(0.4, 1.0, size),
        v_reset=np.full(size, reset),
    )


def integrator(size, threshold=1.0):
    """IF with r = 1 / dt: gain 1."""
    return nir.IF(r=np.full(size, 1 / DT), v_threshold=np.full(size, threshold), v_reset=np.zeros(size))


def cuba(rng, size, kind=nir.CubaLIF):
    given = {
        "tau_syn": np.full(size, 4e-3),
        "tau_mem": rng.uniform(4e-3, 9e-3, size),
        "r": np.full(size, 7.0),
        "v_leak": np.full(size, 0.05),
        "w_in": rng.uniform(1, 4, size),
    }
    if kind is nir.CubaLIF:
        given |= {"v_threshold": np.full(size, 0.6), "v_reset": np.full(size, -0.25)}
    return kind(**given)


def delay(size, steps):
    return nir.Delay(np.full(size, steps * DT))


def recurrent(rng):
    """CubaLIF with recurrences of delay 1 and 2 (the second with a bias), skip, feedback, IF output."""
    nodes = {
        "in": nir.Input(np.array([6])),
        "a": nir.Affine(weights(rng, 8, 6), weights(rng, 8)),
        "l1": cuba(rng, 8),
        "r1": nir.Linear(weights(rng, 8, 8)),
        "d1": delay(8, 1),
        "r2": nir.Affine(weights(rng, 8, 8), weights(rng, 8)),
        "d2": delay(8, 2),
        "b": nir.Linear(weights(rng, 5, 8)),
        "l2": lif(rng, 5, reset=0.125),
        "c": nir.Linear(weights(rng, 4, 5)),
        "skip": nir.Affine(weights(rng, 4, 6), weights(rng, 4)),
        "l3": integrator(4),
        "back": nir.Linear(weights(rng, 8, 4)),
        "d3": delay(8, 3),
        "out": nir.Output(np.array([4])),
    }
    edges = [("in", "a"), ("a", "l1"), ("d1", "l1"), ("d2", "l1"), ("d3", "l1"), ("l1", "r1"), ("r1", "d1")]
    edges += [("l1", "r2"), ("r2", "d2"), ("l1", "b"), ("b", "l2"), ("l2", "c"), ("c", "l3"), ("in", "skip")]
    edges += [("skip", "l3"), ("l3", "back"), ("back", "d3"), ("l3", "out")]
    order = ["in", "d1", "d2", "d3", "a", "l1", "r1", "r2", "b", "l2", "c", "skip", "l3", "back", "out"]
    return SpikingGraph.build(nodes, edges, {"dt": DT}), order


def readouts(rng):
    """LIF into LI, and LI's membrane on into a CubaLI; two Outputs."""
    nodes = {
        "in": nir.Input(np.array([2, 3])),
        "flat": nir.Flatten(None, 0, -1),
        "a": nir.Affine(weights(rng, 5, 6), weights(rng, 5)),
        "l1": lif(rng, 5),
        "b": nir.Linear(weights(rng, 4, 5)),
        "li": nir.LI(tau=np.full(4, 8e-3), r=np.full(4, 4.0), v_leak=np.full(4, 0.125)),
        "c": nir.Linear(weights(rng, 3, 4)),
        "cli": cuba(rng, 3, nir.CubaLI),
        "o1": nir.Output(np.array([4])),
        "o2": nir.Output(np.array([3])),
    }
    edges = [("in", "flat"), ("flat", "a"), ("a", "l1"), ("l1", "b"), ("b", "li"), ("li", "c"), ("c", "cli")]
    edges += [("li", "o1"), ("cli", "o2")]
    return SpikingGraph.build(nodes, edges, {"dt": DT}), list(nodes)


def once(value):
    """Rounded to float32 once, then read as float64."""
    return np.asarray(value, dtype=np.float64).astype(np.float32).astype(np.float64)


def advance(node, state, total):
    """One step of a population: the state dict is updated, the signal returned."""
    u, v = state["u"], state["v"]
    if isinstance(node, nir.IF):
        v = v + once(DT * node.r) * total
    elif isinstance(node, nir.CubaLIF | nir.CubaLI):
        rate, synapse = DT / node.tau_mem, DT / node.tau_syn
        u = once(1 - synapse) * u + once(synapse * node.w_in * rate * node.r) * total
        v = once(1 - rate) * v + u + once(rate * node.v_leak)
    else:
        rate = DT / node.tau
        v = once(1 - rate) * v + once(rate * node.r) * total + once(rate * node.v_leak)
    if not hasattr(node, "v_threshold"):
        state.update(u=u, v=v)
        return v
    fired = v > once(node.v_threshold)
    state.update(u=u, v=np.where(fired, once(node.v_reset), v))
    return fired.astype(np.float64)


def evaluate(graph, order, x):
    """Signals and states of every node, [T, B, n], in an order in which only Delays read the past."""
    steps, samples = x.shape[:2]
    signals = {n: np.zeros((steps, samples, *graph.shapes[n])) for n in order}
    states = {n: {k: np.zeros((samples, *graph.shapes[n])) for k in "uv"} for n in graph.populations}
    kept = {n: {k: np.zeros_like(signals[n]) for k in "uv"} for n in graph.populations}
    for t in range(steps):
        for name in order:
            node, sources = graph.nodes[name], graph.predecessors[name]
            if name == "in":
                signals[name][t] = x[t]
                continue
            past = graph.delay_steps(name) if isinstance(node, nir.Delay) else 0
            if t < past:
                continue
            total = sum(signals[s][t - past] for s in sources)
            if name in states:
                signals[name][t] = advance(node, states[name], total)
                for key in "uv":
                    kept[name][key][t] = states[name][key]
            elif isinstance(node, nir.Affine | nir.Linear):
                signals[name][t] = total @ node.weight.T + getattr(node, "bias", 0)
            else:
                signals[name][t] = np.reshape(total, signals[name][t].shape)
    return signals, kept


def run(graph, x, **keywords):
    return compile_graph(graph, "lava", timeout_s=60.0).run(x, **keywords)


@needs_lava
def test_recurrent_network_spike_for_spike_over_three_samples():
    rng = np.random.default_rng(2)
    graph, order = recurrent(rng)
    x = (rng.random((14, 3, 6)) < 0.4).astype(np.float32)
    found = run(graph, x, record=["l1", "l2", "l3", "out"], states=True)
    signals, states = evaluate(graph, order, x)
    for name in ("l1", "l2", "l3"):
        assert 0.02 < signals[name].mean() < 0.98
        np.testing.assert_array_equal(found.spikes[name], signals[name])
        np.testing.assert_array_equal(found.states[name]["v"], states[name]["v"])
    np.testing.assert_array_equal(found.states["l1"]["u"], states["l1"]["u"])
    assert set(found.states["l2"]) == {"v"}
    np.testing.assert_array_equal(found.output, signals["l3"])
    np.testing.assert_array_equal(found.spikes["out"], signals["l3"])


@needs_lava
def test_integrators_send_and_output_their_membrane_and_input_may_be_real():
    rng = np.random.default_rng(4)
    graph, order = readouts(rng)
    x = rng.integers(-256, 512, (10, 2, 2, 3)) / 256
    found = run(graph, x, record=["in", "l1"])
    signals, _ = evaluate(graph, order, x)
    assert signals["l1"].sum() > 0
    np.testing.assert_array_equal(found.spikes["l1"], signals["l1"])
    np.testing.assert_array_equal(found.outputs["o1"], signals["o1"])
    np.testing.assert_allclose(found.outputs["o2"], signals["o2"], rtol=1e-12, atol=1e-14)
    assert set(found.spike_counts) == {"in", "l1"}
    np.testing.assert_array_equal(found.spike_counts["in"], np.count_nonzero(x, axis=(0, 1)))
    assert found.states == {}


def test_all_refusals_at_once():
    """The cycle holds one delay and takes two hops; the Output reads a Linear."""
    rng = np.random.default_rng(0)
    nodes = {
        "in": nir.Input(np.array([3])),
        "a": nir.Linear(weights(rng, 3, 3)),
        "l1": integrator(3),
        "b": nir.Linear(weights(rng, 3, 3)),
        "l2": integrator(3),
        "c": nir.Linear(weights(rng, 3, 3)),
        "d": delay(3, 1),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "a"), ("a", "l1"), ("l1", "b"), ("b", "l2"), ("l2", "c"), ("c", "d"), ("d", "l1")]
    graph = SpikingGraph.build(nodes, [*edges, ("c", "out")], {"dt": DT})
    assert len(LavaTarget().check(graph)) == 2
    with pytest.raises(UnsupportedNodeError, match=r"(?s)Output reads c.*2 hops.*1 steps of delay"):
        compile_graph(graph, "lava")


def test_another_profile_is_refused():
    graph, _ = readouts(np.random.default_rng(0))
    changed = graph.replace(profile=graph.profile.with_values({"reset": "subtract_late"}))
    assert ["subtract_late" in refusal.reason for refusal in LavaTarget().check(changed)] == [True]


def test_options_are_checked():
    with pytest.raises(ConfigError, match="float64, fixed"):
        LavaOptions(arithmetic="float32")
    with pytest.raises(ConfigError, match="timeout_s"):
        LavaOptions(timeout_s=0)
