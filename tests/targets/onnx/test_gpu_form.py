"""The unrolled form against the portable one, and a live stream against a whole run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest

import targets
from targets.errors import DataError
from targets.graph.graph import SpikingGraph

DT = 2.0**-10


def lif(*shape: int) -> nir.LIF:
    ones = np.ones(shape)
    return nir.LIF(tau=ones * 4 * DT, r=ones * 4, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0)


def looped_graph() -> SpikingGraph:
    """A convolution outside every cycle, a loop of two steps, a feed-forward delay, a bias everywhere."""
    rng = np.random.default_rng(4)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-64, 129, shape) / 128

    nodes = {
        "in": nir.Input({"input": np.array([2, 5, 5])}),
        "conv": nir.Conv2d((5, 5), weights(3, 2, 3, 3), 2, 1, 1, 1, weights(3)),
        "a": lif(3, 3, 3),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "fc": nir.Affine(weights(6, 27), weights(6)),
        "b": lif(6),
        "wait": nir.Delay(np.full(6, 2 * DT)),
        "back": nir.Affine(weights(6, 6), weights(6)),
        "late": nir.Delay(np.full(6, 3 * DT)),
        "once": nir.Delay(np.full(6, DT)),
        "readout": nir.Linear(weights(4, 6)),
        "c": lif(4),
        "out": nir.Output({"output": np.array([4])}),
    }
    paths = [
        ["in", "conv", "a", "flat", "fc", "b", "late", "readout", "c", "out"],
        ["b", "wait", "back", "b"],
        ["b", "once", "readout"],
    ]
    return SpikingGraph.build(nodes, [e for p in paths for e in itertools.pairwise(p)], {"dt": DT})


def events(graph: SpikingGraph, steps: int, samples: int) -> np.ndarray:
    rng = np.random.default_rng(steps)
    return (rng.random((steps, samples, *graph.shapes[graph.inputs[0]])) < 0.4).astype(np.float32)


def assert_same(ours: targets.Run, theirs: targets.Run) -> None:
    for found, expected in ((ours.spikes, theirs.spikes), (ours.outputs, theirs.outputs)):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert np.array_equal(found[name], value), name
    for name, value in theirs.spike_counts.items():
        assert np.array_equal(ours.spike_counts[name], value), name
    for name, own in theirs.states.items():
        for key, value in own.items():
            assert np.array_equal(ours.states[name][key], value), (name, key)


def operators(graph: onnx.GraphProto) -> set[str]:
    return {node.op_type for node in graph.node}


@pytest.mark.parametrize("arithmetic", ["float32", "fixed"])
@pytest.mark.parametrize(("steps", "batch"), [(1, 3), (4, 2), (11, 5)])
def test_equal_to_the_portable_form(arithmetic: str, steps: int, batch: int) -> None:
    """11 steps and 5 samples: whole chunks, and chunks and blocks that are left over."""
    graph = looped_graph()
    x = events(graph, 11, 5)
    record = ["a", "b", "c"]
    whole = targets.compile(graph, "onnx", arithmetic=arithmetic).run(x, record, states=True)
    gpu = targets.compile(graph, "onnx", arithmetic=arithmetic, form="gpu", steps=steps, batch=batch)
    assert whole.spikes["c"].any()
    assert_same(gpu.run(x, record, states=True), whole)
    onnx.checker.check_model(gpu.model, full_check=True)


@pytest.mark.parametrize("arithmetic", ["float32", "fixed"])
@pytest.mark.parametrize(("steps", "batch"), [(1, 3), (4, 2), (11, 5)])
def test_fixed_buffers_take_turns(
    arithmetic: str, steps: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What replays on a GPU, run on the CPU: every address is bound once, twice the same run."""
    graph = looped_graph()
    x = events(graph, 11, 5)
    record = ["a", "b", "c"]
    whole = targets.compile(graph, "onnx", arithmetic=arithmetic).run(x, record, states=True)
    gpu = targets.compile(graph, "onnx", arithmetic=arithmetic, form="gpu", steps=steps, batch=batch)
    monkeypatch.setattr(gpu, "_captured", True)
    for _ in range(2):
        assert_same(gpu.run(x, record, states=True), whole)
    bound = len(gpu._buffers)
    assert bound == len({min(steps, 11), 11 % steps} - {0}) * len({min(batch, 5), 5 % batch} - {0})
    assert_same(gpu.run(x, record, states=True), whole)
    assert len(gpu._buffers) == bound


