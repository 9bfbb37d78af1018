"""A network prepared once and run many times, against the same network component by component."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor

import targets
from targets import SpikingGraph
from targets.reference.hooks import Hooks
from targets.reference.kernels.build import kernels
from targets.reference.network import ReferenceNetwork
from targets.reference.plan import Plan
from targets.reference.values import Carry

DT = 1e-3
SIZE = (16, 6, 4)
PATHS = ["in c0 l0 c1 l1 back wait l1", "l0 late l2", "l0 none l2", "wait l2", "l1 c2 l2"]
PATHS += ["l2 pool part flat fc read out", "l1 all wide read"]
pytestmark = pytest.mark.skipif(kernels().library is None, reason="no C kernels here")


class Looking(Hooks):
    """Changes nothing, but the run cannot know."""


def mixed() -> SpikingGraph:
    """Delays in and outside a cycle and across its border, sums, pools, two ways to flatten, a readout."""
    rng = np.random.default_rng(7)

    def conv(channels: int, scale: float) -> nir.Conv2d:
        weight = np.round(rng.standard_normal((16, channels, 3, 3)) * scale * 64) / 64
        return nir.Conv2d(SIZE[1:], weight.astype(np.float32), 1, 1, 1, 1, rng.integers(-8, 9, 16) / 32)

    def delay(steps: int) -> nir.Delay:
        return nir.Delay(np.full(SIZE, steps * DT))

    def matrix(outs: int, inputs: int) -> nir.Linear:
        return nir.Linear((rng.integers(-16, 17, (outs, inputs)) / 64).astype(np.float32))

    one = np.ones(SIZE, np.float32)
    varied = (1 + rng.integers(0, 4, SIZE) / 4).astype(np.float32)
    few = np.ones(5, np.float32)
    nodes = {
        "in": nir.Input({"input": np.array([2, 6, 4])}),
        "c0": conv(2, 0.8),
        "l0": nir.LIF(2 * DT * one, 2 * one, 0 * one, varied, 0 * one),
        "late": delay(2),
        "none": delay(0),
        "c1": conv(16, 0.3),
        "l1": nir.CubaLIF(2 * DT * one, 4 * DT * one, 4 * one, 0 * one, one, 0 * one),
        "back": conv(16, 0.3),
        "wait": delay(2),
        "c2": conv(16, 0.3),
        "l2": nir.LIF(4 * DT * one, 3 * one, 0 * one, one, 0 * one),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "part": nir.Flatten({"input": np.array([16, 3, 2])}, 1, 2),
        "flat": nir.Flatten({"input": np.array([16, 6])}, 0, -1),
        "all": nir.Flatten({"input": np.array([16, 6, 4])}, 0, -1),
        "fc": matrix(5, 96),
        "wide": nir.Affine(matrix(5, 384).weight, rng.integers(-8, 9, 5) / 8),
        "read": nir.LI(4 * DT * few, few, 0 * few),
        "out": nir.Output({"output": np.array([5])}),
    }
    edges = [pair for path in PATHS for pair in pairwise(path.split())]
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def events(steps: int, samples: int, rate: float = 0.3) -> Any:
    return (np.random.default_rng(0).random((steps, samples, 2, 6, 4)) < rate).astype(np.float32)


def found(network: ReferenceNetwork, x: Tensor, stretches: list[int], keep: Any) -> dict[str, Any]:
    """Outputs, states, counts and what is left, of a run in stretches."""
    carry, counts = Carry(), network.zero_counts()
    with torch.no_grad():
        parts = [network({"in": part}, ["l1", "l2"], carry, keep, counts) for part in x.split(stretches)]
    every = {f"{n} {i}": v for i, part in enumerate(parts) for n, v in part.outputs.items()}
    every |= {f"{n} v {i}": s.v for i, part in enumerate(parts) for n, s in part.states.items()}
    every |= {
        f"{n} u {i}": s.u for i, part in enumerate(parts) for n, s in part.states.items() if s.u is not None
    }
    every |= {f"{n} counts": v for n, v in counts.items()} | {f"{n} held": v for n, v in carry.held.items()}
    return every | {f"{n} last": s.v for n, s in carry.states.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stretches", [[9], [4, 1, 4]])
@pytest.mark.parametrize("keep", [None, ["l0", "wait", "back", "in", "out"]])
def test_a_plan_gives_what_the_components_give(dtype: torch.dtype, stretches: list[int], keep: Any) -> None:
    x = torch.from_numpy(events(9, 3))
    planned, apart = (
        found(ReferenceNetwork(mixed(), dtype, hooks=h), x, stretches, keep) for h in (None, Looking())
    )
    assert planned.keys() == apart.keys()
    assert min(int(planned[f"{name} counts"].sum()) for name in ("in", "l0", "l1", "l2")) > 50
    for name, value in planned.items():
        assert torch.equal(value, apart[name]), name


@pytest.mark.parametrize("rate", [0.05, 0.6])
def test_frames_that_are_dense_or_have_other_values_are_the_same(rate: float) -> None:
    x = torch.from_numpy(events(6, 3, rate))
    x[2, 1] *= 0.5
    planned, apart = (found(ReferenceNetwork(mixed(), hooks=h), x, [6], None) for h in (None, Looking()))
    assert all(torch.equal(value, apart[name]) for name, value in planned.items())


def counted_plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans made from now on."""
    made: list[Plan] = []
    make = Plan.__init__

    def counted(self: Plan, *arguments: Any) -> None:
        made.append(self)
        make(self, *arguments)

    monkeypatch.setattr(Plan, "__init__", counted)
    return made


