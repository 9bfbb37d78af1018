"""Populations and counts as operators of our own: equal, to the last bit, to plain onnxruntime."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import nir
import numpy as np
import pytest
from onnx import helper

import targets
from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.onnx import executable
from targets.onnx.blocked import blocked
from targets.onnx.body import COUNTS, DOMAIN, IR_VERSION, OPSET, OWN_DOMAIN, UINT8, Counted
from targets.onnx.counting import summed
from targets.onnx.executable import OnnxExecutable
from targets.onnx.float_form import float_body
from targets.onnx.operators import fused, library, total_node
from targets.onnx.options import OnnxOptions
from targets.onnx.session import open_session

DT = 2.0**-10
STEPS, SAMPLES = 9, 3
# More neurons than the operators update together, in no whole number of their tiles.
NEURONS = 1100

Node = Callable[[np.random.Generator], nir.NIRNode]


def each(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """A value for each neuron."""
    return rng.uniform(low, high, NEURONS)


def same(value: float) -> np.ndarray:
    return np.full(NEURONS, value)


MODELS: dict[str, Node] = {
    "LIF": lambda rng: nir.LIF(same(5 * DT), same(5.0), same(0.0), same(0.7), same(0.0)),
    "LIF, leak and reset": lambda rng: nir.LIF(same(5 * DT), same(5.0), same(0.2), same(0.7), same(-0.3)),
    "LIF, one by one": lambda rng: nir.LIF(
        each(rng, 3, 9) * DT, each(rng, 2, 9), each(rng, -0.2, 0.2), each(rng, 0.3, 1), each(rng, -0.3, 0.1)
    ),
    "LIF, thresholds one by one": lambda rng: nir.LIF(
        same(5 * DT), same(5.0), same(0.0), each(rng, 0.3, 1), same(0.0)
    ),
    "IF": lambda rng: nir.IF(same(1 / DT), same(1.1), same(0.0)),
    "IF, threshold below zero": lambda rng: nir.IF(same(1 / DT), same(-0.4), same(-0.9)),
    "CubaLIF": lambda rng: nir.CubaLIF(
        same(4 * DT), same(6 * DT), same(6.0), same(0.0), same(0.6), same(0.0), same(4.0)
    ),
    "CubaLIF, one by one": lambda rng: nir.CubaLIF(
        each(rng, 2, 5) * DT,
        each(rng, 3, 9) * DT,
        each(rng, 2, 9),
        each(rng, -0.1, 0.1),
        each(rng, 0.3, 1),
        each(rng, -0.2, 0.1),
        each(rng, 1, 4),
    ),
}


def network(model: Node, readout: bool = False) -> SpikingGraph:
    """A population behind a Linear, and maybe a readout that does not fire."""
    rng = np.random.default_rng(4)
    weight = rng.integers(-48, 64, (NEURONS, 6)) / 64
    nodes: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([6])),
        "w": nir.Linear(weight.astype(np.float32)),
        "cells": model(rng),
    }
    edges = [("in", "w"), ("w", "cells")]
    last = "cells"
    if readout:
        last = "memory"
        nodes["memory"] = nir.LI(same(5 * DT), same(5.0), same(0.0))
        edges.append(("cells", "memory"))
    nodes["out"] = nir.Output(np.array([NEURONS]))
    return SpikingGraph.build(nodes, [*edges, (last, "out")], {"dt": DT})


def given(samples: int = SAMPLES) -> np.ndarray:
    rng = np.random.default_rng(samples)
    return rng.integers(-1, 3, (STEPS, samples, 6)).astype(np.float32)


def plain(monkeypatch: pytest.MonkeyPatch, graph: SpikingGraph, **options: object) -> OnnxExecutable:
    """Without the operators."""
    with monkeypatch.context() as patched:
        patched.setenv("MSENAS_KERNELS", "torch")
        return OnnxExecutable(graph, OnnxOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [1, SAMPLES])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_to_the_last_bit(name: str, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = network(MODELS[name]), given(samples)
    ours, theirs = OnnxExecutable(graph, OnnxOptions()), plain(monkeypatch, graph)
    assert (ours.run(x).ran_on, theirs.run(x).ran_on.count("C kernels")) == (
        f"{theirs.run(x).ran_on}, C kernels",
        0,
    )
    a, b = (found.run(x, ["cells"], states=True) for found in (ours, theirs))
    assert 0 < a.spikes["cells"].mean() < 1
    np.testing.assert_array_equal(a.spikes["cells"], b.spikes["cells"])
    for state in a.states["cells"]:
        np.testing.assert_array_equal(a.states["cells"][state], b.states["cells"][state])
    for node, counts in b.spike_counts.items():
        assert a.spike_counts[node].dtype == np.int64
        np.testing.assert_array_equal(a.spike_counts[node], counts)
    np.testing.assert_array_equal(a.spike_counts["cells"], a.spikes["cells"].sum(axis=(0, 1)))
    np.testing.assert_array_equal(a.spike_counts["in"], np.count_nonzero(x, axis=(0, 1)))
    np.testing.assert_array_equal(
        a.spikes["cells"], targets.compile(graph, "reference").run(x, ["cells"]).spikes["cells"]
    )


def test_what_does_not_fire_stays_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = network(MODELS["LIF"], readout=True), given()
    body = fused(float_body(graph))
    assert [node.op_type for node in body.nodes if node.domain == OWN_DOMAIN] == ["PopulationCounted"]
    assert [node.op_type for node in body.nodes if node.domain == DOMAIN] == [*body.functions]
    ours, theirs = OnnxExecutable(graph, OnnxOptions()).run(x), plain(monkeypatch, graph).run(x)
    np.testing.assert_array_equal(ours.output, theirs.output)


def test_counts_of_channels_in_blocks_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ones = np.ones((32, 5, 3))
    nodes: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([2, 5, 3])),
        "conv": nir.Conv2d(
            (5, 3), rng.normal(size=(32, 2, 3, 3)).astype("f4"), 1, 1, 1, 1, np.zeros(32, "f4")
        ),
        "cells": nir.LIF(ones * 4 * DT, ones * 4, ones * 0, ones, ones * 0),
        "out": nir.Output(np.array([32, 5, 3])),
    }
    graph = SpikingGraph.build(nodes, [("in", "conv"), ("conv", "cells"), ("cells", "out")], {"dt": DT})
    (out,) = fused(blocked(float_body(graph), 8)).counted
    assert (out.channels, out.block, out.own) == (32, 8, True)
    x = (rng.random((STEPS, SAMPLES, 2, 5, 3)) < 0.4).astype(np.float32)
    run = OnnxExecutable(graph, OnnxOptions()).run(x)
    np.testing.assert_array_equal(run.spike_counts["cells"], run.output.sum(axis=(0, 1)))
    np.testing.assert_array_equal(run.output, plain(monkeypatch, graph).run(x).output)


def test_without_counts_and_in_two_workers() -> None:
    graph, x = network(MODELS["LIF"]), given(40)
    run = targets.compile(graph, "onnx").run(x)
    np.testing.assert_array_equal(run.output, targets.compile(graph, "onnx", counts=False).run(x).output)
    np.testing.assert_array_equal(run.output, targets.compile(graph, "onnx", workers=2).run(x).output)


def test_written_models_hold_no_operator_of_ours() -> None:
    model = targets.compile(network(MODELS["LIF"]), "onnx").model
    assert OWN_DOMAIN not in {opset.domain for opset in model.opset_import}


def test_a_population_of_many_axes_stays_a_function() -> None:
    ones = np.ones((1, 2, 1, 2, 1, 2, 2, 2))
    nodes: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array(ones.shape)),
        "cells": nir.LIF(ones * 4 * DT, ones * 4, ones * 0, ones, ones * 0),
        "out": nir.Output(np.array(ones.shape)),
    }
    graph = SpikingGraph.build(nodes, [("in", "cells"), ("cells", "out")], {"dt": DT})
    body = fused(float_body(graph))
    assert OWN_DOMAIN not in {node.domain for node in body.nodes}
    x = np.random.default_rng(1).random((STEPS, SAMPLES, *ones.shape)).astype(np.float32)
    expected = targets.compile(graph, "reference").run(x)
    found = targets.compile(graph, "onnx").run(x)
    np.testing.assert_array_equal(found.output, expected.output)
    np.testing.assert_array_equal(found.spike_counts["in"], expected.spike_counts["in"])


def test_the_library_is_there_unless_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library() is not None
    monkeypatch.setenv("MSENAS_KERNELS", "torch")
    assert library() is None


# Channels in and out, size, kernel, stride, padding; blocks are of 8 or 16 channels.
CONVOLUTIONS = {
    "in blocks": (32, 64, (9, 6), (3, 3), (1, 1), (1, 1)),
    "strides": (16, 32, (9, 12), (3, 3), (2, 3), (1, 0)),
    "wide kernel": (16, 16, (6, 7), (5, 4), (1, 2), (2, 3)),
    "kernel as large as the input": (16, 8, (4, 5), (4, 5), (1, 1), (0, 0)),
    "padding beyond the kernel": (16, 16, (3, 3), (2, 2), (2, 2), (3, 3)),
    "in plain order": (3, 24, (8, 8), (3, 3), (1, 1), (1, 1)),
    "many channels": (16, 120, (4, 4), (3, 3), (1, 1), (1, 1)),
    "one pixel": (48, 32, (1, 1), (1, 1), (1, 1), (0, 0)),
}


def convolved(
    sizes: tuple[int, int, tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]],
) -> SpikingGraph:
    """A convolution over the spikes of a population, with weights on a grid on which all sums are exact."""
    into, out, size, kernel, stride, pad = sizes
    rng = np.random.default_rng([into, out])
    weight = rng.integers(-64, 80, (out, into, *kernel)) / 256
    to = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, pad, strict=True)]
    cells, more = np.ones((into, *size)), np.ones((out, *to))
    nodes: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([into, *size])),
        "cells": nir.IF(cells / DT, cells * 1.5, cells * 0),
        "conv": nir.Conv2d(size, weight, stride, pad, 1, 1, rng.integers(-32, 64, out) / 256),
        "more": nir.LIF(more * 4 * DT, more * 4, more * 0, more, more * 0),
        "out": nir.Output(np.array([out, *to])),
    }
    names = list(nodes)
    return SpikingGraph.build(nodes, list(itertools.pairwise(names)), {"dt": DT})


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_over_spikes(name: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = convolved(CONVOLUTIONS[name])
    rng = np.random.default_rng(7)
    x = (rng.random((STEPS, SAMPLES, *graph.shapes["in"])) < rate).astype(np.float32)
    ours, theirs = OnnxExecutable(graph, OnnxOptions()), plain(monkeypatch, graph)
    assert ours.placement()["CPUExecutionProvider"]["SpikingConv"] == 1
    names = ["conv", "more"]
    a, b, c = (found.run(x, names) for found in (ours, theirs, targets.compile(graph, "reference")))
    assert b.spikes["conv"].any()
    for node in names:
        np.testing.assert_array_equal(a.spikes[node], b.spikes[node])
        np.testing.assert_array_equal(a.spikes[node], c.spikes[node])


@pytest.mark.parametrize("change", ["groups", "dilation", "channels"])
def test_other_convolutions_stay_as_they_are(change: str) -> None:
    into, out, size = 16, 12 if change == "channels" else 16, (6, 6)
    dilation, groups = (2 if change == "dilation" else 1), (4 if change == "groups" else 1)
    graph = convolved((into, out, size, (3, 3), (1, 1), (1, 1)))
    conv = graph.nodes["conv"]
    weight = conv.weight[:, : into // groups]
    nodes = dict(graph.nodes) | {"conv": nir.Conv2d(size, weight, 1, dilation, dilation, groups, conv.bias)}
    graph = SpikingGraph.build(nodes, graph.edges, {"dt": DT})
    x = (np.random.default_rng(3).random((STEPS, SAMPLES, *graph.shapes["in"])) < 0.3).astype(np.float32)
    executable = OnnxExecutable(graph, OnnxOptions())
    assert "SpikingConv" not in executable.placement()["CPUExecutionProvider"]
    np.testing.assert_array_equal(executable.run(x).output, targets.compile(graph, "reference").run(x).output)


def test_a_convolution_over_no_spikes_multiplies() -> None:
    graph = convolved((16, 16, (6, 6), (3, 3), (1, 1), (1, 1)))
    second = nir.Conv2d((6, 6), graph.nodes["conv"].weight / 4, 1, 1, 1, 1, np.zeros(16))
    nodes = dict(graph.nodes) | {"second": second}
    edges = [edge for edge in graph.edges if edge != ("conv", "more")]
    graph = SpikingGraph.build(nodes, [*edges, ("conv", "second"), ("second", "more")], {"dt": DT})
    x = (np.random.default_rng(3).random((STEPS, SAMPLES, *graph.shapes["in"])) < 0.3).astype(np.float32)
    executable = OnnxExecutable(graph, OnnxOptions())
    placed = executable.placement()["CPUExecutionProvider"]
    assert (placed["SpikingConv"], placed["Conv"]) == (1, 1)
    found, expected = executable.run(x, ["second"]), targets.compile(graph, "reference").run(x, ["second"])
    assert 0 < found.output.mean() < 1
    np.testing.assert_array_equal(found.spikes["second"], expected.spikes["second"])
    np.testing.assert_array_equal(found.output, expected.output)


def test_weights_beside_the_model_stay_there() -> None:
    graph = convolved(CONVOLUTIONS["in blocks"])
    x = (np.random.default_rng(3).random((STEPS, SAMPLES, *graph.shapes["in"])) < 0.3).astype(np.float32)
    executable = OnnxExecutable(graph, OnnxOptions(inline_bytes=1 << 12))
    assert "SpikingConv" not in executable.placement()["CPUExecutionProvider"]
    np.testing.assert_array_equal(
        executable.run(x).output, OnnxExecutable(graph, OnnxOptions()).run(x).output
    )


# Channels, pixels, block.
LAYOUTS = [(10, 1, 1), (1100, 1, 1), (8, 700, 8), (24, 35, 8), (16, 1, 8), (32, 64, 16), (48, 35, 16)]


@pytest.mark.parametrize("rows", [(1, 1), (5, 3), (51, 5), (256, 1), (30, 20)])
def test_totals_of_bits_in_any_layout(rows: tuple[int, int]) -> None:
    rng = np.random.default_rng(rows)
    spikes = [rng.random((*rows, c * n)) < rng.random(c * n) for c, n, _ in LAYOUTS]
    names = [f"bits{i}" for i in range(len(LAYOUTS))]
    counted = [
        Counted(name, name, (c, n), c, block) for name, (c, n, block) in zip(names, LAYOUTS, strict=True)
    ]
    node, table = total_node(counted, names)
    inputs = [helper.make_tensor_value_info(name, UINT8, ["T", "B", None]) for name in names]
    outputs = [helper.make_tensor_value_info(COUNTS, UINT8, ["parts", "neurons"])]
    graph = helper.make_graph([node], "total", inputs, outputs, [table])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN_DOMAIN, 1)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
    session = open_session(model, "cpu", library=library())
    bits = [np.packbits(found, axis=-1, bitorder="little") for found in spikes]
    parts = session.arrays(dict(zip(names, bits, strict=True)))[COUNTS]
    assert parts.shape == (-(-rows[0] * rows[1] // 255), sum(c * n for c, n, _ in LAYOUTS))
    expected = [
        found.sum((0, 1)).reshape(c // block, n, block).swapaxes(1, 2).ravel()
        for found, (c, n, block) in zip(spikes, LAYOUTS, strict=True)
    ]
    np.testing.assert_array_equal(summed(parts), np.concatenate(expected))


def test_sums_take_the_smallest_type_that_holds_them() -> None:
    full = np.full(3, 255, np.uint8)
    for parts, kind in ((1, np.uint8), (2, np.uint16), (257, np.uint16), (258, np.uint32)):
        total = summed([full] * parts)
        assert (total.dtype, total[0]) == (kind, 255 * parts)
    assert summed([summed([full] * 300)] * 2)[0] == 2 * 300 * 255


def test_counts_wait_for_who_reads_them() -> None:
    graph, x = network(MODELS["LIF"]), np.ones((300, 2, 6), np.float32)
    found = OnnxExecutable(graph, OnnxOptions())
    run, unread = found.run(x), found.run(x)
    counts = run.spike_counts
    assert type(counts) is dict
    assert counts["cells"].dtype == counts["in"].dtype == np.int64
    assert (counts["in"] == 600).all()
    assert counts["cells"].max() > 255
    np.testing.assert_array_equal(counts["cells"], run.output.sum((0, 1)))
    counts["cells"][0] = -1
    assert run.spike_counts["cells"][0] == -1
    copies = (pickle.loads(pickle.dumps(unread)), deepcopy(unread), replace(unread, seconds=0.0))
    for copied in (unread, *copies):
        np.testing.assert_array_equal(copied.spike_counts["cells"], run.output.sum((0, 1)))
    with pytest.raises(AttributeError, match="none"):
        run.none  # noqa: B018


def test_two_threads_read_the_same_counts() -> None:
    found, x = OnnxExecutable(network(MODELS["LIF"]), OnnxOptions()), given()
    for _ in range(50):
        run = found.run(x)
        with ThreadPoolExecutor(2) as threads:
            one, other = threads.map(lambda run: run.spike_counts, [run, run])
        assert one is other is run.spike_counts


def test_sessions_are_forgotten() -> None:
    graph, x = network(MODELS["LIF"]), given()
    found = OnnxExecutable(graph, OnnxOptions())
    for samples in range(1, 4):
        for record in ((), ("cells",), ("in",), ("w",), ("in", "w")):
            run = found.run(x[:, :samples], record)
            assert set(run.spikes) == set(record)
    assert len(found._sessions) == executable._SESSIONS


@pytest.mark.parametrize("kernels", ["c", "torch"])
def test_counts_that_float32_does_not_hold(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of counts that are sums in float32, and of no others."""
    monkeypatch.setenv("MSENAS_KERNELS", kernels)
    monkeypatch.setattr(executable, "EXACT_COUNT", 100)
    graph = network(MODELS["IF, threshold below zero"])
    x = np.ones((60, 4, 6), np.float32)
    # No more than a sample at a time.
    run = OnnxExecutable(graph, OnnxOptions()).run(x)
    assert (run.spike_counts["cells"] == run.output.sum((0, 1))).all()
    assert (run.spike_counts["in"] == 240).all()
    longer = np.ones((101, 1, 6), np.float32)
    if kernels == "torch":
        with pytest.raises(DataError, match="found 101 steps, allowed 100"):
            OnnxExecutable(graph, OnnxOptions()).run(longer)
    else:
        assert (OnnxExecutable(graph, OnnxOptions()).run(longer).spike_counts["in"] == 101).all()


