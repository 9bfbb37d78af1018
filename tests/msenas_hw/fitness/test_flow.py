from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

import targets
from msenas_hw.fitness import fitness
from msenas_hw.fitness.flow import Flow, peaks, replace_weight
from msenas_hw.fitness.membranes import Membranes
from msenas_hw.fitness.rdm import bounded, movement
from msenas_hw.space import Genome, SpaceConfig, Task, decode, sample
from targets.graph.graph import SpikingGraph
from targets.reference.kernels import build, layout
from targets.reference.kernels.build import kernels
from targets.reference.kernels.events import Gather
from targets.reference.kernels.spikes import ByteSynapse, Fed, Part, run
from targets.reference.scan import scan
from targets.run import Run

TASK = Task((3, 7, 6), 4, 6)
SPACE = SpaceConfig(cells=(1, 3), widths=(4, 8, 40), max_halvings=1)
X = (np.random.default_rng(0).random((6, 9, 3, 7, 6)) < 0.4).astype(np.float32)
needs_kernels = pytest.mark.skipif(kernels().library is None, reason="no C compiler")


def on_grid(graph: SpikingGraph, gain: float = 1.0) -> SpikingGraph:
    """Weights on a grid of 2^-8: every order of summation gives the same currents."""
    nodes = {
        name: replace_weight(node, np.round(gain * node.weight * 256).astype(np.float32) / 256)
        if hasattr(node, "weight")
        else node
        for name, node in graph.nodes.items()
    }
    return graph.replace(nodes=nodes)


def networks(count: int) -> Iterator[SpikingGraph]:
    rng = np.random.default_rng(3)
    for _ in range(count):
        genome: Genome = sample(rng, SPACE, TASK)
        yield on_grid(decode(genome, TASK), 4.0)


def expected(graph: SpikingGraph, x: np.ndarray) -> Run:
    return targets.compile(graph, "reference").run(x, record=[*graph.inputs, *graph.populations], states=True)


def assert_same(found: Run, graph: SpikingGraph, x: np.ndarray) -> None:
    known = expected(graph, x)
    for name in (*graph.inputs, *graph.populations):
        assert np.array_equal(found.spikes[name], known.spikes[name]), name
        assert np.array_equal(found.spike_counts[name], known.spike_counts[name]), name
    assert np.array_equal(found.output, known.output)
    assert (found.steps, found.samples) == (known.steps, known.samples)


