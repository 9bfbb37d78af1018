"""Operations of every stateless node against running the layer with binary weights and values.

The oracle runs the node itself in torch with every nonzero weight and value set to 1. Peers' counts
of the same six convolutions (30 % of the weights zero, 30 % of the values spikes) are recorded below,
and where they are wrong:

| peer and how it counts | found on the six cases |
|---|---|
| NeuroBench 2.3.0: binary copy of layer and input | equal, all six |
| SpikingJelly 2.0.0 `SynOpCounter`: convolution of ones | equal; but zero weights count too |
| norse: `z.sum() x Cout x kH x kW / groups` | 1.6 to 14.9 times: no stride, border, zero weights |
| syops 0.0.5: `MACs x mean rate` | 1.5 to 2.0 times: border and zero weights in full |
"""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_models
import targets
from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.graph.shapes import conv_margins, output_shape
from targets.run import Run

STEPS, SAMPLES = 5, 3


def lif(shape, threshold=1.0):
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one * threshold, v_reset=one * 0)


def chain(nodes):
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def graph_of(shape, node):
    """Input, the node, a LIF of the size that the node gives, Output."""
    out = output_shape("node", node, shape)
    ends = {"lif": lif(out), "output": nir.Output(np.array(out))}
    return chain({"input": nir.Input(np.array(shape)), "node": node, **ends})


def run_of(graph, values):
    """A run that recorded `values` [T, B, *shape] of the Input, in which nothing fired."""
    out = graph.shapes["lif"]
    counts = {"input": (values != 0).sum((0, 1)).astype(np.int64), "lif": np.zeros(out, np.int64)}
    records = {"input": values, "lif": np.zeros((*values.shape[:2], *out), np.float32)}
    return Run({}, counts, records, "by hand", 0.0, *values.shape[:2])


def binary_convolution(node, values, weight):
    """Operations [T, B]: the convolution of ones where values are, with ones where weights are."""
    axes = weight.ndim - 2
    before, after = conv_margins(node)
    padding = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    x = torch.nn.functional.pad(torch.from_numpy((values != 0).astype(np.float64)).flatten(0, 1), padding)
    run = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[axes - 1]
    kernel = torch.from_numpy((weight != 0).astype(np.float64))
    stride, dilation = (np.broadcast_to(v, axes).tolist() for v in (node.stride, node.dilation))
    met = run(x, kernel, None, stride, 0, dilation, int(node.groups))
    return met.flatten(1).sum(1).reshape(values.shape[:2]).numpy()


def some(rng, shape, graded=False):
    values = (rng.random(shape) < 0.3).astype(np.float32)
    return values * rng.choice([1.0, -1.0, 0.5], shape).astype(np.float32) if graded else values


