"""The float form against a numpy float32 loop; weights lie on a 2^-8 grid: sums are exact in any order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest

import targets
from targets.graph.graph import SpikingGraph
from targets.onnx.float_form import float_model
from targets.onnx.target import OnnxOptions, OnnxTarget
from targets.run import Run

DT = 2.0**-10
F = np.float32


def dyadic(rng: np.random.Generator, *shape: int, low: int = -256) -> np.ndarray:
    return rng.integers(low, 257, shape) / 256


def windows(x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> np.ndarray:
    """Taps of every output pixel: [B, C, rows, columns, kh, kw]."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows = (wide.shape[2] - dh * (kh - 1) - 1) // sh + 1
    columns = (wide.shape[3] - dw * (kw - 1) - 1) // sw + 1
    taps = np.zeros((*x.shape[:2], rows, columns, kh, kw), F)
    for r, c, i, j in np.ndindex(rows, columns, kh, kw):
        taps[:, :, r, c, i, j] = wide[:, :, r * sh + i * dh, c * sw + j * dw]
    return taps


def convolved(node: nir.Conv2d, x: np.ndarray) -> np.ndarray:
    padding = (1, 1) if node.padding == "same" else node.padding
    taps = windows(x, node.weight.shape[2:], node.stride, padding, node.dilation)
    weight, ins = node.weight.astype(F), node.weight.shape[1]
    outs = weight.shape[0] // node.groups
    parts = [
        np.einsum("bcrskl,ockl->bors", taps[:, g * ins : (g + 1) * ins], weight[g * outs : (g + 1) * outs])
        for g in range(node.groups)
    ]
    return np.concatenate(parts, axis=1) + node.bias.astype(F)[:, None, None]