@needs_kernels
def test_spikes_and_membranes_are_those_of_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops and delays included, in blocks of two samples."""
    monkeypatch.setattr("msenas_hw.fitness.flow._BLOCK_BYTES", 2 * 4 * 40 * 42 * 6)
    loops = 0
    for graph in networks(5):
        membranes = Membranes(3, True)
        found = Flow(graph).run(X, membranes)
        assert "bytes" in found.ran_on
        assert_same(found, graph, X)
        states = {name: state["v"] for name, state in expected(graph, X).states.items()}
        assert sum(int(found.spike_counts[name].sum()) for name in graph.populations) > 0
        for name, v in states.items():
            assert membranes.largest[name] == v.max()
            assert np.array_equal(membranes.potentials()[name], v[:, :3])
            assert membranes.moved()[name] == pytest.approx(movement(bounded(v)), rel=1e-5)
        loops += bool(graph.cyclic)
    assert loops > 0


@needs_kernels
@pytest.mark.parametrize("gain", [0.3, 1.0, 30.0])
def test_movement_of_quiet_and_of_driven_membranes(gain: float) -> None:
    """The largest potential lies below the threshold of quiet populations, and at it of driven ones."""
    below = 0
    for graph in networks(4):
        membranes = Membranes(0, True)
        quiet = on_grid(graph, gain)
        Flow(quiet).run(X, membranes)
        for name, state in expected(quiet, X).states.items():
            v = state["v"]
            assert membranes.moved()[name] == pytest.approx(movement(bounded(v)), rel=1e-5, abs=1e-6)
            below += v.max() < 0.6
    assert below > 0 or gain > 0.3


def test_scaled_is_the_flow_of_the_scaled_network() -> None:
    """To the last bit, where two populations share a synapse as well."""
    graph = pooled()
    nodes = {**graph.nodes, "c": graph.nodes["b"], "end": nir.Output(np.array([4]))}
    shared = SpikingGraph.build(nodes, [*graph.edges, ("w", "c"), ("c", "end")], {"dt": 1e-3})
    for network in (*networks(3), shared):
        factors = {name: 0.7 + 0.1 * k for k, name in enumerate(network.populations)}
        found = Flow(network).scaled(factors)
        known = Flow(found.graph)
        weights = {name: node.weight for name, node in found.graph.nodes.items() if hasattr(node, "weight")}
        for name, weight in weights.items():
            into = [f for p, f in factors.items() if name in network.synapses_into(p)]
            expected = network.nodes[name].weight
            for factor in into:
                expected = np.float32(factor) * expected
            assert np.array_equal(weight, expected)
        for population, links in known.links.items():
            for link, own in zip(links, found.links[population], strict=True):
                assert (link.synapse is None) == (own.synapse is None)
                assert link.synapse is None or torch.equal(link.synapse.weight, own.synapse.weight)


@pytest.mark.parametrize("steady", [True, False])
def test_graded_input_is_multiplied_whether_or_not_it_changes(steady: bool) -> None:
    values = np.random.default_rng(1).integers(0, 9, X.shape).astype(np.float32) / 8
    x = np.repeat(values[:1], 6, axis=0) if steady else values
    for graph in networks(3):
        assert_same(Flow(graph).run(x, None), graph, x)


def test_currents_are_the_summed_inputs_of_the_executor() -> None:
    """They bring the population to the spikes that it gave; a link that is cut brings nothing."""
    differing = 0
    for graph in networks(4):
        flow, known = Flow(graph), expected(graph, X)
        for name in graph.populations:
            total = flow.current(name, flow.recorded(known), 6, slice(2, 5))
            assert total is not None
            cut = flow.current(name, flow.recorded(known), 6, slice(2, 5), cut=True)
            same = cut is not None and torch.equal(cut, total)
            assert same or any(link.cut for link in flow.links[name])
            differing += not same
            spikes = scan(flow.coefficients[name], total.movedim(-1, 2)).outputs
            assert np.array_equal(spikes, known.spikes[name][:, 2:5])
    assert differing > 0


def pooled() -> SpikingGraph:
    """Two sums and a pooling on the way to the first population."""
    rng = np.random.default_rng(5)

    def weight(*shape: int) -> np.ndarray:
        return np.round(rng.normal(0, 1, shape) * 64).astype(np.float32) / 64

    def lif(*shape: int) -> nir.LIF:
        ones = np.ones(shape)
        return nir.LIF(tau=4e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones / 4, v_reset=0 * ones)

    return SpikingGraph.build(
        {
            "input": nir.Input(np.array([3, 8, 6])),
            "one": nir.Conv2d((8, 6), weight(5, 3, 3, 3), 1, 1, 1, 1, np.zeros(5, np.float32)),
            "other": nir.Conv2d((8, 6), weight(5, 3, 3, 3), 1, 1, 1, 1, np.zeros(5, np.float32)),
            "pool": nir.SumPool2d((2, 2), (2, 2), (0, 0)),
            "a": lif(5, 4, 3),
            "flat": nir.Flatten({"input": np.array([5, 4, 3])}, start_dim=0, end_dim=-1),
            "w": nir.Linear(weight(4, 60)),
            "b": lif(4),
            "output": nir.Output(np.array([4])),
        },
        [
            *(("input", "one"), ("input", "other"), ("one", "pool"), ("other", "pool"), ("pool", "a")),
            *(("a", "flat"), ("flat", "w"), ("w", "b"), ("b", "output")),
        ],
        {"dt": 1e-3},
    )


def test_what_the_kernels_do_not_add_up_torch_computes() -> None:
    graph, x = pooled(), (np.random.default_rng(2).random((5, 4, 3, 8, 6)) < 0.5).astype(np.float32)
    found = Flow(graph).run(x, None)
    assert found.spike_counts["a"].sum() > 0
    assert_same(found, graph, x)


def test_populations_that_fire_more_than_once_a_step_run_on_the_executor() -> None:
    graph = pooled()
    many = graph.replace(profile=replace(graph.profile, spikes_per_step="many", reset="subtract"))
    x = (np.random.default_rng(2).random((5, 4, 3, 8, 6)) < 0.5).astype(np.float32)
    found = Flow(many).run(x, None)
    assert "bytes" not in found.ran_on
    assert found.spikes["a"].max() > 1
    assert_same(found, many, x)


def test_fitness_is_the_same_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    genome = sample(np.random.default_rng(0), SPACE, TASK)
    known = fitness(genome, TASK, X)
    monkeypatch.setattr(build, "_compiled", lambda package: build.Kernels(None, "torch kernels", "none"))
    layout.transposer.cache_clear()
    found = fitness(genome, TASK, X)
    assert "torch kernels" in found.runs[0].ran_on
    assert found.per_draw == pytest.approx(known.per_draw, rel=1e-4)


@needs_kernels
@pytest.mark.parametrize(
    ("channels", "outs", "kernel", "stride", "padding", "dilation"),
    [
        (3, 5, 3, 1, 1, 1),
        (8, 32, 5, 2, 2, 1),
        (65, 9, 3, 1, 0, 2),
        (24, 70, 1, 1, 0, 1),
        (33, 16, 4, 3, 1, 1),
    ],
)
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_convolution_of_bytes_equals_torch(
    channels: int, outs: int, kernel: int, stride: int, padding: int, dilation: int, density: float
) -> None:
    rng = np.random.default_rng(7)
    weight = rng.integers(-99, 99, (outs, channels, kernel, kernel)).astype(np.float32)
    bias = rng.integers(-99, 99, outs).astype(np.float32)
    node = nir.Conv2d((9, 11), weight, stride, padding, dilation, 1, bias)
    x = torch.from_numpy(rng.random((2, 3, channels, 9, 11)) < density).to(torch.uint8)
    tensors = torch.from_numpy(weight), torch.from_numpy(bias)
    known = functional.conv2d(x.flatten(0, 1).float(), *tensors, stride, padding, dilation)
    gather = Gather.of("c", node, (channels, 9, 11), tuple(known.shape[1:]))
    assert gather is not None
    known = known.movedim(1, -1).unflatten(0, (2, 3))
    found, laid = torch.full(known.shape, 7.0), x.movedim(2, -1).contiguous()
    synapse = ByteSynapse.of(gather, *tensors)
    synapse.add(laid, found, first=True)
    assert torch.equal(found, known)
    synapse.add(laid, found, first=False)
    assert torch.equal(found, 2 * known)
    with pytest.raises(ValueError, match="kernels: found spikes"):
        synapse.add(laid.movedim(-1, 2), found, first=True)


@needs_kernels
def test_peaks_are_those_of_a_population_that_cannot_fire() -> None:
    graph = next(networks(1))
    flow = Flow(graph)
    for name, c in flow.coefficients.items():
        shape = graph.shapes[name]
        current = torch.randn(6, 2, *shape[1:], *shape[:1])
        u, v, highest = 0.0, 0.0, np.full(current.shape[1:], -np.inf)
        gain = float(c.gain.flatten()[0])
        for now in current.numpy().astype(np.float64):
            u = gain * now + (0.0 if c.decay_synapse is None else float(c.decay_synapse.flatten()[0])) * u
            v = u + (1.0 if c.decay is None else float(c.decay.flatten()[0])) * v
            highest = np.maximum(highest, v)
        assert peaks(c, current).numpy() == pytest.approx(highest, rel=1e-4, abs=1e-5)


@needs_kernels
def test_a_component_of_unlike_lengths_is_refused() -> None:
    flow = Flow(next(networks(1)))
    name = flow.graph.populations[0]
    spikes, packed = flow.room(name, 6, 2), flow.packed[name]
    assert packed is not None
    counts = torch.zeros(spikes.shape[2:], dtype=torch.int64)
    with pytest.raises(ValueError, match="different steps or samples"):
        run([Part(packed, [Fed(torch.zeros(5, *spikes.shape[1:]))], spikes, counts)], False)
    with pytest.raises(ValueError, match="allowed one"):
        run([], False)
