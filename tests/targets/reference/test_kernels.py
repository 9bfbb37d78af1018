"""The C kernels against plain torch: the same to the last bit forward, to rounding backward."""

from __future__ import annotations

import copy
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import targets
from targets import SpikingGraph
from targets.errors import ConfigError, TargetUnavailableError
from targets.graph.dynamics import SpikeRule
from targets.reference import stateless, target
from targets.reference.kernels import build, memory
from targets.reference.kernels.build import kernels
from targets.reference.kernels.layout import channels_last
from targets.reference.kernels.synapse import Synapse
from targets.reference.network import ReferenceNetwork
from targets.reference.scan import Coefficients, State, scan
from targets.reference.values import Carry

DT = 1e-3
RULES = st.builds(
    SpikeRule, st.sampled_from(["to_value", "subtract", "subtract_late"]), st.booleans(), st.booleans()
)
compiled = pytest.mark.skipif(kernels().library is None, reason="no C kernels here")


@st.composite
def populations(draw: Any) -> tuple[dict[str, Any], Tensor, State]:
    """Coefficients, currents [T, B, N] and a state, of all models and rules; some on a grid, some alike."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    dtype, grid = draw(st.sampled_from([torch.float32, torch.float64])), draw(st.booleans())
    steps, batch, neurons = (
        draw(st.integers(1, 6)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1, 7, 300, 2100])),
    )
    fires, synapse, alike = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    rule = draw(st.none() | RULES) if fires else None

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        value = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
        return (torch.round(value * 8) / 8 if grid else value).to(dtype)

    def term(present: bool, low: float, high: float) -> Tensor | None:
        return coefficient(low, high) if present else None

    def coefficient(low: float, high: float) -> Tensor:
        return uniform(low, high, 1).repeat(neurons) if alike else uniform(low, high, neurons)

    terms = {
        "gain": coefficient(0.1, 1.5),
        "decay": term(draw(st.booleans()), 0.2, 1.0),
        "decay_synapse": term(synapse, 0.2, 0.9),
        "leak": term(draw(st.booleans()), -0.1, 0.1),
        "threshold": term(fires, 0.25, 1.2),
        "reset": term(fires, -0.2, 0.2),
        "clip": term(rule is not None and draw(st.booleans()), -1.0, -0.1),
        "rule": rule,
    }
    u = uniform(-1, 1, batch, neurons) if synapse else None
    return terms, uniform(-2, 3, steps, batch, neurons), State(u, uniform(-1, 1, batch, neurons))


def parts(found: Any) -> list[Tensor]:
    every = [found.outputs, found.last.u, found.last.v, found.history.u, found.history.v]
    return [part for part in every if part is not None]


@compiled
@given(populations())
@settings(max_examples=60, deadline=None)
def test_outputs_states_and_counts_are_those_of_torch_to_the_last_bit(case: Any) -> None:
    terms, current, state = case
    found = {}
    for choice in ("c", "torch"):
        counts = torch.zeros(current.shape[2], dtype=torch.int64)
        scanned = scan(Coefficients(**terms, kernels=choice), current, state, history=True, counts=counts)
        found[choice] = [*parts(scanned), counts]
    assert all(torch.equal(a, b) for a, b in zip(found["c"], found["torch"], strict=True))


@compiled
@given(populations(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_gradients_are_those_of_the_taped_steps(case: Any, through_time: bool) -> None:
    terms, current, state = case
    found = {}
    for choice in ("c", "torch"):
        inputs = [t.clone().requires_grad_() for t in (current, state.v, state.u) if t is not None]
        start = State(inputs[2] if len(inputs) > 2 else None, inputs[1])
        scanned = scan(Coefficients(**terms, kernels=choice), inputs[0], start, True, through_time)
        generator = torch.Generator().manual_seed(1)
        loss = sum(
            (part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum()
            for part in parts(scanned)
        )
        grads = torch.autograd.grad(loss, inputs, allow_unused=True)
        found[choice] = [torch.zeros_like(t) if g is None else g for t, g in zip(inputs, grads, strict=True)]
    for ours, taped in zip(found["c"], found["torch"], strict=True):
        scale = float(taped.abs().max())
        assert float((ours - taped).abs().max()) <= 8 * torch.finfo(taped.dtype).eps * scale


def convolution(size: tuple[int, int], kernel: tuple[int, int], **options: Any) -> nir.Conv2d:
    rng = np.random.default_rng(0)
    weight = (rng.integers(-64, 65, (20, 5, *kernel)) / 64).astype(np.float32)
    options = {"stride": 1, "padding": 1, "dilation": 1, **options}
    return nir.Conv2d(input_shape=size, weight=weight, bias=np.arange(20) / 8, groups=1, **options)


SYNAPSES = {
    "plain": (convolution((7, 9), (3, 3)), (5, 7, 9)),
    "stride": (convolution((7, 9), (3, 3), stride=2), (5, 7, 9)),
    "uneven": (convolution((12, 9), (5, 3), stride=(2, 1), padding=(2, 0), dilation=(1, 2)), (5, 12, 9)),
    "same": (convolution((8, 9), (4, 2), padding="same"), (5, 8, 9)),
    "row": (
        nir.Conv1d(20, np.random.default_rng(0).integers(-8, 9, (33, 6, 5)) / 8, 2, 2, 1, 1, np.ones(33)),
        (6, 20),
    ),
}


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6, 1.5])
@pytest.mark.parametrize("name", SYNAPSES)
def test_a_synapse_on_spikes_is_exact_on_a_grid(name: str, rate: float, dtype: torch.dtype) -> None:
    """Outputs and gradients; some frames have too many spikes, and at rate 1.5 one has other values."""
    node, shape = SYNAPSES[name]
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(13, *shape, generator=generator) < rate % 1.3).to(dtype)
    spikes[4] *= 2 if rate > 1 else 1
    weight = stateless.tensor(node.weight, dtype).requires_grad_()
    bias = stateless.tensor(node.bias, dtype).requires_grad_()
    x = spikes.requires_grad_()
    dense = stateless.apply(node, x, weight, bias)
    kernel = Synapse.of(node, shape, tuple(dense.shape[1:]), "c")
    assert kernel is not None
    ours = kernel(x, weight, bias)
    assert torch.equal(ours, dense)
    given = torch.randint(-8, 9, dense.shape, generator=generator).to(dtype) / 8
    pairs = [torch.autograd.grad(out, [x, weight, bias], given) for out in (ours, dense)]
    assert all(torch.equal(a, b) for a, b in zip(*pairs, strict=True))


def recurrent(grid: bool = True) -> SpikingGraph:
    """conv - LIF - conv - CubaLIF with feedback through a Delay - matrix - LI."""
    rng = np.random.default_rng(3)

    def weight(*shape: int) -> Any:
        value = rng.standard_normal(shape) * 0.4
        return (np.round(value * 64) / 64 if grid else value).astype(np.float32)

    def conv(inputs: int, outputs: int) -> nir.Conv2d:
        return nir.Conv2d((6, 6), weight(outputs, inputs, 3, 3), 1, 1, 1, 1, np.zeros(outputs, np.float32))

    one, out = np.ones((16, 6, 6), np.float32), np.ones(4, np.float32)
    nodes = {
        "in": nir.Input({"input": np.array([2, 6, 6])}),
        "c1": conv(2, 16),
        "l1": nir.LIF(tau=2 * DT * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "c2": conv(16, 16),
        "l2": nir.CubaLIF(
            tau_syn=2 * DT * one,
            tau_mem=4 * DT * one,
            r=4 * one,
            v_leak=0 * one,
            v_threshold=one,
            v_reset=0 * one,
        ),
        "back": conv(16, 16),
        "delay": nir.Delay(2 * DT * one),
        "flat": nir.Flatten({"input": np.array([16, 6, 6])}, 0, -1),
        "fc": nir.Linear(weight(4, 576)),
        "read": nir.LI(tau=4 * DT * out, r=out, v_leak=0 * out),
        "out": nir.Output({"output": np.array([4])}),
    }
    edges = [("in", "c1"), ("c1", "l1"), ("l1", "c2"), ("c2", "l2"), ("l2", "back"), ("back", "delay")]
    edges += [("delay", "l2"), ("l2", "flat"), ("flat", "fc"), ("fc", "read"), ("read", "out")]
    return SpikingGraph.build(nodes, edges, {"dt": DT})


def events(steps: int, samples: int) -> Any:
    return (np.random.default_rng(0).random((steps, samples, 2, 6, 6)) < 0.3).astype(np.float32)


@compiled
@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
def test_a_whole_network_is_the_same_with_either(arithmetic: str) -> None:
    graph, x = recurrent(), events(9, 5)
    runs = [
        targets.compile(graph, "reference", arithmetic=arithmetic, kernels=choice).run(x, graph.nodes, True)
        for choice in ("c", "torch")
    ]
    assert runs[0].spike_counts["l2"].sum() > 50
    for name in graph.nodes:
        assert np.array_equal(runs[0].spikes[name], runs[1].spikes[name]), name
    for name in graph.populations:
        assert all(np.array_equal(runs[0].states[name][k], v) for k, v in runs[1].states[name].items())
    for name, counts in runs[0].spike_counts.items():
        assert np.array_equal(counts, runs[1].spike_counts[name])
        assert np.array_equal(counts, runs[0].spikes[name].sum((0, 1)).astype(np.int64))
    assert [run.ran_on.split(", ")[-1] for run in runs] == ["C kernels)", "torch kernels)"]


@pytest.mark.parametrize("block", [(1, 1), (2, 3), (100, 100)])
def test_a_run_does_not_depend_on_its_blocks(block: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = recurrent(grid=False), events(9, 5)
    executable = targets.compile(graph, "reference")
    whole = executable.run(x, ["l2"], states=True)
    monkeypatch.setattr(target, "_STRETCH", block[0])
    monkeypatch.setattr(target, "samples_at_once", lambda network, steps, samples: block[1])
    parts = executable.run(x, ["l2"], states=True)
    assert np.array_equal(whole.spikes["l2"], parts.spikes["l2"])
    assert np.array_equal(whole.spike_counts["l1"], parts.spike_counts["l1"])
    np.testing.assert_allclose(whole.states["l2"]["u"], parts.states["l2"]["u"], rtol=1e-5, atol=1e-6)


def gradients(network: ReferenceNetwork, x: Tensor) -> list[Tensor]:
    values = network({"in": x}).outputs["out"]
    weights = torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view(values.shape)
    return list(torch.autograd.grad((values * weights).sum(), list(network.parameters())))


@pytest.mark.parametrize("other", [{"kernels": "torch"}, {"checkpoint": 4}, {"checkpoint": 1}])
def test_gradients_of_a_network_do_not_depend_on_how_it_runs(other: dict[str, Any]) -> None:
    graph, x = recurrent(), torch.from_numpy(events(9, 3)).double()
    usual = gradients(ReferenceNetwork(graph, torch.float64), x)
    again = gradients(ReferenceNetwork(graph, torch.float64, **other), x)
    for a, b in zip(usual, again, strict=True):
        assert float(a.abs().max()) > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_checkpointed_network_refuses_statistics_over_the_run() -> None:
    class Same:
        def external(self, current: Tensor) -> Tensor:
            return current

        def internal(self, current: Tensor) -> Tensor:
            return current

    network = ReferenceNetwork(recurrent(), transforms={"l1": Same()}, checkpoint=2)
    with pytest.raises(ConfigError, match="l1"):
        network({"in": torch.from_numpy(events(4, 1))})


def test_outputs_not_asked_for_go() -> None:
    network, carry = ReferenceNetwork(recurrent()), Carry()
    with torch.no_grad():
        values = network({"in": torch.from_numpy(events(3, 1))}, (), carry, keep=["l1", "out"])
    assert set(values.outputs) == {"l1", "out"}


def test_a_copied_network_runs_alone() -> None:
    network, x = ReferenceNetwork(recurrent()), torch.from_numpy(events(5, 2))
    first = network({"in": x}).outputs["out"]
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.weights["fc"].zero_()
        next(iter(network.parameters())).add_(1.0)
    assert torch.equal(copied.coefficients["l1"].gain, network.coefficients["l1"].gain)
    assert not torch.equal(network({"in": x}).outputs["out"], first)


def test_a_block_waits_until_its_last_view_is_gone() -> None:
    first = memory.empty((4, 100_003), torch.float32)
    address, view = first.data_ptr(), first[1]
    del first
    second = memory.empty((4, 100_003), torch.float32)
    assert second.data_ptr() != address
    del view
    assert memory.empty((4, 100_003), torch.float32).data_ptr() == address


def test_the_choice_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = recurrent()
    monkeypatch.setenv("MSENAS_KERNELS", "torch")
    assert "torch kernels" in targets.compile(graph, "reference").run(events(1, 1)).ran_on
    monkeypatch.setenv("MSENAS_KERNELS", "fortran")
    with pytest.raises(ConfigError, match="MSENAS_KERNELS='fortran'"):
        targets.compile(graph, "reference")
    with pytest.raises(ConfigError, match="'rust'"):
        targets.compile(graph, "reference", kernels="rust")


def test_without_a_compiler_torch_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_compiled", build._compiled.__wrapped__)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.delenv("MSENAS_KERNELS", raising=False)
    assert kernels().said == "torch kernels"
    assert "no C compiler" in kernels().reason
    with pytest.raises(TargetUnavailableError, match="no C compiler"):
        targets.compile(recurrent(), "reference", kernels="c")


def test_counts_move_to_channels_last_bit_by_bit() -> None:
    counts = torch.randint(-(2**62), 2**62, (3, 33, 5, 7), generator=torch.Generator().manual_seed(0))
    # As a float64 this is a signalling NaN.
    counts[0, 0, 0, 0] = 0x7FF0000000000001
    assert channels_last(counts, 1).equal(counts.movedim(1, -1))
