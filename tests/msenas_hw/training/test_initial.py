"""A dead weight draw gives way to the next one that lives."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import targets
from msenas_hw.config import parse_config
from msenas_hw.fitness import Balanced, balance
from msenas_hw.fitness.balance import Dead
from msenas_hw.search import setting
from msenas_hw.space import decode, sample
from msenas_hw.training import initial as module
from msenas_hw.training.initial import initial, redrawn
from targets.errors import MsenasError, UnsupportedNodeError


@pytest.fixture(scope="module")
def case():
    space = {"cells": [1, 1], "widths": [2], "kernels": [3], "motifs": ["feed_forward_excitation"]}
    config = parse_config({"data": {"samples": 4, "steps": 4}, "space": space}, "test")
    given = setting(config)
    return sample(np.random.default_rng(0), config.space, given.task), given


def dying(monkeypatch, count):
    """Make the first `count` balancings find a dead network."""
    tried = []

    def balanced(graph, x):
        tried.append(graph)
        return Dead("readout", "is silent") if len(tried) <= count else balance(graph, x)

    monkeypatch.setattr(module, "balance", balanced)
    return tried


@pytest.mark.parametrize(("dead", "draw"), [(0, 3), (2, 203)])
def test_the_first_draw_that_lives_is_taken(case, monkeypatch, dead, draw):
    genome, given = case
    dying(monkeypatch, dead)
    graph, found = initial(genome, given, 3)
    wanted = balance(decode(genome, given.task, draw), given.x)
    assert found == draw
    assert isinstance(wanted, Balanced)
    for name, node in wanted.graph.nodes.items():
        if hasattr(node, "weight"):
            assert np.array_equal(node.weight, graph.nodes[name].weight)


def test_ten_dead_draws_are_an_error(case, monkeypatch):
    tried = dying(monkeypatch, 99)
    with pytest.raises(MsenasError, match=r"seed 3: 10 draws .* draw 3: node 'readout' is silent"):
        initial(*case, 3)
    assert len(tried) == 10


def test_weights_drawn_anew_keep_signs_masks_and_neurons(case):
    genome, given = case
    graph = decode(genome, given.task, 5)
    found, draw = redrawn(graph, given.x, 1)
    assert draw % 100 == 1
    run = targets.compile(found, "reference").run(given.x)
    assert run.output.mean() > 0.01
    for name, node in graph.nodes.items():
        again = found.nodes[name]
        if not hasattr(node, "weight"):
            assert again is node
            continue
        assert not np.array_equal(again.weight, node.weight)
        assert not again.bias.any()
        sign = {"excitatory": 1, "inhibitory": -1}.get(node.metadata["sign"], 0)
        assert (again.weight * sign >= 0).all()
        assert not again.weight[np.broadcast_to(node.metadata.get("mask", 1.0), node.weight.shape) == 0].any()


def test_weights_are_not_drawn_for_what_cannot_be_balanced(case):
    genome, given = case
    graph = decode(genome, given.task, 5)
    (readout,) = graph.predecessors[graph.outputs[0]]
    one = np.ones(graph.shapes[readout], np.float32)
    silent = graph.replace(nodes={**graph.nodes, readout: nir.LI(one * 1e-2, one, one * 0)})
    with pytest.raises(UnsupportedNodeError, match="allowed one spiking population"):
        redrawn(silent, given.x, 0)
