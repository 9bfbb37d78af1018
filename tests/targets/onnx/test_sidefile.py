"""Weights beside the model: what one protobuf message cannot hold. The limit is lowered to show it."""

from __future__ import annotations

import errno
import time
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import onnx
import onnxruntime
import pytest

import targets
from targets.errors import ConfigError, GraphError
from targets.graph.graph import SpikingGraph
from targets.onnx.importer import load_graph

KEPT = 40_000


def network(layers: int, width: int = 64, seed: int = 0) -> SpikingGraph:
    rng = np.random.default_rng(seed)
    ones = np.ones(width, np.float32)
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input({"input": np.array([width])})}
    for i in range(layers):
        nodes[f"w{i}"] = nir.Affine(
            (rng.integers(-64, 129, (width, width)) / 256).astype(np.float32), np.zeros(width, np.float32)
        )
        nodes[f"n{i}"] = nir.IF(r=ones * 1024, v_threshold=ones, v_reset=ones * 0)
    nodes["out"] = nir.Output({"output": np.array([width])})
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 2.0**-10})


def spikes(graph: SpikingGraph, steps: int = 6, samples: int = 2) -> np.ndarray:
    shape = graph.shapes[graph.inputs[0]]
    return (np.random.default_rng(1).random((steps, samples, *shape)) < 0.3).astype(np.float32)


def weights_beside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*.weights"))


@pytest.mark.parametrize(
    "options",
    [{}, {"form": "gpu", "steps": 3, "batch": 2}, {"arithmetic": "fixed"}, {"precision": "bfloat16"}],
)
def test_equal_to_one_file(tmp_path: Path, options: dict[str, object]) -> None:
    graph = network(4)
    x = spikes(graph)
    whole = targets.compile(graph, "onnx", **options).run(x)
    executable = targets.compile(graph, "onnx", inline_bytes=0, **options)
    run = executable.run(x)
    assert whole.output.any()
    assert np.array_equal(run.output, whole.output)
    path = tmp_path / "model.onnx"
    executable.save(path)
    (beside,) = weights_beside(path)
    assert beside.stat().st_size > 4 * 64 * 64
    assert path.stat().st_size < 2 * KEPT
    onnx.checker.check_model(path, full_check=True)
    if "form" not in options:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert np.array_equal(session.run(["out"], {"in": x})[0], whole.output)
    found = load_graph(path)
    assert list(found.nodes) == list(graph.nodes)
    for name in ("w0", "w3"):
        assert np.array_equal(found.nodes[name].weight, executable.graph.nodes[name].weight)


def test_the_limit_splits_the_weights() -> None:
    """What fits stays in the model, the rest goes beside it."""
    executable = targets.compile(network(4), "onnx", inline_bytes=KEPT)
    (scan,) = [node for node in executable.model.graph.node if node.op_type == "Scan"]
    (body,) = [attribute.g for attribute in scan.attribute if attribute.name == "body"]
    inside = [t.name for t in body.initializer if len(t.raw_data) > 1024]
    outside = [t.name for t in body.initializer if t.external_data]
    assert inside == ["w0/weight", "w1/weight"]
    assert outside == ["w2/weight", "w3/weight"]


def test_a_replaced_model_takes_its_weights_along(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    found = []
    for seed in (0, 1):
        targets.compile(network(2, seed=seed), "onnx", inline_bytes=0).save(path)
        found += [p.name for p in weights_beside(path)]
    assert len(set(found)) == 2
    assert len(weights_beside(path)) == 1
    targets.compile(network(2), "onnx").save(path)
    assert not weights_beside(path)


def test_lost_or_cut_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    targets.compile(network(2), "onnx", inline_bytes=0).save(path)
    (beside,) = weights_beside(path)
    content = beside.read_bytes()
    for change in (lambda: beside.write_bytes(content[:5000]), beside.unlink):
        change()
        with pytest.raises(GraphError, match=r"model\.onnx: .*weight"):
            load_graph(path)


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = folder / "model.onnx"
    targets.compile(network(2), "onnx", inline_bytes=0).save(path)
    (beside,) = weights_beside(path)
    beside.rename(tmp_path / "secret")
    path.write_bytes(
        path.read_bytes().replace(beside.name.encode(), b"../secret".ljust(len(beside.name), b"/"))
    )
    with pytest.raises(GraphError, match=r"model\.onnx"):
        load_graph(path)


def test_a_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    # It takes nothing, as a full disk does.
    (folder / "weights").symlink_to("/dev/full")
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(folder))
    with pytest.raises(OSError, match="TMPDIR chooses") as caught:
        targets.compile(network(2), "onnx", inline_bytes=0)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(folder / "weights")


def test_a_temporary_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="TMPDIR chooses") as caught:
        targets.compile(network(2), "onnx", inline_bytes=0)
    assert Path(caught.value.filename).parent == tmp_path / "gone"


def test_a_hundred_layers_compile_in_seconds() -> None:
    graph = network(100, 32)
    started = time.process_time()
    executable = targets.compile(graph, "onnx")
    assert time.process_time() - started < 5
    x = spikes(graph, 3, 1)
    assert np.array_equal(executable.run(x).output, targets.compile(graph, "reference").run(x).output)


def test_weights_lie_beside_the_model_that_a_link_points_to(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    link, real = tmp_path / "a" / "net.onnx", tmp_path / "b" / "real.onnx"
    link.symlink_to(real)
    for seed in (1, 2):
        executable = targets.compile(network(2, seed=seed), "onnx", inline_bytes=0)
        executable.save(link)
        assert link.is_symlink()
        assert [path.name for path in link.parent.iterdir()] == ["net.onnx"]
        assert len(list(real.parent.iterdir())) == 2
        onnxruntime.InferenceSession(real)
        for path in (link, real):
            assert np.array_equal(load_graph(path).nodes["w0"].weight, executable.graph.nodes["w0"].weight)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "net.onnx"
    link.symlink_to(link)
    with pytest.raises(ConfigError, match="is a link to itself"):
        targets.compile(network(2), "onnx", inline_bytes=0).save(link)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
