"""Synaptic operations against counting with torch: one operation a spike and nonzero weight it meets."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch

import cost_models
from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.run import Run

STEPS, SAMPLES = 6, 3


def lif(shape):
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)


def graph_of(shape, node, out_shape):
    nodes = {
        "input": nir.Input(np.array(shape)),
        "hop": node,
        "lif": lif(out_shape),
        "output": nir.Output(np.array(out_shape)),
    }
    return SpikingGraph.build(nodes, [("input", "hop"), ("hop", "lif"), ("lif", "output")], {"dt": 1e-3})


def run_of(graph, spikes, out_shape):
    counts = {"input": spikes.sum((0, 1)).astype(np.int64), "lif": np.zeros(out_shape, np.int64)}
    return Run({}, counts, {}, "by hand", 0.0, STEPS, SAMPLES)


CONVOLUTIONS = [
    # channels in, out, kernel, stride, padding, dilation, groups
    (2, 3, (3, 3), 1, 1, 1, 1),
    (2, 4, (3, 3), 2, 1, 1, 1),
    (4, 6, (3, 3), 1, 0, 1, 2),
    (3, 3, (5, 3), (2, 1), (2, 1), 1, 3),
    (1, 2, (3, 3), 1, 2, 2, 1),
    (2, 2, (1, 1), 3, 0, 1, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_synops_equal_brute_force(case):
    inside, outside, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(outside, inside // groups, *kernel)).astype(np.float32)
    weight[rng.random(weight.shape) < 0.3] = 0.0
    spikes = (rng.random((STEPS, SAMPLES, inside, 8, 7)) < 0.3).astype(np.float32)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    met = torch.nn.functional.conv2d(
        torch.from_numpy(spikes).flatten(0, 1), torch.from_numpy(weight != 0).float(), **options
    )
    node = nir.Conv2d((8, 7), weight, stride, padding, dilation, groups, np.zeros(outside, np.float32))
    graph = graph_of((inside, 8, 7), node, tuple(met.shape[1:]))
    did = cost_models.activity(graph, run_of(graph, spikes, tuple(met.shape[1:])))
    assert did.total_synops == pytest.approx(float(met.double().sum()) / SAMPLES, rel=1e-12)
    assert did.spikes["input"] == pytest.approx(spikes.sum() / SAMPLES)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (3, 2, 0)])
def test_pooling_synops_equal_brute_force(kernel, stride, padding):
    rng = np.random.default_rng(4)
    spikes = (rng.random((STEPS, SAMPLES, 3, 8, 8)) < 0.4).astype(np.float32)
    ones = torch.ones(3, 1, kernel, kernel)
    met = torch.nn.functional.conv2d(
        torch.from_numpy(spikes).flatten(0, 1), ones, stride=stride, padding=padding, groups=3
    )
    node = nir.SumPool2d(np.array([kernel] * 2), np.array([stride] * 2), np.array([padding] * 2))
    graph = graph_of((3, 8, 8), node, tuple(met.shape[1:]))
    did = cost_models.activity(graph, run_of(graph, spikes, tuple(met.shape[1:])))
    assert did.synops_into("lif") == pytest.approx(float(met.double().sum()) / SAMPLES, rel=1e-12)


def test_dense_synops_skip_zero_weights_and_updates_count_steps():
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(4, 9)).astype(np.float32)
    weight[:, 2] = 0.0
    weight[1] = 0.0
    spikes = (rng.random((STEPS, SAMPLES, 9)) < 0.5).astype(np.float32)
    graph = graph_of((9,), nir.Linear(weight), (4,))
    did = cost_models.activity(graph, run_of(graph, spikes, (4,)))
    met = torch.from_numpy(spikes) @ torch.from_numpy(weight != 0).float().T
    assert did.total_synops == pytest.approx(float(met.sum()) / SAMPLES)
    assert did.updates == {"lif": 4 * STEPS}
    assert did.hops[0].synapses == 3 * 8


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"input": np.zeros(9, np.int64)}, "'lif'.*no spike counts"),
        ({"input": np.zeros(8, np.int64), "lif": np.zeros(4, np.int64)}, "found 8 .*allowed 9"),
        ({"input": np.zeros(9), "lif": np.zeros(4, np.int64)}, "integers"),
        ({"input": np.full(9, 19), "lif": np.zeros(4, np.int64)}, "found 19 .*allowed 18"),
    ],
)
def test_a_run_that_does_not_belong_to_the_graph_is_refused(counts, said):
    graph = graph_of((9,), nir.Linear(np.ones((4, 9), np.float32)), (4,))
    with pytest.raises(DataError, match=said):
        cost_models.activity(graph, Run({}, counts, {}, "by hand", 0.0, STEPS, SAMPLES))
