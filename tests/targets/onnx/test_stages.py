"""Dense layers outside the Scan: equal to everything inside it, and only where no loop holds them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import nir
import numpy as np
import pytest

import targets
from targets.graph.graph import SpikingGraph
from targets.onnx.float_form import float_body
from targets.onnx.scan import scan_model
from targets.onnx.stages import folded_bytes, stages

DT = 2.0**-10
STEPS, SAMPLES = 9, 5


def lif(*shape: int) -> nir.LIF:
    ones = np.ones(shape)
    return nir.LIF(tau=ones * 4 * DT, r=ones * 4, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(-96, 129, shape) / 128


def path(*names: str, **nodes: nir.NIRNode) -> SpikingGraph:
    """A graph with the edges of the paths in `names`, each "a b c"."""
    edges = [edge for part in names for edge in itertools.pairwise(part.split())]
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def port(*shape: int) -> np.ndarray:
    return np.array(shape)


def perceptron() -> SpikingGraph:
    """Three dense layers and a skip around the second."""
    return path(
        "x one a two b three c y",
        "a b",
        x=nir.Input(port(7)),
        one=nir.Affine(weights(6, 7), weights(6)),
        a=lif(6),
        two=nir.Linear(weights(6, 6)),
        b=lif(6),
        three=nir.Affine(weights(4, 6), weights(4)),
        c=lif(4),
        y=nir.Output(port(4)),
    )


def looped() -> SpikingGraph:
    """A convolution, a dense readout with a recurrent dense layer, and a stateless end."""
    return path(
        "x conv a flat fc b last step y",
        "b back wait b",
        x=nir.Input(port(2, 5, 5)),
        conv=nir.Conv2d((5, 5), weights(3, 2, 3, 3), 2, 1, 1, 1, weights(3)),
        a=lif(3, 3, 3),
        flat=nir.Flatten({"input": port(3, 3, 3)}, 0, -1),
        fc=nir.Affine(weights(6, 27), weights(6)),
        b=lif(6),
        back=nir.Affine(weights(6, 6), weights(6)),
        wait=nir.Delay(np.full(6, DT)),
        last=nir.Affine(weights(4, 6), weights(4)),
        step=nir.Threshold(np.full(4, 0.5)),
        y=nir.Output(port(4)),
    )


def delayed() -> SpikingGraph:
    """A delay line from the first population to the second, past the dense layer between them."""
    return path(
        "x one a two b y",
        "a wait b",
        x=nir.Input(port(7)),
        one=nir.Affine(weights(6, 7), weights(6)),
        a=lif(6),
        two=nir.Linear(weights(6, 6)),
        wait=nir.Delay(np.full(6, 2 * DT)),
        b=lif(6),
        y=nir.Output(port(6)),
    )


def undriven() -> SpikingGraph:
    """A loop that only its bias drives, beside a dense layer."""
    return path(
        "x one y",
        "b back wait b z",
        x=nir.Input(port(7)),
        one=nir.Affine(weights(6, 7), weights(6)),
        b=lif(6),
        back=nir.Affine(weights(6, 6), weights(6) + 0.75),
        wait=nir.Delay(np.full(6, DT)),
        y=nir.Output(port(6)),
        z=nir.Output(port(6)),
    )


def waiting() -> SpikingGraph:
    """A delay behind the bias of a dense layer."""
    return path(
        "x one wait a y",
        x=nir.Input(port(7)),
        one=nir.Affine(weights(6, 7), weights(6)),
        wait=nir.Delay(np.full(6, DT)),
        a=lif(6),
        y=nir.Output(port(6)),
    )


def events(graph: SpikingGraph) -> np.ndarray:
    shape = graph.shapes[graph.inputs[0]]
    return (np.random.default_rng(1).random((STEPS, SAMPLES, *shape)) < 0.4).astype(np.float32)


@pytest.mark.parametrize("precision", ["float32", "tf32x2", "float16"])
@pytest.mark.parametrize("make", [perceptron, looped, delayed, undriven, waiting])
def test_folded_equals_one_scan(
    make: Callable[[], SpikingGraph], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = make()
    x, names = events(graph), [n for n in graph.nodes if n != "step"]
    folded = targets.compile(graph, "onnx", precision=precision).run(x, names, states=True)
    monkeypatch.setattr("targets.onnx.executable._FOLDED_BYTES", 0)
    whole = targets.compile(graph, "onnx", precision=precision).run(x, names, states=True)
    assert all(output.any() for output in folded.outputs.values())
    for name, value in [*whole.spikes.items(), *whole.outputs.items()]:
        assert np.array_equal(folded.spikes.get(name, folded.outputs.get(name)), value), name
    for name, counts in whole.spike_counts.items():
        assert np.array_equal(folded.spike_counts[name], counts), name
    for name, own in whole.states.items():
        for key, value in own.items():
            assert np.array_equal(folded.states[name][key], value), (name, key)


def outside(graph: SpikingGraph) -> list[str]:
    """Operators of the main graph that compute something, in their order."""
    nodes = scan_model(float_body(graph), {}, folded=True).graph.node
    return [node.op_type for node in nodes if node.op_type in ("Conv", "MatMul", "Greater", "Scan")]


def test_what_is_folded() -> None:
    assert outside(perceptron()) == ["MatMul", "Scan", "MatMul", "Scan", "MatMul", "Scan"]
    # The layer inside the loop stays there, and the convolution.
    assert outside(looped()) == ["Scan", "MatMul", "Scan", "MatMul", "Greater"]
    assert outside(waiting()) == ["MatMul", "Scan"]


def test_a_delay_line_across_stages_leaves_one_scan() -> None:
    assert [part.folded for part in stages(float_body(delayed()))] == [False]
    assert outside(delayed()) == ["Scan"]


def test_what_is_kept_for_all_steps() -> None:
    assert folded_bytes(perceptron()) == 4 * (7 + 6 + 6 + 6 + 6 + 4)
    assert folded_bytes(looped()) == 4 * (27 + 6 + 6 + 4)


def test_long_runs_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = perceptron()
    executable = targets.compile(graph, "onnx")
    monkeypatch.setattr("targets.onnx.executable._FOLDED_BYTES", folded_bytes(graph) * STEPS * SAMPLES)
    x = events(graph)
    executable.run(x)
    assert len(executable._sessions) == 1
    longer = executable.run(np.concatenate([x, x]))
    assert len(executable._sessions) == 2
    assert np.array_equal(longer.output[:STEPS], executable.run(x).output)
