"""Soft reset and relay neurons: Lava's arithmetic against the simulator, every spike and state."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

import targets
from targets import DataError, SpikingGraph
from targets.loihi.lower import lower

pytestmark = pytest.mark.usefixtures("lava_environment")


def lif(size: int) -> nir.LIF:
    one = np.ones(size)
    return nir.LIF(8e-3 * one, 8 * one, 0.2 * one, one, -0.25 * one)


def cuba(size: int) -> nir.CubaLIF:
    one = np.ones(size)
    return nir.CubaLIF(
        tau_syn=4e-3 * one, tau_mem=8e-3 * one, r=8 * one, v_leak=0 * one,
        v_threshold=one, v_reset=0 * one, w_in=4 * one,
    )  # fmt: skip


def network(reset: str, late_steps: int) -> SpikingGraph:
    """Two populations, and a late hop from the Input and one from the first to the second."""
    rng = np.random.default_rng(1)

    def weight(out: int, size: int) -> np.ndarray:
        return rng.uniform(-0.4, 0.7, (out, size))

    nodes = {
        "in": nir.Input(np.array([5])),
        "w1": nir.Affine(weight(6, 5), rng.uniform(-0.1, 0.2, 6)),
        "n1": lif(6),
        "w2": nir.Linear(weight(4, 6)),
        "n2": cuba(4),
        "out": nir.Output(np.array([4])),
    }
    edges = list(pairwise(nodes))
    if late_steps:
        for source, size in (("in", 5), ("n1", 6)):
            nodes |= {f"{source} late": nir.Delay(np.full(size, late_steps * 1e-3)),
                      f"{source} far": nir.Linear(weight(4, size))}  # fmt: skip
            edges += [
                (source, f"{source} late"),
                (f"{source} late", f"{source} far"),
                (f"{source} far", "n2"),
            ]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3, "reset": reset})


@pytest.mark.parametrize(("reset", "late", "relays"), [("subtract", 0, 0), ("subtract", 70, 1)])
def test_lava_equals_the_simulator(reset: str, late: int, relays: int) -> None:
    graph = network(reset, late)
    assert max(hop.relays for hop in lower(graph).hops) == relays
    samples = 1 if relays else 3
    x = (np.random.default_rng(4).random((late + 12, samples, 5)) < 0.4).astype(np.float32)
    agreed = targets.verify(graph, x, ["loihi", "lava"])
    (pair,) = agreed.pairs
    assert (pair.differing, pair.states_differing) == (0, 0)
    run = targets.compile(graph, "loihi").run(x, record=["n1", "n2"])
    assert 0.02 < run.spikes["n1"].mean() < 0.9
    assert run.spikes["n2"][late:].any()


def test_soft_reset_in_float_equals_the_reference() -> None:
    graph = network("subtract", 0)
    x = (np.random.default_rng(4).random((30, 2, 5)) < 0.4).astype(np.float32)
    assert targets.verify(graph, x, ["reference", "lava"]).agree


@pytest.mark.parametrize("target", ["loihi", "lava"])
def test_negative_input_passes_no_relay(target: str) -> None:
    x = -np.ones((3, 1, 5), np.float32)
    options = {"arithmetic": "fixed"}
    with pytest.raises(DataError, match=r"found -1, allowed 0 and 1 where a hop \(to 'n2'\) needs 71 steps"):
        targets.compile(network("to_value", 70), target, **options).run(x)
