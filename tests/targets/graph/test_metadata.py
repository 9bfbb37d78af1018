"""Notes in a file are kept through load and save, never interpreted, and bounded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

import targets
from targets import AssumptionWarning, SpikingGraph
from targets.graph import reader

NOTES: dict[str, Any] = {
    "author": "Zoë",
    "epochs": 12,
    "rate": 0.5,
    "frozen": True,
    "labels": ["a", "b"],
    "mean": np.arange(3, dtype=np.float32),
    "code": "__import__('os').system('touch owned')",
    "run": {"seed": 3, "deeper": {"note": "x"}, "empty": {}},
}


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[key], expected[key]) for key in expected)
    return type(found) is type(expected) and bool(np.array_equal(found, expected))


def nested(path: Path) -> Path:
    """A file with notes at its root, a subgraph, a port of the subgraph, and nodes."""
    one = np.ones(3)
    inner = nir.NIRGraph(
        {
            "in": nir.Input({"input": np.array([3])}, metadata={"port": "inner"}),
            "lif": nir.LIF(one, one, one, one, metadata=NOTES),
            "out": nir.Output({"output": np.array([3])}),
        },
        [("in", "lif"), ("lif", "out")],
        metadata={"made": "here", "in.port": "outer"},
        type_check=False,
    )
    ends = {"in": nir.Input({"input": np.array([3])}, metadata=NOTES), "out": nir.Output(np.array([3]))}
    edges = [("in", "sub"), ("sub", "out")]
    whole = nir.NIRGraph({**ends, "sub": inner}, edges, metadata=NOTES, type_check=False)
    nir.write(path, whole, compression=None)
    return path


def read(path: Path) -> SpikingGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)
        return targets.load(path, {"dt": 1e-3})


def test_notes_of_graphs_ports_and_nodes_survive_two_round_trips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = read(nested(tmp_path / "a.nir"))
    assert "metadata 'sub.in.port' stands twice" in " ".join(graph.assumptions)
    expected = {**NOTES, "sub.made": "here", "sub.in.port": "outer"}
    for name in ("b.nir", "c.nir"):
        assert same(graph.metadata, expected)
        assert same(graph.nodes["in"].metadata, NOTES)
        assert same(graph.nodes["sub.lif"].metadata, NOTES)
        targets.save(graph, tmp_path / name)
        graph = read(tmp_path / name)
    assert not (tmp_path / "owned").exists()
    assert same(graph.replace(profile={"dt": 1e-4}).metadata, expected)


def test_nir_reads_the_notes_that_we_write(tmp_path: Path) -> None:
    targets.save(read(nested(tmp_path / "a.nir")), tmp_path / "b.nir")
    found = nir.read(tmp_path / "b.nir")
    assert found.metadata["run"]["deeper"] == {"note": "x"}
    assert found.metadata["sub.made"] == "here"
    assert found.nodes["sub.lif"].metadata["author"] == "Zoë"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("big", np.zeros(2**21 + 1), "more than 16777216 bytes"),
        ("pair", np.zeros(2, [("a", "i4"), ("b", "f4")]), "data of type compound"),
        ("none", h5py.Empty("f4"), "null dataspace"),
        ("metadata", "text", "groups only under this name"),
        ("blob", np.void(b"pickle"), "data of type opaque"),
    ],
)
def test_what_cannot_be_kept_is_left_out_and_said(tmp_path: Path, name: str, value: Any, reason: str) -> None:
    path = nested(tmp_path / "a.nir")
    with h5py.File(path, "r+") as file:
        file[f"node/metadata/{name}"] = value
        file[f"node/nodes/sub/nodes/lif/metadata/{name}"] = value
    graph = read(path)
    said = [text for text in graph.assumptions if "was left out" in text and reason in text]
    where = (f"node 'sub.lif' (LIF): metadata/{name} was", f"metadata/{name} was")
    assert [text.startswith(place) for text, place in zip(said, where, strict=True)] == [True, True]
    assert name not in graph.metadata
    assert same(graph.nodes["sub.lif"].metadata, NOTES)
    targets.save(graph, tmp_path / "b.nir")


def test_all_notes_of_a_file_share_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_NOTES_LIMIT", 200)
    graph = read(nested(tmp_path / "a.nir"))
    assert graph.nodes["in"].metadata["author"] == "Zoë"
    assert "author" not in graph.metadata
    assert "metadata/epochs was left out: more than 200 bytes of metadata" in graph.assumptions


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    path = nested(tmp_path / "a.nir")
    with h5py.File(path, "r+") as file:
        notes = file["node/metadata"]
        notes["run/again"] = notes["run"]
        notes["run/more"] = notes["run"]
    graph = read(path)
    assert sum("the same group stands at two places" in text for text in graph.assumptions) == 2
    assert same(graph.metadata["run"], NOTES["run"])


def test_metadata_that_is_no_group_is_said(tmp_path: Path) -> None:
    path = nested(tmp_path / "a.nir")
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]
        file["node/metadata"] = "text"
    assert "metadata was left out: found a data set, allowed a group" in read(path).assumptions
