"""What is written is read back whole, by us and by the nir package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import targets
from targets import Profile, SpikingGraph
from targets.graph.fields import node_fields
from targets.graph.kinds import KNOWN
from targets.graph.shapes import flat_axes, per_axis

PAIRS = ("stride", "dilation", "padding", "kernel_size")


def assert_same(a: SpikingGraph, b: SpikingGraph) -> None:
    assert list(a.nodes) == list(b.nodes)
    assert (a.edges, a.profile, a.assumptions) == (b.edges, b.profile, b.assumptions)
    assert a.shapes == b.shapes
    for name, node in a.nodes.items():
        other = b.nodes[name]
        assert type(node) is type(other)
        if isinstance(node, nir.Flatten):  # axes may be counted from either end
            rank = len(a.input_shape(name))
            assert flat_axes(node, rank) == flat_axes(other, rank)
        for field, value in node_fields(node).items():
            found = getattr(other, field)
            if field in ("input_shape", "input_type", "start_dim", "end_dim"):
                continue
            if field in PAIRS and not isinstance(value, str):
                axes = node.weight.ndim - 2 if hasattr(node, "weight") else 2
                value, found = per_axis(value, axes), per_axis(found, axes)
            np.testing.assert_array_equal(found, value, err_msg=f"{name}.{field}")
            assert np.asarray(found).dtype == np.asarray(value).dtype


PROFILES = st.builds(
    Profile,
    dt=st.just(1e-3),
    integrator=st.sampled_from(["euler", "exponential"]),
    reset=st.sampled_from(["to_value", "subtract", "subtract_late"]),
    comparison=st.sampled_from([">", ">="]),
    spikes_per_step=st.sampled_from(["one", "many"]),
    clip=st.sampled_from([None, -0.5, "-threshold", "-threshold of IF"]),
)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), profile=PROFILES)
def test_the_round_trip_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory,
    random_graph: Callable[[int], SpikingGraph],
    seed: int,
    profile: Profile,
) -> None:
    graph = random_graph(seed).replace(profile=profile)
    path = tmp_path_factory.mktemp("files") / "m.nir"
    targets.save(graph, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        once = targets.load(path)
    assert_same(graph, once)
    # Shapes that a file must hold are there after the first trip, so nothing is left to differ.
    targets.save(once, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", targets.AssumptionWarning)
        assert_same(once, targets.load(path))
    assert set(nir.read(path, type_check=False).nodes) == set(graph.nodes)


def test_random_graphs_hold_every_kind_and_form(random_graph: Callable[[int], SpikingGraph]) -> None:
    graphs = [random_graph(seed) for seed in range(120)]
    nodes = [node for graph in graphs for node in graph.nodes.values()]
    assert {type(node) for node in nodes} == set(KNOWN)
    for cls in (nir.Conv1d, nir.Conv2d):
        found = [node for node in nodes if type(node) is cls]
        assert {node.groups > 1 for node in found} == {True, False}
        assert {bool(np.max(node.dilation) > 1) for node in found} == {True, False}
        assert {isinstance(node.padding, str) for node in found} == {True, False}
    assert {bool(graph.cyclic) for graph in graphs} == {True, False}


def test_a_foreign_cycle_keeps_the_delay_that_it_was_given(tmp_path: Path) -> None:
    one = np.ones(2, np.float32)
    nodes = {
        "in": nir.Input(np.array([2])),
        "lif": nir.LIF(one, one, one, one),
        "w": nir.Affine(np.eye(2, dtype="f4"), one),
        "out": nir.Output(np.array([2])),
    }
    edges = [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")]
    nir.write(tmp_path / "foreign.nir", nir.NIRGraph(nodes, edges, type_check=False))
    with pytest.warns(targets.AssumptionWarning):
        first = targets.load(tmp_path / "foreign.nir", {"dt": 1e-3})
    targets.save(first, tmp_path / "m.nir")
    with pytest.warns(targets.AssumptionWarning):
        assert_same(first, targets.load(tmp_path / "m.nir"))
    assert [type(node) for node in first.nodes.values()].count(nir.Delay) == 1


@pytest.mark.parametrize("dtype", ["i1", "i8", "u2", "?", ">f4", "f2"])
def test_numbers_of_any_type_are_written_as_floats_that_torch_holds(tmp_path: Path, dtype: str) -> None:
    """Frameworks keep whole numbers as they are, and torch then refuses them as weights."""
    weight = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    ports = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([3]))}
    graph = SpikingGraph.build({**ports, "n": nir.Linear(weight)}, [("in", "n"), ("n", "out")])
    targets.save(graph, tmp_path / "m.nir")
    found = nir.read(tmp_path / "m.nir").nodes["n"].weight
    assert found.dtype.kind == "f"
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, weight)


def one_of_each() -> dict[str, tuple[tuple[int, ...], nir.NIRNode]]:
    """`{kind: (input shape, node)}` of every kind that is no port."""
    one = np.linspace(0.5, 1, 4).astype("f4")
    line, image = np.ones((3, 2, 3), "f4"), np.ones((3, 2, 3, 3), "f4")
    pool = [np.array([2, 2])] * 2 + [np.array([0, 0])]
    nodes = {
        "Affine": ((4,), nir.Affine(np.ones((2, 4)), np.ones(2))),
        "Linear": ((4,), nir.Linear(np.ones((2, 4)))),
        "Conv1d": ((2, 8), nir.Conv1d(None, line, 2, 1, 1, 1, np.ones(3))),
        "Conv2d": ((2, 8, 8), nir.Conv2d(None, image, 2, 1, 1, 1, np.ones(3))),
        "SumPool2d": ((2, 8, 8), nir.SumPool2d(*pool)),
        "AvgPool2d": ((2, 8, 8), nir.AvgPool2d(*pool)),
        "Flatten": ((2, 8), nir.Flatten({"input": None}, 0, -1)),
        "Scale": ((4,), nir.Scale(one)),
        "Threshold": ((4,), nir.Threshold(one)),
        "Delay": ((4,), nir.Delay(one * 0 + 1e-3)),
        "I": ((4,), nir.I(one)),
        "IF": ((4,), nir.IF(one, one)),
        "LI": ((4,), nir.LI(one, one, one)),
        "LIF": ((4,), nir.LIF(one, one, one, one)),
        "CubaLI": ((4,), nir.CubaLI(one, one, one, one)),
        "CubaLIF": ((4,), nir.CubaLIF(one, one, one, one, one)),
    }
    assert set(nodes) | {"Input", "Output"} == {kind.__name__ for kind in KNOWN}
    return nodes


@pytest.mark.parametrize("kind", sorted(one_of_each()))
def test_nir_reads_every_kind_that_we_write(tmp_path: Path, kind: str) -> None:
    shape, node = one_of_each()[kind]
    nodes = {"in": nir.Input(np.array(shape)), "n": node, "out": nir.Output(np.array([1]))}
    graph = SpikingGraph.build(nodes, [("in", "n"), ("n", "out")], {"dt": 1e-3})
    path = tmp_path / "m.nir"
    targets.save(graph, path)
    read = nir.read(path)
    assert type(read.nodes["n"]) is type(node)
    assert tuple(read.nodes["out"].output_type["output"]) == graph.shapes["out"]
    for field, value in node_fields(node).items():
        if isinstance(node, nir.Flatten):
            assert flat_axes(read.nodes["n"], len(shape)) == flat_axes(node, len(shape))
        elif field != "input_shape":
            found = getattr(read.nodes["n"], field)
            np.testing.assert_array_equal(np.broadcast_to(found, np.shape(value)), value, err_msg=field)


def test_files_are_small_and_plain(tmp_path: Path, random_graph: Callable[[int], SpikingGraph]) -> None:
    path = tmp_path / "m.nir"
    targets.save(random_graph(3), path)
    with h5py.File(path) as file:

        def check(name: str, item: object) -> None:
            assert not isinstance(item, h5py.Dataset) or item.chunks is None

        file.visititems(check)
