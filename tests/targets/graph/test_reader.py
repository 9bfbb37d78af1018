"""What files leave out or write oddly is completed and said; what is wrong is refused by name."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import targets
from targets import AssumptionWarning, GraphError, SpikingGraph

LIF = {"tau": 0.02, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.5}


def write(path: Path, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]], version: str) -> Path:
    """A file made by hand: `{name: {"type": ..., field: value}}`."""
    with h5py.File(path, "w") as file:
        file["version"] = version
        file["node/type"] = "NIRGraph"
        file.create_group("node/nodes")
        file["node"].create_dataset("edges", data=np.array(edges, dtype=object), dtype=h5py.string_dtype())
        for name, fields in nodes.items():
            for field, value in fields.items():
                file[f"node/nodes/{name}/{field}"] = value
    return path


def read(path: Path) -> SpikingGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        return targets.load(path, {"dt": 1e-3})


def chain(path: Path, middle: dict[str, dict[str, Any]], shape: Any = (4,), version: str = "0.1") -> Path:
    names = ["in", *middle, "out"]
    first = {"type": "Input"} if shape is None else {"type": "Input", "shape": np.array(shape)}
    nodes = {"in": first, **middle, "out": {"type": "Output", "shape": np.array([1])}}
    return write(path, nodes, list(itertools.pairwise(names)), version)


def test_one_number_for_all_neurons(tmp_path: Path) -> None:
    weight = {"type": "Linear", "weight": np.ones((5, 4))}
    mixed = {**LIF, "type": "LIF", "r": np.full(5, 2.0)}
    graph = read(chain(tmp_path / "m.nir", {"w": weight, "a": mixed, "b": {**LIF, "type": "LIF"}}))
    for name in ("a", "b"):
        assert graph.shapes[name] == (5,)
        np.testing.assert_array_equal(graph.nodes[name].tau, np.full(5, 0.02))
        np.testing.assert_array_equal(graph.nodes[name].v_reset, np.zeros(5))
    assert any("node 'a' (LIF): tau is one number for all neurons" in said for said in graph.assumptions)
    assert any("node 'b' (LIF): one number for all neurons" in said for said in graph.assumptions)


def test_absent_shape_bias_stride_and_the_old_reset(tmp_path: Path) -> None:
    conv = {"type": "Conv2d", "weight": np.ones((2, 3, 3, 5)), "input_shape": np.array([8, 9])}
    pool = {"type": "SumPool2d", "kernel_size": 2}
    flat = {"type": "Flatten", "start_dim": 0, "end_dim": -1}
    path = chain(tmp_path / "m.nir", {"c": conv, "p": pool, "f": flat, "n": {**LIF, "type": "LIF"}}, None)
    graph = read(path)
    assert graph.shapes["in"] == (3, 8, 9)
    assert graph.shapes["c"] == (2, 6, 5)
    assert graph.shapes["f"] == graph.shapes["n"] == (12,)
    for words in ("'in' (Input): no shape", "'c' (Conv2d): bias is absent", "ambiguous", "declares (1,)"):
        assert any(words in said for said in graph.assumptions), words


def test_a_convolution_that_declares_another_size_is_named(tmp_path: Path) -> None:
    conv = {"type": "Conv1d", "weight": np.ones((2, 3, 3)), "input_shape": 9, "padding": 1}
    graph = read(chain(tmp_path / "m.nir", {"c": conv}, (3, 8)))
    assert graph.shapes["out"] == (2, 8)
    assert any("'c' (Conv1d): declares (9,), but gets (8,)" in said for said in graph.assumptions)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nir")
    for name, message in (("pipe.nir", "no regular file"), (".", "no regular file"), ("gone.nir", "No such")):
        with pytest.raises(GraphError, match=message):
            read(tmp_path / name)


def test_a_self_edge_gets_its_delay(tmp_path: Path) -> None:
    nodes = {
        "in": {"type": "Input", "shape": np.array([2])},
        "n": {**LIF, "type": "LIF"},
        "out": {"type": "Output", "shape": np.array([2])},
    }
    path = write(tmp_path / "m.nir", nodes, [("n", "n"), ("in", "n"), ("n", "out")], "1.0.8")
    graph = read(path)
    assert graph.edges == (("n", "n_delay_n"), ("n_delay_n", "n"), ("in", "n"), ("n", "out"))
    assert graph.delay_steps("n_delay_n") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        bare = targets.load(path)
    assert ("n", "n") in bare.edges
    assert any("once dt is given" in said for said in bare.assumptions)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({**LIF, "type": "LIF", "tau": -0.02}, r"node 'n' \(LIF\): tau is -0.02, allowed > 0"),
        ({**LIF, "type": "LIF", "r": np.nan}, r"node 'n' \(LIF\): r holds 4 NaN or infinite of 4"),
        ({**LIF, "type": "LIF", "r": np.ones(3), "tau": np.ones(4)}, r"node 'n' \(LIF\): .*r \(3,\)"),
        ({"type": "LIF", "tau": 1.0, "r": 1.0, "v_leak": 0.0}, "field 'v_threshold' is missing"),
        ({"type": "Affine", "weight": np.ones(4), "bias": 1.0}, r"'n' \(Affine\): .* found weight \(4,\)"),
        ({"type": "Linear", "weight": np.ones((3, 5))}, r"'n' \(Linear\): input is \(4,\)"),
        ({"type": "Sigmoid"}, "node 'n': kind 'Sigmoid' is not known, allowed Affine"),
        ({"shape": 1}, "node 'n': kind 'None' is not known"),
        ({"type": "Flatten", "start_dim": 0, "end_dim": 3}, r"'n' \(Flatten\): start_dim=0, end_dim=3"),
        ({"type": "Flatten", "start_dim": 0.5, "end_dim": 1}, r"start_dim is \[0.5\], allowed one or two"),
        ({"type": "Delay", "delay": np.full(4, -1.0)}, r"node 'n' \(Delay\): delay is -1.0, allowed >= 0"),
        ({"type": np.array([1, 2])}, "node 'n': kind"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, node: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=rf"m\.nir: .*{message}"):
        read(chain(tmp_path / "m.nir", {"n": node}))


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("in", "n"), ("n", "gone"), ("n", "out")], "edge 'n' -> 'gone': node 'gone' does not exist"),
        ([("in", "n"), ("n", "gone")], "edge 'n' -> 'gone': node 'gone' does not exist"),
        ([("in", "n"), ("in", "n"), ("n", "out")], "edge 'in' -> 'n' stands twice"),
        ([("in", "n")], "node 'out' has no incoming edge"),
        ([], "edges"),
    ],
)
def test_faulty_edges_are_named(tmp_path: Path, edges: list[tuple[str, str]], message: str) -> None:
    nodes = {
        "in": {"type": "Input", "shape": np.array([2])},
        "n": {**LIF, "type": "LIF"},
        "out": {"type": "Output", "shape": np.array([2])},
    }
    with pytest.raises(GraphError, match=message):
        read(write(tmp_path / "m.nir", nodes, edges, "1.0"))


def test_few_bytes_never_become_gigabytes(tmp_path: Path) -> None:
    scalar = {"n": {**LIF, "type": "LIF"}}
    with pytest.raises(GraphError, match=r"node 'n': \(30000, 30000\) from one number"):
        read(chain(tmp_path / "a.nir", scalar, (30000, 30000)))
    # Each is allowed, all together are not.
    many = {f"n{i}": scalar["n"] for i in range(9)}
    with pytest.raises(GraphError, match=r"node 'n\d': \(1000, 1000\) from one number, allowed 268435456"):
        read(chain(tmp_path / "d.nir", many, (1000, 1000)))
    with pytest.raises(GraphError, match=r"node 'in' \(Input\): shape is \(100000, 100000\)"):
        read(
            chain(
                tmp_path / "b.nir", {"f": {"type": "Flatten", "start_dim": 0, "end_dim": -1}}, (10**5, 10**5)
            )
        )
    pad = {"type": "Conv2d", "weight": np.ones((2, 1, 1, 1)), "padding": 2**30}
    with pytest.raises(GraphError, match=r"node 'c' \(Conv2d\): output would be"):
        read(chain(tmp_path / "c.nir", {"c": pad}, (1, 4, 4)))


def test_a_shape_is_whole_numbers(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"node 'in' \(Input\): shape is float64, allowed integers"):
        read(chain(tmp_path / "m.nir", {"n": {**LIF, "type": "LIF"}}, (np.nan, 3.0)))


def test_a_chain_of_thousands_is_linear(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        scales = {f"n{i}": {"type": "Scale", "scale": np.ones(2)} for i in range(count)}
        path = chain(tmp_path / f"{count}.nir", scales, (2,))
        best = np.inf
        for _ in range(3):
            started = time.process_time()
            read(path)
            best = min(best, time.process_time() - started)
        return best

    # Eightfold the nodes: a quadratic reader would need 64 times as long.
    assert seconds(2400) < 24 * seconds(300)


def test_the_real_graphs_load(shared: Path) -> None:
    sizes = {"braille_zero": 8, "feedback_nengo": 8, "scnn_sinabs": 15, "lif_norse": 4}
    for name, nodes in sizes.items():
        graph = read(shared / f"nir/{name}.nir")
        assert len(graph.nodes) == nodes
    with pytest.raises(GraphError, match=r"truncated\.nir: no NIR graph inside"):
        read(shared / "nir/truncated.nir")


def test_a_damaged_file_is_loaded_or_refused_never_more(tmp_path: Path, fuzz: Callable[..., Any]) -> None:
    result = fuzz.run(files=300, seed=7, folder=None)
    assert result["unexpected"] == []
    assert result["loaded"] > 10
    assert result["refused"] > 50
    assert result["slowest_processor_s"] < 2.0


@pytest.fixture
def fuzz() -> Any:
    """The fuzz benchmark as a module."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_nir.py"
    spec = spec_from_file_location("fuzz_nir", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