def stateless(node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    match node:
        case nir.Affine():
            return x @ node.weight.T.astype(F) + node.bias.astype(F)
        case nir.Linear():
            return x @ node.weight.T.astype(F)
        case nir.Conv2d():
            return convolved(node, x)
        case nir.SumPool2d():
            return windows(x, node.kernel_size, node.stride, node.padding).sum((-1, -2))
        case nir.AvgPool2d():
            return windows(x, node.kernel_size, node.stride, node.padding).sum((-1, -2)) / F(
                np.prod(node.kernel_size)
            )
        case nir.Flatten():
            return x.reshape(len(x), -1)
        case nir.Scale():
            return x * node.scale.astype(F)
    assert isinstance(node, nir.Output)
    return x


def fire(node: nir.NIRNode, s: np.ndarray, state: dict[str, np.ndarray]) -> np.ndarray:
    """NIR's equations by forward Euler, in the house order."""
    u, v = state.get("u", np.zeros_like(s)), state.get("v", np.zeros_like(s))
    match node:
        case nir.IF():
            v = v + F(DT * node.r) * s
        case nir.LI() | nir.LIF():
            v = (F(1 - DT / node.tau) * v + F(DT / node.tau * node.r) * s) + F(DT / node.tau * node.v_leak)
        case _:
            rate = DT / node.tau_mem
            gain = DT / node.tau_syn * node.w_in * rate * node.r
            state["u"] = u = F(1 - DT / node.tau_syn) * u + F(gain) * s
            v = (F(1 - rate) * v + u) + F(rate * node.v_leak)
    if not hasattr(node, "v_threshold"):
        state["v"] = v
        return v
    spikes = v > F(node.v_threshold)
    state["v"] = np.where(spikes, F(node.v_reset), v)
    return spikes.astype(F)


def numpy_run(graph: SpikingGraph, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Every node's value and every population's states, [T, B, *shape]."""
    state: dict[str, dict[str, np.ndarray]] = {}
    fed: dict[str, list[np.ndarray]] = {}
    history: dict[str, list[np.ndarray]] = {name: [] for name in graph.nodes}
    states: dict[str, dict[str, list[np.ndarray]]] = {}
    for t in range(len(x)):
        now: dict[str, np.ndarray] = {}

        def total(name: str, t: int = t, now: dict[str, np.ndarray] = now) -> np.ndarray:
            sources = [a for a, b in graph.edges if b == name]
            result = value(sources[0], t, now)
            for source in sources[1:]:
                result = result + value(source, t, now)
            return result

        def value(name: str, t: int, now: dict[str, np.ndarray]) -> np.ndarray:
            if name in now:
                return now[name]
            node = graph.nodes[name]
            if isinstance(node, nir.Input):
                now[name] = x[t]
            elif isinstance(node, nir.Delay) and node.delay.any():
                back = t - round(float(node.delay.flat[0]) / DT)
                now[name] = fed[name][back] if back >= 0 else np.zeros((x.shape[1], *graph.shapes[name]), F)
            elif isinstance(node, nir.Delay):
                now[name] = total(name)
            elif hasattr(node, "v_leak") or hasattr(node, "v_threshold"):
                own = state.setdefault(name, {})
                now[name] = fire(node, total(name), own)
                for key, array in own.items():
                    states.setdefault(name, {}).setdefault(key, []).append(array)
            else:
                now[name] = stateless(node, total(name))
            return now[name]

        for name, node in graph.nodes.items():
            history[name].append(value(name, t, now))
            if isinstance(node, nir.Delay):
                fed.setdefault(name, []).append(total(name))
    stacked = {n: {k: np.stack(v) for k, v in own.items()} for n, own in states.items()}
    return {n: np.stack(v) for n, v in history.items()}, stacked


def neurons(kind: str, *shape: int, threshold: float = 0.75, reset: float = 0.25, leak: float = 0.5) -> Any:
    def of(value: float) -> np.ndarray:
        return np.full(shape, value)

    # Some neurons differ, so that coefficients are not all scalars.
    tau = of(4 * DT)
    tau.flat[0] = 8 * DT
    fires = {"v_threshold": of(threshold), "v_reset": of(reset)}
    cuba = {"tau_mem": tau, "tau_syn": of(2 * DT), "r": of(2.0), "v_leak": of(leak), "w_in": of(4.0)}
    leaky = {"tau": tau, "r": of(4.0), "v_leak": of(leak)}
    return {
        "IF": lambda: nir.IF(r=of(1 / DT), **fires),
        "LI": lambda: nir.LI(**leaky),
        "LIF": lambda: nir.LIF(**leaky, **fires),
        "CubaLI": lambda: nir.CubaLI(**cuba),
        "CubaLIF": lambda: nir.CubaLIF(**cuba, **fires),
    }[kind]()


def port(kind: str, *shape: int) -> nir.NIRNode:
    return nir.Input({"input": np.array(shape)}) if kind == "in" else nir.Output({"output": np.array(shape)})


def chain(shape: tuple[int, ...], out: tuple[int, ...], **nodes: nir.NIRNode) -> SpikingGraph:
    every = {"in": port("in", *shape), **nodes, "out": port("out", *out)}
    names = list(every)
    return SpikingGraph.build(every, list(itertools.pairwise(names)), {"dt": DT})


def assert_equal(run: Run, graph: SpikingGraph, x: np.ndarray) -> None:
    values, states = numpy_run(graph, x)
    for name, found in {**run.spikes, **run.outputs}.items():
        assert np.array_equal(found, values[name]), name
    assert {n: set(s) for n, s in run.states.items()} == {n: set(s) for n, s in states.items()}
    for name, own in states.items():
        for key, expected in own.items():
            assert np.array_equal(run.states[name][key], expected), (name, key)
    for name, counts in run.spike_counts.items():
        assert counts.dtype == np.int64
        assert np.array_equal(counts, (values[name] != 0).sum((0, 1))), name


def events(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.random(shape) < 0.4).astype(F)


def compiled(graph: SpikingGraph, **options: Any) -> Any:
    return OnnxTarget().compile(graph, OnnxOptions(**options))


@pytest.mark.parametrize("leak", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["IF", "LI", "LIF", "CubaLI", "CubaLIF"])
def test_neuron_kinds(kind: str, leak: float) -> None:
    rng = np.random.default_rng(1)
    fc = nir.Affine(dyadic(rng, 6, 5), dyadic(rng, 6))
    graph = chain((5,), (6,), fc=fc, cells=neurons(kind, 6, leak=leak))
    x = events(rng, 25, 3, 5)
    run = compiled(graph).run(x, ["cells", "fc", "in"], states=True)
    assert_equal(run, graph, x)
    assert run.output.any()
    assert set(run.spike_counts) == ({"in"} if kind.endswith("LI") else {"in", "cells"})


def stateless_nodes(rng: np.random.Generator) -> Mapping[str, nir.NIRNode]:
    def conv(stride: Any, padding: Any, dilation: Any, groups: int) -> nir.Conv2d:
        weight = dyadic(rng, 6, 4 // groups, 3, 2)
        return nir.Conv2d((9, 8), weight, stride, padding, dilation, groups, dyadic(rng, 6))

    return {
        "conv": conv((1, 1), (0, 0), (1, 1), 1),
        "conv strided": conv((2, 1), (1, 2), (1, 1), 1),
        "conv dilated": conv((1, 2), (2, 0), (2, 3), 1),
        "conv grouped": conv((2, 2), (1, 1), (1, 2), 2),
        "conv same": nir.Conv2d((9, 8), dyadic(rng, 3, 4, 3, 3), (1, 1), "same", (1, 1), 1, dyadic(rng, 3)),
        "sum pool": nir.SumPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
        "average pool": nir.AvgPool2d(np.array([3, 3]), np.array([2, 3]), np.array([1, 1])),
        "scale": nir.Scale(dyadic(rng, 4, 9, 8)),
        "flatten": nir.Flatten({"input": np.array([4, 9, 8])}, 0, -1),
        "affine": nir.Affine(dyadic(rng, 3, 8), dyadic(rng, 3)),
        "linear": nir.Linear(dyadic(rng, 3, 8)),
    }


@pytest.mark.parametrize("name", list(stateless_nodes(np.random.default_rng(0))))
def test_stateless_kinds(name: str) -> None:
    rng = np.random.default_rng(2)
    node = stateless_nodes(rng)[name]
    bare = SpikingGraph.build(
        {"in": port("in", 4, 9, 8), "node": node, "out": port("out", 1)},
        [("in", "node"), ("node", "out")],
        {"dt": DT},
    )
    shape = bare.shapes["node"]
    graph = chain((4, 9, 8), shape, node=node, cells=neurons("LIF", *shape))
    x = events(rng, 6, 2, 4, 9, 8) * dyadic(rng, 6, 2, 4, 9, 8).astype(F)
    run = compiled(graph).run(x, ["node", "cells"], states=True)
    assert_equal(run, graph, x)
    assert run.spike_counts["cells"].any()


def feedback_graph(seed: int) -> SpikingGraph:
    """Self loop, nested feedback of one and three steps, a skip edge, a feed-forward delay, two outputs."""
    rng = np.random.default_rng(seed)
    nodes = {
        "in": port("in", 5),
        "out": port("out", 4),
        "ab": nir.Linear(dyadic(rng, 4, 4, low=-64)),
        "a": neurons("LIF", 4, reset=0.0),
        "b": neurons("CubaLIF", 4),
        "c": neurons("IF", 4),
        "fc": nir.Affine(dyadic(rng, 4, 5), dyadic(rng, 4)),
        "aa": nir.Linear(dyadic(rng, 4, 4)),
        "ba": nir.Affine(dyadic(rng, 4, 4), dyadic(rng, 4)),
        "ca": nir.Linear(dyadic(rng, 4, 4)),
        "bc": nir.Linear(dyadic(rng, 4, 4)),
        "skip": nir.Linear(dyadic(rng, 4, 4)),
        "one": nir.Delay(np.full(4, DT)),
        "two": nir.Delay(np.full(4, 2 * DT)),
        "three": nir.Delay(np.full(4, 3 * DT)),
        "none": nir.Delay(np.zeros(4)),
        "li": neurons("LI", 4),
        "readout": port("out", 4),
    }
    paths = [
        ["in", "fc", "a", "ab", "b", "bc", "c", "out"],
        ["a", "one", "aa", "a"],
        ["b", "one", "ba", "three", "a"],
        ["c", "three", "ca", "none", "a"],
        ["a", "two", "skip", "c"],
        ["b", "li", "readout"],
        ["c", "li"],
        ["a", "out"],
    ]
    edges = [edge for path in paths for edge in itertools.pairwise(path)]
    return SpikingGraph.build(nodes, list(dict.fromkeys(edges)), {"dt": DT})


@pytest.mark.parametrize("seed", range(3))
def test_feedback_with_nested_delays(seed: int) -> None:
    graph = feedback_graph(seed)
    x = events(np.random.default_rng(seed), 30, 4, 5)
    run = compiled(graph).run(x, list(graph.nodes), states=True)
    assert_equal(run, graph, x)
    for name in ("a", "b", "c"):
        assert 0 < run.spikes[name].mean() < 1


def test_one_session_takes_any_number_of_steps_and_samples() -> None:
    graph = feedback_graph(5)
    executable = compiled(graph)
    for steps, samples in ((1, 1), (7, 3), (40, 2), (2, 33)):
        x = events(np.random.default_rng(steps), steps, samples, 5)
        run = executable.run(x)
        assert (run.steps, run.samples) == (steps, samples)
        assert np.array_equal(run.outputs["out"], numpy_run(graph, x)[0]["out"])


def test_blocks_and_workers_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = feedback_graph(6)
    x = events(np.random.default_rng(6), 12, 11, 5)
    whole = compiled(graph).run(x, ["a"], states=True)
    monkeypatch.setattr(
        "targets.onnx.executable._BLOCK_BYTES", 12 * 3 * sum(map(np.prod, graph.shapes.values()))
    )
    parts = compiled(graph, workers=2).run(x, ["a"], states=True)
    assert_equal(whole, graph, x)
    assert_equal(parts, graph, x)


def test_the_model_is_one_scan_with_its_weights_inside() -> None:
    graph = feedback_graph(0)
    model = compiled(graph).model
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 20, "org.nir": 1}
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    body = next(a.g for a in scan.attribute if a.name == "body")
    held = {constant.name: constant for constant in body.initializer}
    assert np.array_equal(onnx.numpy_helper.to_array(held["ab/weight"]), graph.nodes["ab"].weight.T.astype(F))
    assert {n.name: (n.domain, n.op_type) for n in body.node if n.domain} == {
        "a": ("org.nir", "LIF"),
        "b": ("org.nir", "CubaLIF"),
        "c": ("org.nir", "IF"),
        "li": ("org.nir", "LI"),
    }
    axes = {v.name: [d.dim_param for d in v.type.tensor_type.shape.dim][:2] for v in model.graph.input}
    assert axes == {"in": ["T", "B"]}
    assert max(int(np.prod(c.dims)) for c in model.graph.initializer) <= 4
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["profile.dt"] == str(DT)
    assert properties["profile.reset"] == "to_value"
    assert properties["arithmetic"] == "float32"


def test_without_local_functions_the_model_computes_the_same() -> None:
    graph = feedback_graph(1)
    x = events(np.random.default_rng(1), 20, 2, 5)
    flat = onnx.inliner.inline_local_functions(float_model(graph))
    assert not flat.functions
    session = onnxruntime.InferenceSession(flat.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["out"], {"in": x})
    assert np.array_equal(found, numpy_run(graph, x)[0]["out"])


def test_graded_input_counts_its_nonzero_values() -> None:
    graph = chain((3,), (3,), cells=neurons("LIF", 3))
    x = np.zeros((4, 2, 3), F)
    x[1:, 0, 1] = -0.5
    x[0, :, 2] = 3.25
    assert compiled(graph).run(x).spike_counts["in"].tolist() == [0, 3, 2]


def test_edges_are_summed_in_their_order() -> None:
    """1e8 + 1 - 1e8 is 0 in float32, 1e8 - 1e8 + 1 is 1."""
    scales = {"big": 1e8, "one": 1.0, "minus": -1e8}
    nodes = {"in": port("in", 1), **{n: nir.Scale(np.array([v])) for n, v in scales.items()}}
    nodes["out"] = port("out", 1)
    for order, expected in ((("big", "one", "minus"), 0.0), (("big", "minus", "one"), 1.0)):
        edges = [("in", name) for name in scales] + [(name, "out") for name in order]
        graph = SpikingGraph.build(nodes, edges, {"dt": DT})
        assert compiled(graph).run(np.ones((1, 1, 1))).output.item() == expected


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_reference(seed: int) -> None:
    """Decays off the grid: the order of operations must be the same, to the last bit."""
    rng = np.random.default_rng(seed)
    graph = feedback_graph(seed)
    nodes = dict(graph.nodes)
    taus = rng.uniform(2 * DT, 20 * DT, (3, 4))
    nodes["a"].tau, nodes["b"].tau_mem, nodes["b"].tau_syn = taus
    graph = SpikingGraph.build(nodes, graph.edges, graph.profile)
    x = events(rng, 50, 20, 5)
    ours = compiled(graph).run(x, ["a", "b", "c"], states=True)
    theirs = targets.compile(graph, "reference").run(x, ["a", "b", "c"], states=True)
    for name in ("a", "b", "c"):
        assert ours.spikes[name].any()
        assert np.array_equal(ours.spikes[name], theirs.spikes[name])
        assert np.array_equal(ours.spike_counts[name], theirs.spike_counts[name])
        for key, value in theirs.states[name].items():
            assert np.array_equal(ours.states[name][key], value), (name, key)
