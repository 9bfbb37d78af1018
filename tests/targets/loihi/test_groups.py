"""Neurons of several decays in one population: several hardware populations, and results of the one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph, TargetUnavailableError
from targets.lava.environment import interpreter
from targets.loihi.program import hardware_populations
from targets.loihi.storage import save_program

TAU = np.array([2e-3, 8e-3, 2e-3, 2e-3, 8e-3])
SYNAPSE = np.array([3e-3, 3e-3, 2e-3, 3e-3, 2e-3])


def neurons(kind: str, at: np.ndarray) -> nir.NIRNode:
    """The neurons `at` of a population of five."""
    one, tau = np.ones(len(at)), TAU[at]
    rest = {"r": one, "v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one}
    if kind == "lif":
        return nir.LIF(tau=tau, **rest)
    return nir.CubaLIF(tau_syn=SYNAPSE[at], tau_mem=tau, w_in=one, **rest)


def mixed(kind: str) -> SpikingGraph:
    """4 inputs - 5 neurons of several decays - 3 neurons."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(5, 4)) * 3, rng.normal(size=(3, 5)) * 2
    nodes = {
        "in": nir.Input(np.array([4])),
        "w": nir.Affine(first, np.linspace(0.1, 0.5, 5)),
        "n": neurons(kind, np.arange(5)),
        "v": nir.Linear(second),
        "m": nir.IF(np.full(3, 1e3), np.ones(3), np.zeros(3)),
        "out": nir.Output(np.array([3])),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def grouped(whole: SpikingGraph, kind: str, groups: list[np.ndarray]) -> SpikingGraph:
    """The same network with a population for each group."""
    into, out = whole.nodes["w"], whole.nodes["v"]
    nodes = {name: whole.nodes[name] for name in ("in", "m", "out")}
    edges = [("m", "out")]
    for i, at in enumerate(groups):
        nodes |= {
            f"w{i}": nir.Affine(into.weight[at], into.bias[at]),
            f"n{i}": neurons(kind, at),
            f"v{i}": nir.Linear(out.weight[:, at]),
        }
        edges += [("in", f"w{i}"), (f"w{i}", f"n{i}"), (f"n{i}", f"v{i}"), (f"v{i}", "m")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


@pytest.mark.parametrize(
    ("kind", "expected"), [("lif", [[0, 2, 3], [1, 4]]), ("cuba", [[0, 3], [1], [2], [4]])]
)
def test_groups_are_those_of_equal_fields(kind: str, expected: list[list[int]]) -> None:
    program = targets.compile(mixed(kind), "loihi").program
    assert [found.tolist() for found in hardware_populations(program.populations[0])] == expected
    assert [len(hardware_populations(p)) for p in program.populations[1:]] == [1]
    decays = [row for row in program.table if row.node == "n" and row.parameter.startswith("decay,")]
    assert [row.count for row in decays] == [len(group) for group in expected]
    assert [round(1 - 1e-3 / TAU[group[0]], 6) for group in expected] == [round(r.value, 6) for r in decays]


@pytest.mark.parametrize("kind", ["lif", "cuba"])
def test_the_population_equals_its_groups_in_float_and_keeps_its_shape_in_fixed(kind: str) -> None:
    """In floating point a population a group is the same network: the float targets say what is wanted."""
    whole = mixed(kind)
    program = targets.compile(whole, "loihi").program
    groups = hardware_populations(program.populations[0])
    x = (np.random.default_rng(2).random((40, 3, 4)) < 0.4).astype(np.float32)
    runs = {
        "float": targets.compile(grouped(whole, kind, groups), "reference").run(x, record=["m"]),
        "fixed": targets.compile(whole, "loihi").run(x, record=["n", "m"], states=True),
        "torch": targets.compile(whole, "loihi", kernels="torch").run(x, record=["n", "m"], states=True),
    }
    fixed = runs["fixed"]
    assert fixed.spikes["n"].shape == (40, 3, 5)
    assert fixed.spike_counts["n"].shape == (5,)
    assert (fixed.spike_counts["n"] > 0).sum() >= 3
    for key in "uv":
        np.testing.assert_array_equal(fixed.states["n"][key], runs["torch"].states["n"][key])
    counted = np.concatenate([runs["float"].spike_counts[f"n{i}"] for i in range(len(groups))])
    wanted = np.empty(5)
    wanted[np.concatenate(groups)] = counted
    # Eight bits move a spike now and then.
    assert np.abs(fixed.spike_counts["n"] - wanted).max() <= 6


def test_lava_runs_the_groups_and_agrees(tmp_path: Path) -> None:
    try:
        interpreter()
    except TargetUnavailableError:
        pytest.skip("no Lava environment")
    whole = mixed("cuba")
    x = (np.random.default_rng(3).random((12, 2, 4)) < 0.4).astype(np.float32)
    save_program(targets.compile(whole, "loihi").program, tmp_path / "p.npz")
    program = targets.load_program(tmp_path / "p.npz")
    found = targets.verify(program.graph, x, ["loihi", "lava"], program=program)
    (pair,) = found.pairs
    assert (pair.differing, pair.states_differing, pair.compared) == (0, 0, 12 * 2 * 8)


def test_netx_refuses_groups() -> None:
    from targets.loihi.netx import netx_program

    with pytest.raises(
        targets.UnsupportedNodeError, match="'n': its neurons fall into 2 groups of equal decays"
    ):
        netx_program(mixed("lif"))
