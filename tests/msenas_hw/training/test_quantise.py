"""Quantisation-aware training sees the weights that the Loihi target stores."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
import torch

from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.folding import fold
from msenas_hw.training.normaliser import CurrentNormaliser
from msenas_hw.training.quantise import ChipGrid
from targets import SpikingGraph, UnsupportedNodeError
from targets.graph.widths import weight_bits_of, with_weight_bits
from targets.loihi.lower import lower
from targets.reference.network import ReferenceNetwork


def pooled(model: str = "lif", scale: float = 1.0) -> SpikingGraph:
    """Conv - population - average pooling - conv with a bias - population - dense - readout."""
    rng = np.random.default_rng(1)

    def conv(inputs: int, size: int) -> nir.Conv2d:
        weight = (rng.normal(size=(3, inputs, 3, 3)) * scale).astype(np.float32)
        return nir.Conv2d((size, size), weight, 1, 1, 1, 1, rng.normal(size=3).astype(np.float32) * 0.1)

    def population(*shape: int) -> nir.NIRNode:
        one = np.ones(shape, np.float32)
        if model == "cubalif":
            return nir.CubaLIF(one * 2e-3, one * 4e-3, one, one * 0, one, one * 0, one * 2)
        return nir.LIF(one * 2e-3, one, one * 0, one * 0.5, one * 0)

    nodes = {
        "input": nir.Input({"input": np.array([1, 6, 6])}),
        "c": conv(1, 6),
        "a": population(3, 6, 6),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "d": conv(3, 3),
        "b": population(3, 3, 3),
        "flatten": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "e": nir.Affine((rng.normal(size=(2, 27)) * scale).astype(np.float32), np.zeros(2, np.float32)),
        "readout": population(2),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    return SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})


def stored(graph: SpikingGraph, bits: int) -> dict[str, np.ndarray]:
    """What lowering stores, back in thresholds: `{target: stored << exponent over the threshold}`."""
    program = lower(graph, bits)
    height = {p.name: p.vth for p in program.populations}
    return {h.target: h.matrix.toarray() * 2.0**h.exponent / height[h.target] for h in program.hops}


@pytest.mark.parametrize("model", ["lif", "cubalif"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
def test_the_grid_is_that_of_lowering(model, scale):
    graph = pooled(model, scale)
    wanted, found = stored(graph, 8), stored(ChipGrid(graph, 8).rounded(graph), 8)
    for name, matrix in wanted.items():
        # The threshold is a whole number of units, so that scales compare to half a unit of it.
        assert np.allclose(found[name], matrix, rtol=1e-3, atol=0), name
    rounded = ChipGrid(graph, 8).rounded(graph)
    errors = [row.error for row in lower(rounded).table if row.parameter.startswith("weight")]
    before = [row.error for row in lower(graph).table if row.parameter.startswith("weight")]
    assert max(errors) < 1e-5
    assert max(before) > 1e-3


def test_a_network_in_training_runs_on_the_weights_that_folding_would_store():
    graph = pooled()
    transforms = {name: CurrentNormaliser(graph.shapes[name]) for name in graph.populations}
    network = ReferenceNetwork(graph, transforms=transforms)
    network.add_module("normalisers", torch.nn.ModuleList(transforms.values()))
    x = (np.random.default_rng(2).random((5, 8, 1, 6, 6)) < 0.4).astype(np.float32)
    fed = {"input": torch.from_numpy(x)}
    with torch.no_grad():
        network(fed)
        for transform in transforms.values():
            transform.log_scale += torch.linspace(-0.4, 0.4, len(transform.log_scale)).view(transform.view)
    own = {name: weight.detach().clone() for name, weight in network.weights.items()}
    grid = ChipGrid(graph, 4)
    network.eval()
    wanted = grid.rounded(fold(network, x))
    with grid.held(network):
        for name, weight in network.weights.items():
            (population,) = [p for p in graph.populations if name in graph.synapses_into(p)]
            factor = transforms[population].folded()[0].view(-1, *[1] * (weight.dim() - 1))
            effective = (weight * factor).detach().numpy()
            assert np.allclose(effective, wanted.nodes[name].weight, rtol=1e-4, atol=1e-6), name
            assert len(np.unique(np.round(np.abs(effective) / np.abs(effective).max(), 4))) <= 9
        network(fed).outputs["output"].sum().backward()
    for name, weight in network.weights.items():
        assert torch.equal(weight, own[name])
        assert weight.grad is not None


def test_the_gradient_passes_straight_through():
    graph = pooled()
    grid, network = ChipGrid(graph, 3), ReferenceNetwork(graph)
    rounded = ReferenceNetwork(grid.rounded(graph))
    x = {"input": torch.rand(4, 8, 1, 6, 6, generator=torch.manual_seed(0)).round()}
    with grid.held(network):
        network(x).outputs["readout"].sum().backward()
    rounded(x).outputs["readout"].sum().backward()
    for name, weight in network.weights.items():
        assert torch.allclose(weight.grad, rounded.weights[name].grad, rtol=1e-3, atol=1e-5), name


def test_training_ends_on_the_grid(dense, bars):
    config = TrainingConfig(epochs=3, batch=16, learning_rate=0.05, weight_bits=3, float_share=0)
    found = train(dense, bars, "rate", 5, config, 0)
    for name in ("up", "down"):
        assert len(np.unique(np.abs(found.graph.nodes[name].weight))) <= 5
    assert len(found.history) == 3


def test_the_first_epochs_train_in_floating_point(dense, bars):
    def losses(**changes):
        config = TrainingConfig(epochs=4, batch=16, learning_rate=0.05, **changes)
        return [epoch.loss for epoch in train(dense, bars, "rate", 5, config, 0).history]

    plain = losses()
    assert losses(weight_bits=3, float_share=1.0) == plain
    half = losses(weight_bits=3)
    assert half[:2] == plain[:2]
    assert half[2] != plain[2]
    assert losses(weight_bits=3, float_share=0.0)[0] != plain[0]


def test_a_population_is_trained_in_the_width_that_it_names(dense, bars):
    """ "readout" names 3 bits; "up" has none of its own: floating point, or what the configuration says."""
    graph = with_weight_bits(dense, {"readout": 3})
    for asked, most, named in ((None, None, {"readout": 3}), (4, 9, {"hidden": 4, "readout": 3})):
        config = TrainingConfig(epochs=2, batch=16, learning_rate=0.05, weight_bits=asked, float_share=0)
        found = train(graph, bars, "rate", 5, config, 0).graph
        up, down = (len(np.unique(np.abs(found.nodes[name].weight))) for name in ("up", "down"))
        assert down <= 5
        assert up <= most if most else up > 100
        assert weight_bits_of(found) == named


def test_what_has_no_weight_of_a_core_is_refused(dense):
    graph = pooled()
    nodes = dict(graph.nodes)
    nodes["pool"] = nir.AvgPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0]))
    nodes["flatten"] = nir.Flatten({"input": np.array([3, 5, 5])}, 0, -1)
    nodes["b"] = nir.LIF(*(np.ones((3, 5, 5), np.float32) * v for v in (2e-3, 1, 0, 1, 0)))
    nodes["d"] = nir.Conv2d((5, 5), nodes["d"].weight, 1, 1, 1, 1, nodes["d"].bias)
    nodes["e"] = nir.Affine(np.ones((2, 75), np.float32), np.zeros(2, np.float32))
    with pytest.raises(UnsupportedNodeError, match=r"training\.weight_bits: node 'pool'"):
        ChipGrid(graph.replace(nodes=nodes), 8)
    late = dense.replace(profile={"dt": 1e-3, "reset": "subtract_late"})
    with pytest.raises(UnsupportedNodeError, match="loihi cannot hold this graph"):
        ChipGrid(late, 8)
