"""Convolutions in blocks of channels: equal, to the last bit, to the file in plain onnxruntime."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import nir
import numpy as np
import onnxruntime
import pytest

import targets
from targets.graph.graph import SpikingGraph
from targets.onnx import blocked as layout
from targets.onnx import compiler
from targets.onnx.blocked import block_size, blocked, complete
from targets.onnx.body import NCHWC, Body
from targets.onnx.executable import OnnxExecutable
from targets.onnx.float_form import float_body
from targets.onnx.options import OnnxOptions
from targets.onnx.scan import scan_model

DT = 2.0**-10
STEPS = 7


def lif(*shape: int, even: bool = True) -> nir.LIF:
    ones = np.ones(shape)
    threshold = ones if even else 0.5 + np.arange(ones.size).reshape(shape) % 8 / 8
    return nir.LIF(tau=ones * 4 * DT, r=ones * 4, v_leak=ones * 0, v_threshold=threshold, v_reset=ones * 0)


def conv(out: int, into: int, size: int, stride: int = 1, groups: int = 1) -> nir.Conv2d:
    rng = np.random.default_rng([out, into, size])
    weight = rng.integers(-64, 129, (out, into // groups, 3, 3)) / 256
    return nir.Conv2d((size, size), weight, stride, 1, 1, groups, rng.integers(-32, 64, out) / 256)


def dense(out: int, into: int) -> nir.Affine:
    rng = np.random.default_rng([out, into])
    return nir.Affine(rng.integers(-96, 129, (out, into)) / 1024, rng.integers(0, 64, out) / 256)


def port(*shape: int) -> np.ndarray:
    return np.array(shape)


def path(*names: str, **nodes: nir.NIRNode) -> SpikingGraph:
    """A graph with the edges of the paths in `names`, each "a b c"."""
    edges = [edge for part in names for edge in itertools.pairwise(part.split())]
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def chain() -> SpikingGraph:
    """Two convolutions and a dense layer."""
    return path(
        "x one a two b flat fc c y",
        x=nir.Input(port(2, 6, 6)),
        one=conv(16, 2, 6),
        a=lif(16, 6, 6),
        two=conv(32, 16, 6, stride=2),
        b=lif(32, 3, 3, even=False),
        flat=nir.Flatten({"input": port(32, 3, 3)}, 0, -1),
        fc=dense(5, 288),
        c=lif(5),
        y=nir.Output(port(5)),
    )


def looped() -> SpikingGraph:
    """Feedback, a skip past a convolution, a delayed skip, and an Output in space."""
    return path(
        "x one a two b y",
        "a b back wait a",
        "one later b",
        x=nir.Input(port(2, 6, 6)),
        one=conv(16, 2, 6),
        a=nir.IF(r=np.ones((16, 6, 6)) / DT, v_threshold=np.ones((16, 6, 6)), v_reset=np.zeros((16, 6, 6))),
        two=conv(16, 16, 6, groups=16),
        b=lif(16, 6, 6),
        back=conv(16, 16, 6),
        wait=nir.Delay(np.full((16, 6, 6), 2 * DT)),
        later=nir.Delay(np.full((16, 6, 6), DT)),
        y=nir.Output(port(16, 6, 6)),
    )


def mixed() -> SpikingGraph:
    """Channels that fill no block, groups, pooling, uneven scales, a threshold before a dense layer."""
    return path(
        "x pool thin a wide gain b grouped c halve step flat fc d y",
        "a b",
        x=nir.Input(port(2, 12, 12)),
        pool=nir.SumPool2d(port(2, 2), port(2, 2), port(0, 0)),
        thin=conv(32, 2, 6),
        a=lif(32, 6, 6),
        wide=nir.Conv2d((6, 6), np.eye(32)[:, :, None, None], 1, 0, 1, 1, np.zeros(32)),
        b=lif(32, 6, 6),
        grouped=conv(12, 32, 6, groups=2),
        gain=nir.Scale(1 + np.arange(32.0 * 36).reshape(32, 6, 6) % 16 / 16),
        c=lif(12, 6, 6),
        halve=nir.AvgPool2d(port(2, 2), port(2, 2), port(0, 0)),
        step=nir.Threshold(np.full((12, 3, 3), 0.25)),
        flat=nir.Flatten({"input": port(12, 3, 3)}, 0, -1),
        fc=dense(5, 108),
        d=lif(5),
        y=nir.Output(port(5)),
    )


def thresholds() -> SpikingGraph:
    """Groups that fill blocks, and a threshold without a state that only the dense layer reads."""
    return path(
        "x one a two step flat fc b y",
        x=nir.Input(port(32, 4, 4)),
        one=conv(64, 32, 4, groups=2),
        a=lif(64, 4, 4),
        two=conv(16, 64, 4),
        step=nir.Threshold(np.full((16, 4, 4), 0.25)),
        flat=nir.Flatten({"input": port(16, 4, 4)}, 0, -1),
        fc=dense(5, 256),
        b=lif(5),
        y=nir.Output(port(5)),
    )


GRAPHS = [chain, looped, mixed, thresholds]


def events(graph: SpikingGraph, samples: int) -> np.ndarray:
    shape = graph.shapes[graph.inputs[0]]
    return (np.random.default_rng(samples).random((STEPS, samples, *shape)) < 0.3).astype(np.float32)


def plain(graph: SpikingGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every output of the portable model, all nodes recorded, in onnxruntime as it comes."""
    model = scan_model(float_body(graph, list(graph.nodes), states=True), {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {graph.inputs[0]: x}), strict=True))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("make", GRAPHS)