@st.composite
def convolutions(draw):
    axes, groups = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 1, 2, 3]))
    inside, outside = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    size = tuple(draw(st.integers(5, 8)) for _ in range(axes))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    dilation = draw(st.integers(1, 2)) if max(kernel) <= 2 else 1
    padding = draw(st.sampled_from([0, 1, 2, "same", "valid"]))
    stride = 1 if padding == "same" else draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**16))
    weight = np.random.default_rng(seed).normal(size=(outside, inside // groups, *kernel)).astype(np.float32)
    weight[np.random.default_rng(seed + 1).random(weight.shape) < 0.3] = 0.0
    spatial = size[0] if axes == 1 else size
    make = nir.Conv1d if axes == 1 else nir.Conv2d
    node = make(spatial, weight, stride, padding, dilation, groups, np.zeros(outside, np.float32))
    return node, weight, (inside, *size), seed


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.booleans())
def test_convolutions_equal_the_layer_with_binary_weights(case, graded):
    node, weight, shape, seed = case
    values = some(np.random.default_rng(seed), (STEPS, SAMPLES, *shape), graded)
    graph = graph_of(shape, node)
    found = cost_models.layers(graph, run_of(graph, values)).layers["node"]
    units = np.where(np.abs(values) == 1, values, 0)
    np.testing.assert_array_equal(found.acs, binary_convolution(node, units, weight))
    np.testing.assert_array_equal(found.macs, binary_convolution(node, values - units, weight))
    dense = binary_convolution(node, np.ones((1, 1, *shape)), np.ones_like(weight))
    assert found.dense == dense.item()
    assert found.synapses == binary_convolution(node, np.ones((1, 1, *shape)), weight).item()


@settings(max_examples=25, deadline=None)
@given(convolutions(), st.booleans())
def test_hops_equal_the_layer_with_binary_weights(case, graded):
    node, weight, shape, seed = case
    values = some(np.random.default_rng(seed), (STEPS, SAMPLES, *shape), graded)
    graph = graph_of(shape, node)
    did = cost_models.activity(graph, run_of(graph, values))
    units = np.where(np.abs(values) == 1, values, 0)
    total = binary_convolution(node, values, weight).sum() / SAMPLES
    assert did.total_synops == pytest.approx(total, rel=1e-12)
    assert did.total_synops - did.total_macs == pytest.approx(
        binary_convolution(node, units, weight).sum() / SAMPLES, rel=1e-12
    )
    assert did.assumed == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.booleans(), st.integers(0, 99))