def test_equal_to_the_reference() -> None:
    graph = looped_graph()
    x = events(graph, 12, 4)
    ours = targets.compile(graph, "onnx", form="gpu", steps=6, batch=4).run(x, ["a", "b", "c"])
    assert_same(ours, targets.compile(graph, "reference").run(x, ["a", "b", "c"]))


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs(random_graph: Callable[[int], SpikingGraph], seed: int) -> None:
    graph = random_graph(seed + 100)
    for node in graph.nodes.values():
        for key in ("weight", "bias", "scale"):
            if hasattr(node, key):
                setattr(node, key, np.round(np.asarray(getattr(node, key)) * 16) / 16)
    x = np.random.default_rng(seed).integers(0, 3, (6, 2, *graph.shapes["in"])).astype(np.float32)
    portable = targets.compile(graph, "onnx").run(x, graph.populations)
    gpu = targets.compile(graph, "onnx", form="gpu", steps=3, batch=2).run(x, graph.populations)
    for name in graph.populations:
        np.testing.assert_allclose(gpu.spikes[name], portable.spikes[name], rtol=1e-4, atol=1e-4)


def test_no_control_flow_static_shapes_and_folded_synapses() -> None:
    model = targets.compile(looped_graph(), "onnx", form="gpu", steps=4, batch=2).model
    assert not operators(model.graph) & {"Scan", "Loop", "If", "Shape", "ConstantOfShape"}
    for value in [*model.graph.input, *model.graph.output]:
        assert all(dim.dim_value > 0 for dim in value.type.tensor_type.shape.dim), value.name
    inputs = {value.name for value in model.graph.input}
    assert {"in", "a/v/before", "wait/line/2/before"} <= inputs
    assert {name.replace("/before", "/last") for name in inputs - {"in"}} <= {
        value.name for value in model.graph.output
    }
    kinds = [node.op_type for node in model.graph.node]
    # Once for all steps outside the loop, once a step inside it.
    assert kinds.count("Conv") == 1
    assert {n.name.split("/step/")[0] for n in model.graph.node if n.op_type == "LIF"} == {
        "a",
        "b",
        "c",
    }
    assert kinds.count("LIF") == 12
    products = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    assert sum(name.startswith("fc/") for name in products) == 1
    assert sum(name == "readout" for name in products) == 1


def test_the_file_runs_without_this_package() -> None:
    """States handed over by hand, in plain onnxruntime, after inlining the local functions."""
    graph = looped_graph()
    x = events(graph, 8, 2)
    executable = targets.compile(graph, "onnx", form="gpu", steps=4, batch=2)
    flat = onnx.inliner.inline_local_functions(executable.model)
    session = onnxruntime.InferenceSession(flat.SerializeToString(), providers=["CPUExecutionProvider"])
    states = {v.name: np.zeros(v.shape, np.float32) for v in session.get_inputs() if v.name != "in"}
    names = [value.name for value in session.get_outputs()]
    found = []
    for at in (0, 4):
        values = dict(zip(names, session.run(names, {"in": x[at : at + 4], **states}), strict=True))
        states = {name: values[name.replace("/before", "/last")] for name in states}
        found.append(values["out"])
    assert np.array_equal(np.concatenate(found), executable.run(x).output)


@pytest.mark.parametrize("form", [{}, {"form": "gpu", "steps": 3, "batch": 2}])
def test_without_counts(form: dict[str, Any]) -> None:
    graph = looped_graph()
    x = events(graph, 6, 2)
    counted, bare = (targets.compile(graph, "onnx", counts=c, **form) for c in (True, False))
    run = bare.run(x)
    assert run.spike_counts == {}
    assert np.array_equal(run.output, counted.run(x).output)
    assert not any(value.name.endswith("/count") for value in bare.model.graph.output)


@pytest.mark.parametrize("arithmetic", ["float32", "fixed"])
def test_a_stream_equals_a_whole_run(arithmetic: str) -> None:
    graph = looped_graph()
    x = events(graph, 10, 3)
    executable = targets.compile(graph, "onnx", arithmetic=arithmetic)
    whole = executable.run(x).output
    for _ in range(2):
        assert np.array_equal(np.stack([executable.step(now)["out"] for now in x]), whole)
        executable.reset()
    executable.step(x[0])
    with pytest.raises(DataError, match=r"found 2 samples, allowed 3.*reset\(\)"):
        executable.step(x[0, :2])
    with pytest.raises(DataError, match="found shape"):
        executable.step(x[0, 0])


def test_streams_of_several_threads_do_not_mix() -> None:
    """Each instance has its own stream; calls on one instance run one after the other."""
    graph = looped_graph()
    x = events(graph, 30, 2)
    instances = [targets.compile(graph, "onnx") for _ in range(2)]
    found: list[list[np.ndarray]] = [[], []]

    def follow(i: int) -> None:
        found[i] = [instances[i].step(now)["out"] for now in (x if i == 0 else x[::-1])]

    threads = [threading.Thread(target=follow, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.stack(found[0]), instances[0].run(x).output)
    assert np.array_equal(np.stack(found[1]), instances[1].run(x[::-1]).output)
    shared = targets.compile(graph, "onnx")
    blank = np.zeros_like(x[0])
    several = [threading.Thread(target=lambda: [shared.step(blank) for _ in range(10)]) for _ in range(2)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    after = shared.step(blank)["out"]
    assert np.array_equal(after, shared.run(np.stack([blank] * 21)).output[20])