def test_many_spikes_a_step_that_float32_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, "EXACT_COUNT", 100)
    graph = network(MODELS["IF"])
    graph = graph.replace(profile=replace(graph.profile, spikes_per_step="many"))
    x = np.full((20, 1, 6), 9, np.float32)
    with pytest.raises(DataError, match="node 'cells': a neuron spikes"):
        OnnxExecutable(graph, OnnxOptions()).run(x)
    # A step at a time, each call counts few.
    run = OnnxExecutable(graph, OnnxOptions(form="gpu", steps=1, batch=1)).run(x)
    assert run.spike_counts["cells"].max() > 100
    np.testing.assert_array_equal(run.spike_counts["cells"], run.output.sum((0, 1)))


def test_counts_of_many_blocks_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, "_BLOCK_BYTES", 1)
    graph, x = network(MODELS["IF"]), given(300)
    run = OnnxExecutable(graph, OnnxOptions()).run(x)
    np.testing.assert_array_equal(run.spike_counts["cells"], run.output.sum((0, 1)))
    np.testing.assert_array_equal(run.spike_counts["in"], np.count_nonzero(x, (0, 1)))


@pytest.mark.parametrize("shape", [(32, 8, 16), (16, 5, 7), (48, 16, 16), (24, 3, 3), (7, 4, 4), (16, 1, 1)])
@pytest.mark.parametrize("samples", [1, 30])
def test_counts_of_many_shapes(shape: tuple[int, int, int], samples: int) -> None:
    rng = np.random.default_rng(shape)
    cells = np.ones(shape)
    nodes: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([2, *shape[1:]])),
        "conv": nir.Conv2d(shape[1:], rng.normal(size=(shape[0], 2, 3, 3)), 1, 1, 1, 1, np.zeros(shape[0])),
        "cells": nir.LIF(cells * 4 * DT, cells * 4, cells * 0, cells, cells * 0),
        "out": nir.Output(np.array(shape)),
    }
    graph = SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": DT})
    x = (rng.random((STEPS, samples, 2, *shape[1:])) < 0.5).astype(np.float32)
    run = OnnxExecutable(graph, OnnxOptions()).run(x)
    assert run.output.any()
    np.testing.assert_array_equal(run.spike_counts["cells"], run.output.sum(axis=(0, 1)))