def test_a_plan_is_made_once_and_its_results_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_plans(monkeypatch)
    executable = targets.compile(mixed(), "reference")
    names = [name for name in mixed().nodes if name != "in"]
    first = executable.run(events(5, 2), record=names, states=True)
    kept = copy.deepcopy((first.outputs, first.spikes, first.spike_counts, first.states))
    executable.run(events(5, 2, 0.6), record=names, states=True)
    for before, now in zip(
        kept, (first.outputs, first.spikes, first.spike_counts, first.states), strict=True
    ):
        assert all(_same(before[name], value) for name, value in now.items())
    assert len(made) == 1


def _same(a: Any, b: Any) -> bool:
    return all(_same(a[k], b[k]) for k in b) if isinstance(b, Mapping) else bool(np.array_equal(a, b))


def test_a_network_gives_results_of_its_own() -> None:
    network = ReferenceNetwork(mixed())
    with torch.no_grad():
        first = network({"in": torch.from_numpy(events(5, 2))}, ["l1"])
        kept = copy.deepcopy(first)
        network({"in": torch.from_numpy(events(5, 2, 0.6))}, ["l1"])
    assert all(torch.equal(kept.outputs[name], value) for name, value in first.outputs.items())
    assert torch.equal(kept.states["l1"].v, first.states["l1"].v)


@pytest.mark.parametrize("change", ["in place", "loaded", "replaced"])
def test_a_plan_sees_parameters_that_change(change: str) -> None:
    network, x = ReferenceNetwork(mixed()), {"in": torch.from_numpy(events(6, 2))}
    network.requires_grad_(change == "replaced")
    with torch.no_grad():
        before = network(x).outputs["out"]
        if change == "in place":
            network.weights["c1"].mul_(2)
            network.weights["wide"].mul_(2)
        elif change == "loaded":
            network.load_state_dict({name: 2 * value for name, value in network.state_dict().items()})
        else:
            for name in ("c1", "wide"):
                network.weights[name].data = 2 * network.weights[name].data
        after = network(x).outputs["out"]
        apart = copy.deepcopy(network)
        apart.hooks = Looking()
        assert torch.equal(after, apart(x).outputs["out"])
    assert not torch.equal(before, after)


def test_a_copy_of_a_network_makes_plans_of_its_own() -> None:
    network, x = ReferenceNetwork(mixed()), {"in": torch.from_numpy(events(6, 2))}
    with torch.no_grad():
        before = network(x).outputs["out"]
        copied = copy.deepcopy(network)
        for weight in copied.weights.values():
            weight.zero_()
        assert not torch.equal(copied(x).outputs["out"], before)
        assert torch.equal(network(x).outputs["out"], before)


def test_a_network_goes_with_its_plans() -> None:
    executable = targets.compile(mixed(), "reference")
    executable.run(events(5, 2))
    alive = weakref.ref(executable.network)
    gc.disable()
    try:
        del executable
        assert alive() is None
    finally:
        gc.enable()


def test_threads_share_an_executable() -> None:
    executable = targets.compile(mixed(), "reference")
    inputs = [events(12, 4, 0.1 + 0.05 * i) for i in range(8)]
    expected = [executable.run(x, record=["l2"]) for x in inputs]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda x: executable.run(x, record=["l2"]), inputs * 4))
    for i, run in enumerate(found):
        assert np.array_equal(run.spikes["l2"], expected[i % 8].spikes["l2"])
        assert np.array_equal(run.spike_counts["l1"], expected[i % 8].spike_counts["l1"])


def test_few_plans_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_plans(monkeypatch)
    network = ReferenceNetwork(mixed())

    @torch.no_grad()
    def run(*lengths: int) -> int:
        before = len(made)
        for steps in lengths:
            network({"in": torch.from_numpy(events(steps, 1))})
        return len(made) - before

    assert run(1, 2, 3, 4, 5) == 5
    assert run(5, 4, 3, 2) == 0
    assert run(1) == 1
    monkeypatch.setattr("targets.reference.plan._MOST_BYTES", 0)
    assert run(9, 9) == 2


def test_counts_are_zero_until_something_is_counted() -> None:
    network = ReferenceNetwork(mixed())
    for _ in range(3):
        counts = network.zero_counts()
        assert all(int(count.abs().sum()) == 0 for count in counts.values())
        with torch.no_grad():
            network({"in": torch.from_numpy(events(4, 2))}, counts=counts)
        assert int(counts["l0"].sum()) > 0


def test_counts_of_another_network_are_refused() -> None:
    network, other = ReferenceNetwork(mixed()), ReferenceNetwork(mixed())
    with torch.no_grad(), pytest.raises(ValueError, match="another network"):
        network({"in": torch.from_numpy(events(4, 2))}, counts=other.zero_counts())
