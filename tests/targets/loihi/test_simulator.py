"""The aligned chip clock against an independent layer-by-layer integer loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import targets
from targets import DataError, SpikingGraph
from targets.loihi.lower import lower
from targets.loihi.program import Program

MODELS = ["if", "lif", "cubalif"]


def layer_by_layer(program: Program, x: np.ndarray) -> dict[str, np.ndarray]:
    """Spikes of each population by the equations of Lava's bit-accurate LIF, in Python integers."""
    steps, batch = x.shape[:2]
    sent = {"input": x.reshape(steps, batch, -1).astype(np.int64)}
    state = {p.name: (np.zeros((batch, int(np.prod(p.shape))), np.int64),) * 2 for p in program.populations}
    sent.update({p.name: np.zeros((steps, *state[p.name][0].shape), np.int64) for p in program.populations})

    def shrink(value: np.ndarray, factor: int) -> np.ndarray:
        return np.sign(value) * ((np.abs(value) * factor) >> 12)

    for t in range(steps):
        for p in program.populations:
            a = np.zeros_like(state[p.name][0])
            for hop in program.hops:
                if hop.target == p.name and t >= hop.delay:
                    weights = hop.matrix.toarray().astype(np.int64)
                    a = a + ((sent[hop.source][t - hop.delay] @ weights.T) << hop.exponent)
            a = a + p.bias_u[min(t, len(p.bias_u) - 1)]
            u = shrink(state[p.name][0], 4096 - (p.du + 1)) + (a << 6)
            u = 2**23 - (2**23 - u) % 2**24
            v = shrink(state[p.name][1], 4096 - p.dv) + u + p.bias_v[min(t, len(p.bias_v) - 1)]
            v = np.clip(v, -(2**23 - 1), 2**23 - 1)
            fired = v > (p.vth << 6)
            state[p.name] = (u, np.where(fired, 0, v))
            sent[p.name][t] = fired
    return sent


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), models=st.tuples(*[st.sampled_from(MODELS)] * 3))
def test_the_chip_clock_equals_layer_by_layer(
    recurrent_graph: Callable[..., SpikingGraph],
    spikes: Callable[..., np.ndarray],
    seed: int,
    models: tuple[str, str, str],
) -> None:
    graph = recurrent_graph(seed, models)
    program = lower(graph)
    x = spikes(seed, 9, 3, 1, 8, 8)
    run = targets.compile(graph, "loihi", program=program).run(x, record=graph.populations)
    expected = layer_by_layer(program, x)
    for name in graph.populations:
        assert (run.spikes[name].reshape(9, 3, -1) != expected[name]).sum() == 0


def test_networks_fire_and_differ_little_from_float(
    recurrent_graph: Callable[..., SpikingGraph], spikes: Callable[..., np.ndarray]
) -> None:
    graph = recurrent_graph(2, ("lif", "lif", "if"))
    x = spikes(2, 12, 16, 1, 8, 8)
    fixed = targets.compile(graph, "loihi").run(x, record=["l1"])
    floating = targets.compile(graph, "reference").run(x, record=["l1"])
    assert floating.spikes["l1"].mean() > 0.05
    assert (fixed.spikes["l1"] != floating.spikes["l1"]).mean() < 0.05


def test_verify_sees_a_changed_weight(
    recurrent_graph: Callable[..., SpikingGraph],
    spikes: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = recurrent_graph(4)
    x = spikes(4, 8, 4, 1, 8, 8)
    agreed = targets.verify(graph, x, ["loihi", "onnx"])
    assert agreed.agree
    assert agreed.pairs[0].states_differing == 0
    assert agreed.pairs[0].compared == 8 * 4 * (64 + 64 + 10)

    from targets.onnx.target import OnnxTarget

    honest = OnnxTarget.compile

    def wrong(self: OnnxTarget, graph: SpikingGraph, options: object) -> object:
        import dataclasses

        program = options.program
        first = program.hops[0]
        hop = dataclasses.replace(first, matrix=first.matrix * 2, kernel=first.kernel * 2)
        changed = dataclasses.replace(program, hops=(hop, *program.hops[1:]))
        return honest(self, graph, dataclasses.replace(options, program=changed))

    monkeypatch.setattr(OnnxTarget, "compile", wrong)
    broken = targets.verify(graph, x, ["loihi", "onnx"])
    assert not broken.agree
    assert broken.pairs[0].first is not None
    assert broken.pairs[0].first.node == "l1"
    with pytest.raises(targets.DisagreementError, match="loihi and onnx in fixed"):
        broken.require()


@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "fractions"), (3.0, "graded values up to 3"), (np.nan, "NaN")]
)
def test_input_that_is_no_spikes_is_refused(
    recurrent_graph: Callable[..., SpikingGraph], value: float, message: str
) -> None:
    executable = targets.compile(recurrent_graph(), "loihi")
    with pytest.raises(DataError, match=message):
        executable.run(np.full((2, 1, 1, 8, 8), value))
    with pytest.raises(DataError, match=r"found shape \(2, 1, 8, 8\)"):
        executable.run(np.zeros((2, 1, 8, 8)))
