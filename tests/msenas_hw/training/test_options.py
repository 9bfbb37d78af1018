"""Optimisers, schedules, early stop, learning rules and networks of other makers in the trainer."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import nir
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from msenas_hw.training import Observer, TrainingConfig, train
from msenas_hw.training.optimiser import optimiser, schedule
from msenas_hw.training.samples import Samples
from targets import ConfigError, DataError, GraphError, SpikingGraph
from targets.reference.network import ReferenceNetwork


def config(**changes) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 3, "batch": 16, "learning_rate": 0.05, **changes})


def rates(graph: SpikingGraph, settings: TrainingConfig, batches: int) -> list[float]:
    """The learning rate of the last group at each step, the step after the end included."""
    mover = optimiser(ReferenceNetwork(graph), settings)
    found = schedule(mover, settings, batches)
    seen = []
    for _ in range(settings.epochs * batches):
        seen.append(mover.param_groups[-1]["lr"])
        mover.step()
        found.step()
    return [*seen, mover.param_groups[-1]["lr"]]


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_schedules(dense, kind):
    steps = np.arange(31)
    cosine = rates(dense, config(optimiser=kind, schedule="cosine"), 10)
    assert np.allclose(cosine, 0.05 * (1 + np.cos(np.pi * steps / 30)) / 2)
    assert rates(dense, config(optimiser=kind, schedule="none"), 10) == [0.05] * 31
    cycle = rates(dense, config(optimiser=kind), 10)
    assert max(cycle) == pytest.approx(0.05)
    assert np.argmax(cycle) == 2
    assert cycle[0] == pytest.approx(0.05 / 25)
    assert cycle[-2] < 1e-5


@pytest.mark.parametrize("batches", [1, 2, 3, 10])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_cycle_of_any_length(dense, batches, momentum):
    settings = config(epochs=1, optimiser="sgd", momentum=momentum)
    assert max(rates(dense, settings, batches)[:-1]) <= 0.05 + 1e-12


def test_sgd_is_the_gradient_times_the_rate(dense):
    network = ReferenceNetwork(dense)
    mover = optimiser(network, config(optimiser="sgd", momentum=0.0, learning_rate=0.25))
    before = network.weights["up"].detach().clone()
    network.weights["up"].grad = torch.ones_like(before)
    mover.step()
    assert torch.equal(network.weights["up"], before - 0.25)


def test_each_optimiser_learns(dense, bars):
    for changes in ({"optimiser": "sgd", "learning_rate": 0.1}, {"schedule": "cosine"}, {}):
        found = train(dense, bars, "rate", 5, config(epochs=12, shift=0, **changes), 0)
        assert found.history[-1].loss < 0.9 * found.history[0].loss


def test_patience_ends_a_training_that_gets_no_better(dense, bars):
    # A rate that moves nothing: the first epoch stays the best.
    settings = config(epochs=20, learning_rate=1e-12, patience=3, normalise=False)
    found = train(dense, bars, "rate", 5, settings, 0)
    assert len(found.history) == 4
    assert len(train(dense, bars, "rate", 5, config(epochs=5), 0).history) == 5


def test_batches_and_epochs_are_told(dense, bars):
    told: list[object] = []
    observer = Observer(
        lambda done, total: told.append((done, total)), lambda epoch: told.append(epoch.number)
    )
    train(dense, bars, "rate", 5, config(epochs=2), 0, observer=observer)
    assert told == [(1, 6), (2, 6), (3, 6), 0, (4, 6), (5, 6), (6, 6), 1]


def test_frozen_layers_stay_and_others_move(dense, bars):
    found = train(dense, bars, "rate", 5, config(rules={"hidden": "frozen"}), 0).graph
    # Folding puts weights on the grid of exact sums.
    assert np.allclose(found.nodes["up"].weight, dense.nodes["up"].weight, atol=1e-5)
    assert not found.nodes["up"].bias.any()
    assert not np.allclose(found.nodes["down"].weight, dense.nodes["down"].weight, atol=1e-2)


def test_rules_change_what_is_learned(dense, bars):
    def weights(**changes):
        return train(dense, bars, "rate", 5, config(epochs=1, **changes), 0).graph.nodes["up"].weight

    plain = weights()
    assert np.array_equal(weights(rules={"default": "bp"}), plain)
    for rule in ("dfa", "drtp+trace", "stdp"):
        assert not np.allclose(weights(rules={"hidden": rule}), plain, atol=1e-3), rule
    assert not np.allclose(weights(rules={"readout": "fa"}), plain, atol=1e-3)


def test_step_wise_training_learns(dense, bars):
    rules = {"hidden": "bp+trace", "readout": "bp+trace"}
    settings = config(epochs=8, step_wise=True, normalise=False, rules=rules, shift=0)
    found = train(dense, bars, "rate", 5, settings, 0)
    assert found.history[-1].loss < 0.9 * found.history[0].loss


def test_step_wise_training_has_its_limits(dense, bars):
    with pytest.raises(ValidationError, match="normalise = false"):
        config(step_wise=True)
    with pytest.raises(ConfigError, match="found temporal rule bptt"):
        train(dense, bars, "rate", 5, config(step_wise=True, normalise=False), 0)


def test_an_unknown_layer_is_refused_before_training(dense, bars):
    with pytest.raises(ConfigError, match="'hiden' is no population"):
        train(dense, bars, "rate", 5, config(rules={"hiden": "fa"}), 0)


def test_the_output_needs_a_value_for_each_class(dense, bars):
    with pytest.raises(DataError, match=r"'output' \(Output\): has 2 values, data 'bars' have 3 classes"):
        train(dense, replace(bars, classes=3), "rate", 5, config(), 0)


def test_samples_must_fit_the_input(dense, bars):
    assert Samples.of(bars, "train", "rate", 5, (36,)).first(4).shape == (5, 4, 36)
    x, y = bars.inputs("train", "rate", 5)
    joined = list(Samples.of(bars, "train", "rate", 5, (1, 6, 6)).blocks())
    assert np.array_equal(np.concatenate([block[0] for block in joined], axis=1), x)
    assert np.array_equal(np.concatenate([block[1] for block in joined]), y)
    with pytest.raises(DataError, match=r"samples of shape \(1, 6, 6\), the network takes \(2, 18\)"):
        Samples.of(bars, "train", "rate", 5, (2, 18))


@pytest.mark.parametrize(
    "profile",
    [
        {"reset": "subtract"},
        {"reset": "subtract_late", "comparison": ">="},
        {"integrator": "exponential", "spikes_per_step": "many", "reset": "subtract", "clip": "-threshold"},
    ],
)
def test_every_profile_learns_and_is_kept(dense, bars, profile):
    graph = dense.replace(profile={"dt": 1e-3, **profile})
    found = train(graph, bars, "rate", 5, config(epochs=10, shift=0), 0)
    assert found.graph.profile == graph.profile
    assert found.history[-1].loss < 0.9 * found.history[0].loss
    for key in ("tau", "r", "v_threshold"):
        assert np.array_equal(getattr(found.graph.nodes["hidden"], key), getattr(dense.nodes["hidden"], key))


def test_synapses_without_a_bias_and_shared_ones_are_trained_without_normaliser(dense, bars):
    nodes = dict(dense.nodes)
    nodes["up"] = nir.Linear(nodes["up"].weight)
    nodes["twin"] = nir.LIF(**{k: v for k, v in vars(nodes["readout"]).items() if k in
                               ("tau", "r", "v_leak", "v_threshold", "v_reset")})  # fmt: skip
    nodes["back"] = nir.Affine(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    edges = [*dense.edges, ("down", "twin"), ("twin", "back"), ("back", "readout")]
    graph = dense.replace(nodes=nodes, edges=edges)
    found = train(graph, bars, "rate", 5, config(), 0)
    assert not np.allclose(found.graph.nodes["up"].weight, graph.nodes["up"].weight, atol=1e-2)


def test_a_network_without_weights_is_refused(bars):
    one = np.ones(36, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([36])}),
        "neurons": nir.IF(one, one, one * 0),
        "output": nir.Output({"output": np.array([36])}),
    }
    graph = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})
    with pytest.raises(GraphError, match="nothing to train"):
        train(graph, bars, "rate", 5, config(), 0)


def test_several_outputs_are_refused(dense, bars):
    nodes = {**dense.nodes, "second": nir.Output({"output": np.array([2])})}
    graph = dense.replace(nodes=nodes, edges=[*dense.edges, ("readout", "second")])
    with pytest.raises(GraphError, match="1 Inputs and 2 Outputs"):
        train(graph, bars, "rate", 5, config(), 0)