def test_equal_to_the_file_in_plain_onnxruntime(make: Callable[[], SpikingGraph], samples: int) -> None:
    graph = make()
    x = events(graph, samples)
    expected, names = plain(graph, x), list(graph.nodes)
    executable = targets.compile(graph, "onnx")
    for record, states in (((), False), (names, True)):
        run = executable.run(x, record, states=states)
        assert all(np.array_equal(run.outputs[n], expected[n]) for n in graph.outputs)
        for name, counts in run.spike_counts.items():
            assert counts.any(), name
            assert np.array_equal(counts, expected[f"{name}/count"]), name
        assert all(np.array_equal(run.spikes[n], expected[f"{n}/spikes"]) for n in record)
        for name, found in run.states.items():
            assert all(np.array_equal(v, expected[f"{name}/{key}"]) for key, v in found.items()), name


@pytest.mark.parametrize("make", GRAPHS)
def test_equal_to_the_reference(make: Callable[[], SpikingGraph]) -> None:
    graph = make()
    x = events(graph, 4)
    run, reference = (targets.compile(graph, t).run(x, graph.populations) for t in ("onnx", "reference"))
    for name in graph.populations:
        assert np.array_equal(run.spikes[name], reference.spikes[name]), name
        assert np.array_equal(run.spike_counts[name], reference.spike_counts[name]), name


def test_a_core_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain()
    x = events(graph, 3)
    there = targets.compile(graph, "onnx").run(x)
    monkeypatch.setattr(compiler, "block_size", lambda: 1)
    here = targets.compile(graph, "onnx").run(x)
    assert all(np.array_equal(here.spike_counts[n], counts) for n, counts in there.spike_counts.items())


def test_an_onnxruntime_without_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "NCHWC", "com.example.none")
    assert block_size.__wrapped__() == 1


def test_the_file_holds_no_blocks() -> None:
    model = OnnxExecutable(chain(), OnnxOptions()).model
    assert NCHWC not in {opset.domain for opset in model.opset_import}


def moves(body: Body) -> list[str]:
    return [node.op_type for node in body.nodes if node.op_type.startswith("Reorder")]


def test_nothing_is_reordered_between_two_steps() -> None:
    if block_size() == 1:
        pytest.skip("this onnxruntime has no blocks")
    body = blocked(float_body(chain()), block_size())
    assert complete(body)
    assert moves(body) == ["ReorderOutput"]
    (scan,) = (node for node in scan_model(body, {}, folded=True).graph.node if node.name == "/time")
    assert not {node.op_type for node in scan.attribute[0].g.node} & {"ReorderInput", "ReorderOutput"}


def test_what_fills_no_block_is_left_to_onnxruntime() -> None:
    if block_size() == 1:
        pytest.skip("this onnxruntime has no blocks")
    body = blocked(float_body(mixed()), block_size())
    assert not complete(body)
    plainly = {node.name for node in body.nodes if node.op_type == "Conv" and node.domain != NCHWC}
    assert plainly == {"pool", "grouped", "halve/total"}
