"""Miniatures of public graphs, written by hand as their writers do: they run, or are refused by name."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import targets
from targets import AssumptionWarning, GraphError, SpikingGraph

Fields = dict[str, Any]
DT = 1e-4


def put(group: h5py.Group, nodes: dict[str, Fields], edges: list[tuple[str, str]]) -> None:
    """A graph; the key "nodes" makes a node a graph, `(nodes, edges)`."""
    group["type"] = "NIRGraph"
    group.create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())
    for name, fields in nodes.items():
        inner = group.create_group(f"nodes/{name}")
        if "nodes" in fields:
            put(inner, *fields["nodes"])
            continue
        for field, value in fields.items():
            inner[field] = value


def read(
    path: Path, nodes: dict[str, Fields], edges: list[tuple[str, str]], profile: Any = None
) -> SpikingGraph:
    with h5py.File(path, "w") as file:
        file["version"] = "0.2.0"
        put(file.create_group("node"), nodes, edges)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        return targets.load(path, profile or {"dt": DT})


def port(kind: str, *shape: int) -> Fields:
    return {"type": kind, "shape": np.array(shape)}


def lif(count: int, **changes: float) -> Fields:
    values = {"tau": 2.5e-3, "r": 25.0, "v_leak": 0.0, "v_threshold": 1.0, **changes}
    return {"type": "LIF", **{key: np.full(count, value) for key, value in values.items()}}


def cubalif(count: int, **changes: float) -> Fields:
    values = {"tau_syn": 2e-4, "tau_mem": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, **changes}
    return {"type": "CubaLIF", "w_in": 2.0, **{key: np.full(count, v) for key, v in values.items()}}


def spikes(graph: SpikingGraph, x: np.ndarray) -> np.ndarray:
    (found,) = targets.compile(graph, "reference").run(x.astype(np.float32)).outputs.values()
    return found


def test_a_deep_convolutional_net_of_if_neurons(tmp_path: Path) -> None:
    """As Sinabs wrote them: five strided convolutions with IF, no v_reset, no shape but the first."""
    rng, sizes = np.random.default_rng(0), [(2, 34), (4, 17), (4, 9), (4, 5), (4, 3), (10, 1)]
    nodes: dict[str, Fields] = {"input": port("Input", 2, 34, 34)}
    for i, ((before, _), (after, size)) in enumerate(itertools.pairwise(sizes)):
        last = i == 4
        nodes[str(2 * i)] = {
            "type": "Conv2d",
            "weight": rng.normal(size=(after, before, 3, 3)).astype("f4"),
            "bias": np.zeros(after, "f4"),
            "stride": np.array([2, 2]),
            "padding": np.array([0, 0] if last else [1, 1]),
            "dilation": np.array([1, 1]),
            "groups": 1,
        }
        grid = np.ones((after, size, size), "f4")
        nodes[str(2 * i + 1)] = {"type": "IF", "r": grid, "v_threshold": grid}
    nodes["10"] = {"type": "Flatten", "start_dim": 0, "end_dim": -1, "input_type": np.array([10, 1, 1])}
    nodes["output"] = port("Output", 10)
    graph = read(tmp_path / "m.nir", nodes, list(itertools.pairwise(nodes)), "sinabs")
    assert graph.shapes["output"] == (10,)
    assert spikes(graph, rng.random((20, 1, 2, 34, 34)) < 0.2).sum() > 0


@pytest.mark.parametrize("profile", [{"dt": DT}, {"writer": "rockpool", "dt": DT}])
def test_an_output_that_declares_batch_and_time(tmp_path: Path, profile: Any) -> None:
    """As Rockpool writes it: Linear, LIF with the gain in r, and an Output of [1, 1, 1]."""
    nodes = {
        "0_LinearTorch": {"type": "Linear", "weight": np.ones((1, 1))},
        "1_LIFTorch": lif(1, r=24.02, v_threshold=0.1),
        "input": port("Input", 1),
        "output": port("Output", 1, 1, 1),
    }
    edges = [("input", "0_LinearTorch"), ("0_LinearTorch", "1_LIFTorch"), ("1_LIFTorch", "output")]
    graph = read(tmp_path / "m.nir", nodes, edges, profile)
    assert graph.shapes["output"] == (1,)
    said = any("'output' (Output): declares (1, 1, 1), but gets (1,)" in text for text in graph.assumptions)
    assert said == ("writer" not in profile)
    assert spikes(graph, np.ones((20, 1, 1))).sum() > 0


def test_neurons_that_fire_by_their_leak(tmp_path: Path) -> None:
    """v_leak of 1.2 over a threshold of 1: with no input, v_n = 1.2 (1 - (1 - dt / tau)^n)."""
    nodes = {
        "input": port("Input", 1),
        "w0": {"type": "Linear", "weight": np.ones((1, 1))},
        "lif0": lif(1, v_leak=1.2),
        "w1": {"type": "Linear", "weight": np.zeros((1, 1))},
        "lif1": lif(1, v_leak=1.2, tau=5e-3),
        "output": port("Output", 1),
    }
    graph = read(tmp_path / "m.nir", nodes, list(itertools.pairwise(nodes)))
    run = targets.compile(graph, "reference", arithmetic="float64").run(
        np.zeros((200, 1, 1), np.float32), record=["lif0", "lif1"]
    )
    for name, rate in (("lif0", 1 / 25), ("lif1", 1 / 50)):
        period = int(np.ceil(np.log(1 - 1 / 1.2) / np.log(1 - rate)))
        times = np.flatnonzero(run.spikes[name][:, 0, 0]) + 1
        np.testing.assert_array_equal(times, np.arange(period, 201, period))


def test_a_negative_time_constant_is_refused_with_node_and_field(tmp_path: Path) -> None:
    nodes = {
        "input": port("Input", 2),
        "fc1": {"type": "Affine", "weight": np.ones((2, 2)), "bias": np.zeros(2)},
        "lif1.lif": cubalif(2, tau_mem=-0.7),
        "lif1.w_rec": {"type": "Affine", "weight": np.ones((2, 2)), "bias": np.zeros(2)},
        "output": port("Output", 2),
    }
    edges = [("input", "fc1"), ("fc1", "lif1.lif"), ("lif1.lif", "lif1.w_rec"), ("lif1.w_rec", "lif1.lif")]
    with pytest.raises(GraphError, match=r"node 'lif1.lif' \(CubaLIF\): tau_mem is -0.7, allowed > 0"):
        read(tmp_path / "m.nir", nodes, [*edges, ("lif1.lif", "output")])


def test_a_loop_that_no_input_reaches(tmp_path: Path) -> None:
    """As Nengo's example script writes it: LI, decoder and LIF in a circle, the input beside it."""
    nodes = {
        "feedback": {"type": "LI", "tau": np.full(1, 0.1), "r": np.ones(1), "v_leak": np.zeros(1)},
        "encoder": {"type": "Affine", "weight": np.ones((3, 1)), "bias": np.full(3, 2.0)},
        "state": lif(3, tau=0.02, r=1.0),
        "decoder": {"type": "Affine", "weight": np.ones((1, 3)), "bias": np.zeros(1)},
        "input": port("Input", 1),
        "output": port("Output", 1),
    }
    edges = [("feedback", "encoder"), ("encoder", "state"), ("state", "decoder"), ("decoder", "feedback")]
    graph = read(
        tmp_path / "m.nir", nodes, [*edges, ("decoder", "output"), ("input", "output")], {"dt": 1e-3}
    )
    (delay,) = (name for name in graph.nodes if graph.nodes[name].__class__.__name__ == "Delay")
    assert graph.predecessors["feedback"] == (delay,)
    assert spikes(graph, np.zeros((60, 1, 1))).sum() > 0