def test_pools_equal_a_convolution_of_ones(kernel, stride, padding, average, seed):
    padding = min(padding, kernel // 2)
    make = nir.AvgPool2d if average else nir.SumPool2d
    node = make(*(np.array([n, n]) for n in (kernel, stride, padding)))
    graph = graph_of((2, 7, 6), node)
    values = some(np.random.default_rng(seed), (STEPS, SAMPLES, 2, 7, 6))
    ones = np.ones((2, 1, kernel, kernel), np.float32)
    as_layer = nir.Conv2d((7, 6), ones, stride, padding, 1, 2, np.zeros(2, np.float32))
    found = cost_models.layers(graph, run_of(graph, values)).layers["node"]
    expected = binary_convolution(as_layer, values, ones)
    np.testing.assert_array_equal(found.macs if average else found.acs, expected)
    assert not (found.acs if average else found.macs).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_dense_layers_equal_a_product_of_ones(leading, inside, outside, bias, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(outside, inside)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.4] = 0.0
    node = nir.Affine(weight, np.ones(outside, np.float32)) if bias else nir.Linear(weight)
    shape = (inside,) if leading == 1 else (leading, inside)
    graph = graph_of(shape, node)
    values = some(rng, (STEPS, SAMPLES, *shape))
    found = cost_models.layers(graph, run_of(graph, values)).layers["node"]
    met = values.astype(np.float64) @ (weight != 0).T.astype(np.float64)
    np.testing.assert_array_equal(found.acs, met.reshape(STEPS, SAMPLES, -1).sum(2))
    assert found.dense == leading * inside * outside


def mixed():
    """Every kind of stateless node, and a loop through a population."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(3, 2, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input(np.array([2, 8, 8])),
        "conv": nir.Conv2d((8, 8), kernel, 1, 1, 1, 1, np.zeros(3, np.float32)),
        "first": lif((3, 8, 8), 0.05),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "scale": nir.Scale(np.full((3, 4, 4), 0.5, np.float32)),
        "flat": nir.Flatten({"input": np.array([3, 4, 4])}, 0, -1),
        "gate": nir.Threshold(np.full(48, 0.75, np.float32)),
        "dense": nir.Linear(rng.normal(size=(6, 48)).astype(np.float32)),
        "last": lif((6,), 0.05),
        "back": nir.Linear(rng.normal(size=(6, 6)).astype(np.float32)),
        "late": nir.Delay(np.full(6, 1e-3)),
        "output": nir.Output(np.array([6])),
    }
    names = list(nodes)
    edges = [*pairwise(names[:9]), ("last", "back"), ("back", "late"), ("late", "last"), ("last", "output")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


def test_a_network_of_every_kind_equals_counting_by_hand():
    graph = mixed()
    x = some(np.random.default_rng(3), (12, SAMPLES, 2, 8, 8))
    record = ["input", "first", "gate", "last"]
    run = targets.compile(graph, "reference").run(x, record=record, states=True)
    found = cost_models.layers(graph, run)
    first, gate, last = (run.spikes[n].reshape(12, SAMPLES, -1) for n in ("first", "gate", "last"))
    pooled = first.reshape(12, SAMPLES, 3, 4, 2, 4, 2).sum((4, 6)).reshape(12, SAMPLES, -1)
    np.testing.assert_array_equal(found.layers["pool"].acs, first.sum(2))
    np.testing.assert_array_equal(found.layers["scale"].macs, (pooled != 0).sum(2))
    np.testing.assert_array_equal((pooled * 0.5 > 0.75), gate)
    np.testing.assert_array_equal(found.layers["dense"].acs, gate.sum(2) * 6)
    np.testing.assert_array_equal(found.layers["back"].acs, last.sum(2) * 6)
    assert set(found.layers) == {"conv", "pool", "scale", "gate", "dense", "back"}
    assert set(found.weighted) == {"conv", "dense", "back"}
    assert found.activation_sparsity == pytest.approx(1 - (first.sum() + last.sum()) / (12 * 3 * (192 + 6)))
    changed = np.diff(run.states["last"]["v"], axis=0, prepend=0) != 0
    np.testing.assert_array_equal(found.membrane_updates["last"], changed.sum(2))
    assert gate.sum() > 0 < last.sum()


def test_hops_end_at_a_threshold_and_need_its_record():
    graph = mixed()
    x = some(np.random.default_rng(3), (12, SAMPLES, 2, 8, 8))
    run = targets.compile(graph, "reference").run(x, record=["gate"])
    did = cost_models.activity(graph, run)
    by_ends = {(hop.source, hop.target): hop.synops for hop in did.hops}
    assert by_ends["gate", "last"] == pytest.approx(6 * did.spikes["gate"])
    assert by_ends["first", "gate"] == pytest.approx(did.spikes["first"])
    assert by_ends["last", "last"] == pytest.approx(6 * did.spikes["last"])
    assert did.traffic["weight_reads"] == did.total_synops
    assert did.traffic["state_writes"] == 12 * (192 + 6)
    with pytest.raises(DataError, match=r"'gate' \(Threshold\).*record"):
        cost_models.activity(graph, targets.compile(graph, "reference").run(x))


def test_values_that_a_readout_sends_multiply():
    one = np.ones(3, np.float32)
    graph = chain(
        {
            "input": nir.Input(np.array([3])),
            "li": nir.LI(tau=one * 0.01, r=one, v_leak=one * 0),
            "w": nir.Linear(np.ones((2, 3), np.float32)),
            "output": nir.Output(np.array([2])),
        }
    )
    x = some(np.random.default_rng(1), (STEPS, SAMPLES, 3))
    did = cost_models.activity(graph, targets.compile(graph, "reference").run(x))
    assert [hop.macs for hop in did.hops] == [0.0, 2 * 3 * STEPS]
    assert did.spikes["li"] == 0


CASES = [
    # channels in, out, kernel, stride, padding, dilation, groups
    (2, 3, (3, 3), 1, 1, 1, 1),
    (2, 4, (3, 3), 2, 1, 1, 1),
    (4, 6, (3, 3), 1, 0, 1, 2),
    (3, 3, (5, 3), (2, 1), (2, 1), 1, 3),
    (1, 2, (3, 3), 1, 2, 2, 1),
    (2, 2, (1, 1), 3, 0, 1, 1),
]
# NeuroBench 2.3.0, `single_layer_MACs` of each step: (effective ACs, effective MACs, dense), all samples.
NEUROBENCH = [
    (8942, 2524, 49500),
    (2889, 803, 17160),
    (11020, 2805, 68040),
    (3365, 822, 20790),
    (2446, 622, 13800),
    (71, 17, 540),
]
# SpikingJelly 2.0.0, `SynOpCounter`, four inputs [channels, 9, 8], weights all nonzero.
SPIKINGJELLY = [3561, 1388, 5427, 1700, 948, 36]


def recorded(index):
    """Layer and values of a recorded case; the first value of the last step is graded."""
    inside, outside, kernel, stride, padding, dilation, groups = CASES[index]
    rng = np.random.default_rng(index)
    weight = rng.normal(size=(outside, inside // groups, *kernel)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.3] = 0.0
    values = (rng.random((STEPS, SAMPLES, inside, 9, 8)) < 0.3).astype(np.float32)
    values[-1, 0, 0, 4, 4] = 0.5
    node = nir.Conv2d((9, 8), weight, stride, padding, dilation, groups, np.zeros(outside, np.float32))
    return node, values


@pytest.mark.parametrize("index", range(len(CASES)))
def test_neurobench_counts_the_same(index):
    node, values = recorded(index)
    graph = graph_of(values.shape[2:], node)
    found = cost_models.layers(graph, run_of(graph, values)).as_neurobench()
    names = ("Effective_ACs", "Effective_MACs", "Dense")
    assert tuple(round(found[name] * SAMPLES) for name in names) == NEUROBENCH[index]


@pytest.mark.parametrize("index", range(len(CASES)))
def test_spikingjelly_counts_the_same_where_no_weight_is_zero(index):
    inside, outside, kernel, stride, padding, dilation, groups = CASES[index]
    values = (np.random.default_rng(index).random((1, 4, inside, 9, 8)) < 0.3).astype(np.float32)
    ones = np.ones((outside, inside // groups, *kernel), np.float32)
    node = nir.Conv2d((9, 8), ones, stride, padding, dilation, groups, np.zeros(outside, np.float32))
    graph = graph_of((inside, 9, 8), node)
    found = cost_models.layers(graph, run_of(graph, values)).layers["node"]
    assert found.acs.sum() == SPIKINGJELLY[index]


def test_formulas_of_norse_and_syops_are_off_by_what_the_table_says():
    norse, syops = [], []
    for index, (inside, outside, kernel, *_, groups) in enumerate(CASES):
        node, values = recorded(index)
        values = np.where(values == 0.5, 0, values).astype(np.float32)
        graph = graph_of((inside, 9, 8), node)
        found = cost_models.layers(graph, run_of(graph, values)).layers["node"]
        norse.append(values.sum() * outside * np.prod(kernel) / groups / found.acs.sum())
        macs = np.prod(graph.shapes["lif"]) * inside / groups * np.prod(kernel)
        syops.append(macs * values.mean() * STEPS * SAMPLES / found.acs.sum())
    assert (min(norse), max(norse)) == pytest.approx((1.559, 14.86), abs=5e-3)
    assert (min(syops), max(syops)) == pytest.approx((1.491, 2.017), abs=5e-3)


def test_without_records_the_error_says_what_to_record():
    graph = graph_of((3,), nir.Linear(np.ones((2, 3), np.float32)))
    values = some(np.random.default_rng(1), (STEPS, SAMPLES, 3))
    run = run_of(graph, values)
    bare = Run({}, run.spike_counts, {}, "by hand", 0.0, STEPS, SAMPLES)
    with pytest.raises(DataError, match=r"record=\['input', 'lif'\]"):
        cost_models.layers(graph, bare)
    short = Run({}, run.spike_counts, {**run.spikes, "input": values[:-1]}, "by hand", 0.0, STEPS, SAMPLES)
    with pytest.raises(DataError, match=r"'input'.*shape"):
        cost_models.layers(graph, short)
    assert any("'input'" in text for text in cost_models.activity(graph, bare).assumed)
