"""Training keeps signs and masks, folds to the same network, and learns."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np
import pytest
import torch

import targets
from msenas_hw.data import Dataset
from msenas_hw.training import Excess, TrainingConfig, folding, train
from msenas_hw.training.augment import shifted
from msenas_hw.training.constraints import check, project
from msenas_hw.training.folding import fold
from msenas_hw.training.normaliser import CurrentNormaliser
from targets import GraphError, SpikingGraph
from targets.reference.network import ReferenceNetwork


def network(seed: int = 0) -> SpikingGraph:
    """Conv - population with an inhibitory, masked self loop - dense - readout."""
    rng = np.random.default_rng(seed)

    def conv(inputs: int, **metadata: object) -> nir.Conv2d:
        weight = rng.normal(size=(4, inputs, 3, 3)).astype(np.float32)
        return nir.Conv2d((6, 6), weight, 1, 1, 1, 1, np.zeros(4, np.float32), metadata=metadata)

    one = np.ones((4, 6, 6), np.float32)
    mask = np.ones((4, 4, 3, 3), np.float32)
    mask[np.arange(4), np.arange(4), 1, 1] = 0
    loop = conv(4, sign="inhibitory", bias=False, mask=mask)
    loop.weight = -np.abs(loop.weight) * mask * 0.1
    nodes = {
        "input": nir.Input({"input": np.array([1, 6, 6])}),
        "c": conv(1, sign="mixed", bias=True),
        "l": nir.LIF(one * 2e-3, one, one * 0, one, one * 0),
        "loop": loop,
        "later": nir.Delay(one * 1e-3),
        "flatten": nir.Flatten({"input": np.array([4, 6, 6])}, 0, -1),
        "dense": nir.Affine(rng.normal(size=(2, 144)).astype(np.float32) / 12, np.zeros(2, np.float32)),
        "readout": nir.IF(np.full(2, 1e3, np.float32), np.ones(2, np.float32), np.zeros(2, np.float32)),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [
        ("input", "c"), ("c", "l"), ("l", "loop"), ("loop", "later"), ("later", "l"), ("l", "flatten"),
        ("flatten", "dense"), ("dense", "readout"), ("readout", "output"),
    ]  # fmt: skip
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


@pytest.fixture(scope="module")
def data(draw_bars: Callable[[int, int], tuple[np.ndarray, np.ndarray]]) -> Dataset:
    parts = [draw_bars(count, seed) for seed, count in enumerate((160, 60, 60))]
    return Dataset("bars", *(array for part in parts for array in part), classes=2, recorded=False)


def test_training_learns_and_keeps_its_constraints(data: Dataset) -> None:
    config = TrainingConfig(epochs=20, batch=16, learning_rate=0.05, shift=0)
    found = train(network(), data, "rate", 6, config, seed=0)
    check(found.graph)
    assert found.validation_accuracy >= 0.9
    x, y = data.inputs("test", "rate", 6)
    assert (targets.compile(found.graph, "reference").run(x).classes() == y).mean() >= 0.9
    assert np.any(found.graph.nodes["loop"].weight != network().nodes["loop"].weight)
    again = train(network(), data, "rate", 6, config, seed=0)
    np.testing.assert_array_equal(found.graph.nodes["c"].weight, again.graph.nodes["c"].weight)


def test_a_budget_lowers_the_spikes(data: Dataset) -> None:
    config = TrainingConfig(epochs=8, batch=16, learning_rate=0.05, shift=0, spike_penalty_start=1.0)
    free = train(network(), data, "rate", 6, config, seed=0)
    asked = free.history[-1].spikes * 0.8

    def excess(graph: SpikingGraph) -> Excess:
        x, _ = data.inputs("validation", "rate", 6)
        run = targets.compile(graph, "reference").run(x)
        share = sum(float(c.sum()) for c in run.spike_counts.values()) / run.samples / asked
        return Excess(share, share)

    held = train(network(), data, "rate", 6, config, seed=0, excess=excess)
    assert held.within_budget
    assert excess(held.graph).share <= 1.0


def test_folding_equals_the_normalised_network() -> None:
    graph = network(3)
    transforms = {"l": CurrentNormaliser((4, 6, 6)), "readout": CurrentNormaliser((2,))}
    trained = ReferenceNetwork(graph, transforms=transforms)
    trained.add_module("normalisers", torch.nn.ModuleList(transforms.values()))
    rng = np.random.default_rng(5)
    x = (rng.random((6, 20, 1, 6, 6)) < 0.4).astype(np.float32)
    with torch.no_grad():
        for _ in range(3):
            trained({"input": torch.from_numpy(x)})
        transforms["l"].log_scale += torch.linspace(-0.5, 0.5, 4).view(4, 1, 1)
        transforms["l"].shift += 0.2
    trained.eval()
    folded = fold(trained, x)
    with torch.no_grad():
        expected = trained({"input": torch.from_numpy(x)}).outputs["l"].numpy()
    found = targets.compile(folded, "reference").run(x, record=["l"]).spikes["l"]
    assert 0.05 < expected.mean() < 0.95
    assert (found != expected).mean() < 1e-3
    assert not folded.nodes["loop"].bias.any()


def test_projection_and_check() -> None:
    graph = network()
    trained = ReferenceNetwork(graph)
    with torch.no_grad():
        trained.weights["loop"].add_(1.0)
        trained.biases["loop"].add_(1.0)
        project(trained)
    assert (trained.weights["loop"] <= 0).all()
    assert not trained.biases["loop"].any()
    graph.nodes["loop"].weight = np.abs(graph.nodes["loop"].weight)
    with pytest.raises(GraphError, match=r"node 'loop': .* are not inhibitory"):
        check(graph)


def test_shift_moves_each_sample_and_brings_in_zeros() -> None:
    x = np.random.default_rng(0).random((3, 40, 1, 5, 5)).astype(np.float32) + 1
    moved = shifted(x, 1, np.random.default_rng(1))
    kinds = set()
    for i in range(40):
        padded = np.pad(x[:, i], ((0, 0), (0, 0), (1, 1), (1, 1)))
        fits = [
            (dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
            if np.array_equal(moved[:, i], padded[:, :, 1 - dy : 6 - dy, 1 - dx : 6 - dx])
        ]  # fmt: skip
        assert len(fits) == 1
        kinds.add(fits[0])
    assert len(kinds) == 9


def test_a_wrong_fold_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(3)
    transforms = {"l": CurrentNormaliser((4, 6, 6)), "readout": CurrentNormaliser((2,))}
    trained = ReferenceNetwork(graph, transforms=transforms)
    x = (np.random.default_rng(5).random((6, 20, 1, 6, 6)) < 0.4).astype(np.float32)
    with torch.no_grad():
        trained({"input": torch.from_numpy(x)})
    honest = folding._fold_population

    def wrong(*args: object) -> None:
        honest(*args[:-1], args[-1] + 0.1)

    monkeypatch.setattr(folding, "_fold_population", wrong)
    with pytest.raises(GraphError, match="folding moved its current"):
        fold(trained, x)


def test_folded_sums_are_exact() -> None:
    graph = network(4)
    transforms = {"l": CurrentNormaliser((4, 6, 6)), "readout": CurrentNormaliser((2,))}
    trained = ReferenceNetwork(graph, transforms=transforms)
    x = (np.random.default_rng(6).random((6, 20, 1, 6, 6)) < 0.4).astype(np.float32)
    with torch.no_grad():
        trained({"input": torch.from_numpy(x)})
    weight = fold(trained, x).nodes["dense"].weight.astype(np.float64)
    grid = 2.0 ** (np.ceil(np.log2(np.abs(weight).sum(axis=1).max())) - 23)
    assert (np.abs(weight / grid - np.rint(weight / grid)) < 1e-9).all()


def test_a_budget_that_spikes_do_not_decide_leaves_training_alone(data: Dataset) -> None:
    """Cores at their limit must not raise the spike penalty."""
    config = TrainingConfig(epochs=3, batch=16, learning_rate=0.05, shift=0)
    free = train(network(), data, "rate", 6, config, seed=0)
    held = train(network(), data, "rate", 6, config, seed=0, excess=lambda graph: Excess(1.0, 0.1))
    assert held.within_budget
    assert [(e.loss, e.penalty, e.spikes) for e in held.history] == [
        (e.loss, e.penalty, e.spikes) for e in free.history
    ]