@pytest.mark.parametrize("names", [("lif", "w_rec"), ("lif1", "lin"), ("rsynaptic", "recurrent")])
def test_a_recurrent_subgraph_equals_the_flat_graph(tmp_path: Path, names: tuple[str, str]) -> None:
    """As snnTorch, Rockpool and Spyx nest them, under the names that each gives."""
    neuron, loop = names
    rng = np.random.default_rng(3)
    weight = {"type": "Affine", "weight": rng.normal(size=(4, 3)), "bias": np.zeros(4)}
    back = {"type": "Linear", "weight": rng.normal(size=(4, 4))}
    inner = {"input": port("Input", 4), neuron: cubalif(4), loop: back, "output": port("Output", 4)}
    inside = [("input", neuron), (neuron, loop), (loop, neuron), (neuron, "output")]
    ends = {"input": port("Input", 3), "output": port("Output", 4), "w": weight}
    nested = read(
        tmp_path / "nested.nir",
        {**ends, "layer": {"nodes": (inner, inside)}},
        [("input", "w"), ("w", "layer"), ("layer", "output")],
    )
    flat = read(
        tmp_path / "flat.nir",
        {**ends, "n": cubalif(4), "back": back},
        [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")],
    )
    assert f"layer.{neuron}" in nested.nodes
    x = rng.random((60, 2, 3)) < 0.5
    found = spikes(nested, x)
    np.testing.assert_array_equal(found, spikes(flat, x))
    assert 0 < found.mean() < 1
