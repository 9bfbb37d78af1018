"""What the estimate promises: per sample, terms that sum up, and no way to become cheaper by doing more."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_models
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.run import Run


def lif(shape):
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)


def mlp(*sizes: int) -> SpikingGraph:
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([sizes[0]]))}
    for i, (before, after) in enumerate(pairwise(sizes)):
        nodes[f"w{i}"] = nir.Linear(np.ones((after, before), np.float32))
        nodes[f"layer{i}"] = lif((after,))
    nodes["output"] = nir.Output(np.array([sizes[-1]]))
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def run_of(graph: SpikingGraph, steps: int, samples: int, count: int) -> Run:
    names = (*graph.inputs, *graph.populations)
    counts = {name: np.full(graph.shapes[name], count, np.int64) for name in names}
    return Run({}, counts, {}, "by hand", 0.0, steps, samples)


GRAPHS = {size: mlp(6, size, 3) for size in (1, 4, 300, 1024, 1025, 2100)}


def cost(size: int, steps: int, count: int, samples: int = 1, device: str = "loihi1-sanafe"):
    graph = GRAPHS[size]
    return cost_models.estimate(graph, run_of(graph, steps, samples, count), device)


def not_less(low, high):
    """No term, total or time of the second is below the first, but for rounding."""
    pairs = [(low.energy_j, high.energy_j), *((low.terms[name], high.terms[name]) for name in low.terms)]
    if low.latency_s is not None:
        pairs.append((low.latency_s, high.latency_s))
    return all(a <= b * (1 + 1e-12) for a, b in pairs)


DEVICES = cost_models.energy_devices()
sizes = st.sampled_from(sorted(GRAPHS))
steps = st.integers(5, 60)
counts = st.integers(0, 5)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(DEVICES), sizes, steps, counts, st.integers(0, 5))
def test_more_spikes_never_cost_less(device, size, steps, count, more):
    low, high = (cost(size, steps, pick(count, more), device=device) for pick in (min, max))
    assert not_less(low, high)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(DEVICES), sizes, steps, st.integers(1, 20), counts)
def test_more_steps_never_cost_less(device, size, steps, more, count):
    short, long = (cost(size, n, count, device=device) for n in (steps, steps + more))
    assert not_less(short, long)
    if device not in ("truenorth",):  # all in one energy of an event
        assert short.energy_j < long.energy_j


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(DEVICES), sizes, sizes, steps, counts)
def test_more_neurons_never_cost_less_energy(device, one, other, steps, count):
    small, large = (cost(pick(one, other), steps, count, device=device) for pick in (min, max))
    assert small.energy_j <= large.energy_j * (1 + 1e-12)
    assert (small.cores or 0) <= (large.cores or 0)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(DEVICES), st.sampled_from([300, 2100]), st.integers(1, 8), st.integers(1, 8))
def test_more_weight_bits_never_cost_less(device, size, one, other):
    graph = GRAPHS[size]
    run = run_of(graph, 10, 1, 2)
    narrow, wide = (cost_models.estimate(graph, run, device, weight_bits=b(one, other)) for b in (min, max))
    assert narrow.energy_j <= wide.energy_j * (1 + 1e-12)


@settings(max_examples=20, deadline=None)
@given(sizes, st.integers(1, 9))
def test_figures_are_per_sample(size, samples):
    graph = GRAPHS[size]
    one = cost_models.estimate(graph, run_of(graph, 10, 1, 3), "loihi1-sanafe")
    many = cost_models.estimate(graph, run_of(graph, 10, samples, 3 * samples), "loihi1-sanafe")
    assert many.energy_j == pytest.approx(one.energy_j, rel=1e-12)
    assert many.latency_s == pytest.approx(one.latency_s, rel=1e-12)
    assert (many.spikes, many.synops) == (one.spikes, one.synops)


def test_json_has_the_documented_keys_and_terms_sum_up():
    found = cost(4, 10, 2).as_json()
    keys = {"device", "energy_j", "latency_s", "spikes", "synops", "terms", "sources", "omitted"}
    assert keys < set(found)
    low, high = found["energy_band_j"]
    assert low < found["energy_j"] < high
    for constant in found["constants"]:
        assert {"name", "value", "unit", "source", "grade", "scope", "operating_point"} == set(constant)
    assert found["by_kind"] == {
        "event": found["energy_j"],
        "fixed": None,
        "static": None,
        "io": None,
        "host": None,
    }
    assert sum(found["terms"].values()) == pytest.approx(found["energy_j"])
    assert any("static power" in text for text in found["omitted"])
    assert all("SANA-FE" in text and "(" in text for text in found["sources"])


def test_aligned_steps_add_the_depth_and_inputs_stand_apart():
    found = cost(1025, 10, 0)
    assert found.steps == 10 + 2
    assert (found.cores, found.input_cores) == (3, 1)
    assert found.terms["soma_access"] == pytest.approx(12 * (6 + 1025 + 3) * 51.2e-12)


def test_injected_inputs_leave_out_their_soma_and_say_so():
    graph = GRAPHS[4]
    run = run_of(graph, 10, 1, 2)
    mapped, injected = (
        cost_models.estimate(graph, run, "loihi1-sanafe", inputs=how) for how in ("mapped", "injected")
    )
    saved = 6 * (12 * (51.2e-12 + 21.6e-12) + 2 * 69.3e-12)
    assert mapped.energy_j - injected.energy_j == pytest.approx(saved)
    assert set(injected.omitted) - set(mapped.omitted)


@pytest.mark.parametrize(
    ("device", "options", "said"),
    [
        ("loihi2", {}, "no energy model"),
        ("loihi1-sanafe", {"inputs": "free"}, "allowed mapped, injected"),
        ("loihi1-sanafe", {"cores": {"input": [0], "layer0": [1]}}, "'layer1'"),
        ("loihi1-sanafe", {"cores": {"input": [0], "layer0": [1], "layer1": [-1]}}, "'layer1'"),
        ("loihi1-sanafe", {"cores": {"nobody": [0]}}, "'nobody'"),
    ],
)
def test_wrong_options_are_refused(device, options, said):
    graph = GRAPHS[4]
    with pytest.raises(ConfigError, match=said):
        cost_models.estimate(graph, run_of(graph, 10, 1, 2), device, **options)
