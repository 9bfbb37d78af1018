"""Reading and writing .nir files."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import targets
from targets import AssumptionWarning, GraphError, SpikingGraph
from targets.graph.fields import node_fields
from targets.graph.shapes import flat_axes


def assert_same(a: SpikingGraph, b: SpikingGraph) -> None:
    assert list(a.nodes) == list(b.nodes)
    assert (a.edges, a.profile, a.assumptions, dict(a.shapes)) == (
        b.edges,
        b.profile,
        b.assumptions,
        dict(b.shapes),
    )
    for name, node in a.nodes.items():
        assert type(node) is type(b.nodes[name])
        if isinstance(node, nir.Flatten):  # axes may be counted from either end
            rank = len(a.input_shape(name))
            assert flat_axes(node, rank) == flat_axes(b.nodes[name], rank)
        for field, value in node_fields(node).items():
            if field not in ("input_shape", "input_type", "start_dim", "end_dim"):
                np.testing.assert_array_equal(value, getattr(b.nodes[name], field), err_msg=f"{name}.{field}")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), models=st.permutations(["if", "lif", "cubalif"]))
def test_round_trip_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, recurrent_graph: object, seed: int, models: list[str]
) -> None:
    graph = recurrent_graph(seed, tuple(models))
    path = tmp_path_factory.mktemp("files") / "model.nir"
    targets.save(graph, path)
    assert_same(graph, targets.load(path))
    assert [p.name for p in path.parent.iterdir()] == ["model.nir"]


def test_metadata_survives(recurrent_graph: Callable[..., SpikingGraph], tmp_path: Path) -> None:
    graph = recurrent_graph()
    mask = np.eye(3, dtype=np.float32)
    graph.nodes["loop"].metadata = {"sign": "inhibitory", "bias": False, "mask": mask}
    targets.save(graph, tmp_path / "m.nir")
    found = targets.load(tmp_path / "m.nir").nodes["loop"].metadata
    assert found["sign"] == "inhibitory"
    assert not found["bias"]
    np.testing.assert_array_equal(found["mask"], mask)


def test_the_nir_package_reads_what_we_write(tmp_path: Path) -> None:
    one = np.ones(3)
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "w": nir.Affine(np.ones((3, 4)), one),
        "l": nir.LIF(one, one, one * 0, one),
        "output": nir.Output({"output": np.array([3])}),
    }
    graph = SpikingGraph.build(nodes, [("input", "w"), ("w", "l"), ("l", "output")], {"dt": 1e-3})
    targets.save(graph, tmp_path / "m.nir")
    read = nir.read(tmp_path / "m.nir")
    assert set(read.nodes) == set(nodes)
    np.testing.assert_array_equal(read.nodes["w"].bias, one)


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
def test_a_corrupt_file_is_refused(
    recurrent_graph: Callable[..., SpikingGraph], tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "m.nir"
    targets.save(recurrent_graph(), path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"not a file", "cut": whole[: len(whole) // 3]}[damage])
    with pytest.raises(GraphError, match=r"m\.nir"):
        targets.load(path)


def test_a_failed_write_leaves_the_old_file(
    recurrent_graph: Callable[..., SpikingGraph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.nir"
    path.write_bytes(b"old")

    def full(*args: object, **kwargs: object) -> None:
        Path(str(args[0])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", full)
    with pytest.raises(OSError, match="No space"):
        targets.save(recurrent_graph(), path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_foreign_files_state_their_assumptions(shared: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AssumptionWarning)
        graph = targets.load(shared / "nir/braille_zero.nir", profile={"dt": 1e-4})
    assert len(said) == len(graph.assumptions)
    assert any("ambiguous" in str(warning.message) for warning in said)
    assert any("one step was put on that edge" in said for said in graph.assumptions)
    with pytest.raises(GraphError, match="truncated"):
        targets.load(shared / "nir/truncated.nir")


def test_without_dt_nothing_runs(shared: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        graph = targets.load(shared / "nir/lif_norse.nir")
    with pytest.raises(targets.UnsupportedNodeError, match="--profile dt="):
        targets.compile(graph, "reference")
