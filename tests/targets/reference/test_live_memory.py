"""What the executor holds while it runs and after a gradient, in bytes of live tensors."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor

import targets
from targets import SpikingGraph
from targets.reference.network import ReferenceNetwork
from targets.reference.plan import Plan
from targets.reference.values import Carry, Values

DT = 1e-3


def looped() -> SpikingGraph:
    """conv - LIF with a convolution back through a Delay - LIF - flat."""
    rng = np.random.default_rng(1)

    def conv(channels: int) -> nir.Conv2d:
        weight = rng.standard_normal((16, channels, 3, 3)).astype(np.float32) * 0.3
        return nir.Conv2d((8, 8), weight, 1, 1, 1, 1, np.zeros(16, np.float32))

    one = np.ones((16, 8, 8), np.float32)
    lif = nir.LIF(2 * DT * one, one, 0 * one, one, 0 * one)
    nodes = {
        "in": nir.Input({"input": np.array([2, 8, 8])}),
        "c1": conv(2),
        "l1": lif,
        "back": conv(16),
        "delay": nir.Delay(DT * one),
        "c2": conv(16),
        "l2": lif,
        "out": nir.Output({"output": np.array([16, 8, 8])}),
    }
    edges = [("in", "c1"), ("c1", "l1"), ("l1", "back"), ("back", "delay"), ("delay", "l1")]
    edges += [("l1", "c2"), ("c2", "l2"), ("l2", "out")]
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def live_bytes() -> int:
    """Bytes of the memory that tensors of this process point into."""
    gc.collect()
    blocks = {}
    for found in gc.get_objects():
        if issubclass(type(found), Tensor):
            storage = found.untyped_storage()
            blocks[storage.data_ptr()] = storage.nbytes()
    return sum(blocks.values())


def events(steps: int, samples: int) -> Any:
    return (np.random.default_rng(0).random((steps, samples, 2, 8, 8)) < 0.3).astype(np.float32)


def test_inference_holds_the_same_whatever_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    run = Plan.run

    def watched(
        self: Plan,
        network: ReferenceNetwork,
        x: Mapping[str, Tensor],
        carry: Carry | None,
        counts: Mapping[str, Tensor],
    ) -> Values:
        values = run(self, network, x, carry, counts)
        held.append(live_bytes() - x["in"].untyped_storage().nbytes())
        return values

    monkeypatch.setattr(Plan, "run", watched)
    executable = targets.compile(looped(), "reference")
    executable.run(events(64, 2))
    short, held = max(held), held[:0]
    executable.run(events(128, 2))
    assert len(held) == 4
    assert max(held) == short


def test_a_gradient_lets_go_of_what_it_read() -> None:
    network, x = ReferenceNetwork(looped()), torch.from_numpy(events(10, 4))

    def loss() -> Tensor:
        found = network({"in": x}, keep=["out"]).outputs["out"].mean()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    # What a network keeps for good: gradients and packed weights.
    loss()
    before, held = live_bytes(), loss()
    # The loss is still there; a layer's spikes alone would be 160 kB.
    assert live_bytes() - before < 10_000, held
