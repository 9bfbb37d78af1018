"""A cyclic component by the C kernels against the same component taped step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from targets import SpikingGraph
from targets.reference.fused import FusedRun
from targets.reference.hooks import Hooks
from targets.reference.kernels.build import kernels
from targets.reference.network import ReferenceNetwork
from targets.reference.values import Carry, Values

DT = 1e-3
PATHS = [
    "in c0 l1 c1 l2 back wait l1 l2",
    "in other l2 pool long l2 small wide late l2 flat read out",
    "l1 pool",
    "l2 long",
    "read again fc fc_wait read",
]
pytestmark = pytest.mark.skipif(kernels().library is None, reason="no C kernels here")


class Looking(Hooks):
    """Changes nothing, but the run cannot know."""


class Scaling(nn.Module):
    """A current transform with a learnt factor a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        factors = torch.linspace(0.5, 1.5, channels, dtype=torch.float64)
        self.factor = nn.Parameter(factors.view(-1, 1, 1))

    def external(self, current: Tensor) -> Tensor:
        return (current - current.mean()) * self.factor

    def internal(self, current: Tensor) -> Tensor:
        return current * self.factor


def tangled() -> SpikingGraph:
    """Three populations in two components: nested loops, a skip, a loop of a matrix, delays of 1 to 3."""
    rng = np.random.default_rng(5)

    def conv(channels: int, outs: int, scale: float = 0.5) -> nir.Conv2d:
        weight = np.round(rng.standard_normal((outs, channels, 3, 3)) * scale * 64) / 64
        return nir.Conv2d((5, 4), weight.astype(np.float32), 1, 1, 1, 1, rng.integers(-8, 9, outs) / 32)

    def delay(steps: int, *shape: int) -> nir.Delay:
        return nir.Delay(np.full(shape, steps * DT))

    one, flat = np.ones((16, 5, 4), np.float32), np.ones(320, np.float32)
    zero = 0 * one
    cuba = nir.CubaLIF(2 * DT * one, 4 * DT * one, 4 * one, zero, one, zero)
    nodes = {
        "in": nir.Input({"input": np.array([2, 5, 4])}),
        "c0": conv(2, 16, 1.0),
        "other": conv(2, 16, 1.0),
        "l1": nir.LIF(2 * DT * one, one, zero, one, zero),
        "c1": conv(16, 16),
        "l2": cuba,
        "back": conv(16, 16),
        "wait": delay(2, 16, 5, 4),
        "small": conv(16, 4),
        "wide": conv(4, 16),
        "late": delay(1, 16, 5, 4),
        "pool": nir.Scale(np.full((16, 5, 4), 0.5, np.float32)),
        "long": delay(3, 16, 5, 4),
        "flat": nir.Flatten({"input": np.array([16, 5, 4])}, 0, -1),
        "read": nir.LI(4 * DT * flat, flat, 0 * flat),
        "again": nir.Flatten({"input": np.array([320])}, 0, -1),
        "fc": nir.Linear((rng.integers(-8, 9, (320, 320)) / 512).astype(np.float32)),
        "fc_wait": delay(1, 320),
        "out": nir.Output({"output": np.array([320])}),
    }
    return SpikingGraph.build(
        nodes, [(a, b) for path in PATHS for a, b in pairwise(path.split())], {"dt": DT}
    )


def events(steps: int, samples: int) -> Tensor:
    return torch.from_numpy((np.random.default_rng(0).random((steps, samples, 2, 5, 4)) < 0.3) * 1.0)


def networks(scaled: bool) -> list[ReferenceNetwork]:
    """The same network fused and taped, in float64."""
    transforms = {"l1": Scaling(16), "l2": Scaling(16)} if scaled else {}
    return [ReferenceNetwork(tangled(), torch.float64, transforms, hooks) for hooks in (Hooks(), Looking())]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("stretch", [2, 7])
def test_gradients_are_those_of_the_tape(scaled: bool, stretch: int) -> None:
    """Through stretches shorter than a delay, the gradient also passes states and what is held."""
    found: list[list[Tensor]] = []
    for network in networks(scaled):
        x, carry, loss = events(7, 3).requires_grad_(), Carry(), torch.zeros((), dtype=torch.float64)
        for at in range(0, 7, stretch):
            outputs = network({"in": x[at : at + stretch]}, carry=carry).outputs
            for name, value in outputs.items():
                seed = torch.Generator().manual_seed(sum(map(ord, name)) + at)
                loss = loss + (value * torch.randn(value.shape, generator=seed, dtype=value.dtype)).sum()
        factors = [t.factor for t in network.transforms.values()]  # type: ignore[attr-defined]
        inputs = [x, *network.parameters(), *factors]
        found.append([loss.detach(), *torch.autograd.grad(loss, inputs)])
    for fused, taped in zip(*found, strict=True):
        assert float(taped.abs().max()) > 0
        torch.testing.assert_close(fused, taped, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("keep", [None, ["l2", "long", "out"]])
def test_values_states_and_counts_are_those_of_the_tape(keep: list[str] | None) -> None:
    found: list[dict[str, Any]] = []
    for network in networks(True):
        network.double()
        carry, counts = Carry(), network.zero_counts()
        with torch.no_grad():
            parts = [
                network({"in": x}, ["l2", "read"], carry, keep, counts) for x in events(7, 3).split([3, 2, 2])
            ]
        every = {f"{n} {i}": v for i, part in enumerate(parts) for n, v in part.outputs.items()}
        every |= {f"{n} u {i}": s.u for i, part in enumerate(parts) for n, s in part.states.items()}
        every |= {f"{n} v {i}": s.v for i, part in enumerate(parts) for n, s in part.states.items()}
        every |= {f"{n} held": v for n, v in carry.held.items()} | {"counts": counts["l1"]}
        found.append(every | {f"{n} last": s.v for n, s in carry.states.items()})
    assert found[0].keys() == found[1].keys()
    assert int(found[0]["counts"].sum()) > 50
    for name, value in found[0].items():
        taped = found[1][name]
        assert (value is None and taped is None) or torch.equal(value, taped), name


def test_a_component_with_hooks_is_taped(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[FusedRun] = []
    run = FusedRun.run

    def counted(self: FusedRun, values: Values, carry: Carry) -> None:
        runs.append(self)
        run(self, values, carry)

    monkeypatch.setattr(FusedRun, "run", counted)
    fused, taped = networks(False)
    taped({"in": events(1, 1)})
    assert not runs
    fused({"in": events(1, 1)})
    assert len(runs) == 2


def test_gradients_can_be_asked_for_again_only_where_kept() -> None:
    network = networks(False)[0]
    values = network({"in": events(5, 2)}).outputs
    loss = values["out"].sum()
    first = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(network.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, list(network.parameters()))
