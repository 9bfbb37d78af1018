"""Every motif, and feedback between cells: all targets compute the same spikes."""

from __future__ import annotations

import numpy as np
import pytest

import targets
from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, Task, decode
from targets.graph.exact import exact_sums
from targets.loihi.lower import lower

TASK = Task((1, 6, 6), classes=4, steps=8)
MODELS = {
    "feed_forward_excitation": ("lif", "cubalif"),
    "feed_forward_inhibition": ("lif", "if", "cubalif"),
    "feedback_inhibition": ("cubalif", "lif"),
    "lateral_inhibition": ("lif",),
    "mutual_inhibition": ("if", "cubalif"),
}


def gene(model: str) -> NodeGene:
    tau = None if model == "if" else 4.0
    return NodeGene(model, tau, 2.0 if model == "cubalif" else None, 0.75, 3)


def cell(motif: str, models: tuple[str, ...]) -> CellGene:
    return CellGene(motif, 4, False, tuple(gene(model) for model in models))


def single(motif: str) -> Genome:
    return Genome((cell(motif, MODELS[motif]),), frozenset({(-1, 0), (0, 1)}), frozenset())


def with_feedback() -> Genome:
    """Three cells with a skip connection and two crossing feedback connections."""
    cells = (
        cell("feed_forward_excitation", ("lif", "lif")),
        cell("lateral_inhibition", ("cubalif",)),
        cell("feed_forward_inhibition", ("lif", "if", "lif")),
    )
    forward = frozenset({(-1, 0), (0, 1), (1, 2), (0, 2), (2, 3)})
    return Genome(cells, forward, frozenset({(1, 0), (2, 1), (2, 0)}))


GENOMES = {**{motif: single(motif) for motif in MOTIFS}, "feedback_between_cells": with_feedback()}


def balanced(name: str, x: np.ndarray) -> targets.SpikingGraph:
    found = balance(decode(GENOMES[name], TASK), x)
    assert isinstance(found, Balanced)
    return exact_sums(found.graph)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return (np.random.default_rng(11).random((8, 20, 1, 6, 6)) < 0.35).astype(np.float32)


@pytest.mark.parametrize("name", GENOMES)
def test_reference_onnx_and_loihi_agree(name: str, x: np.ndarray) -> None:
    graph = balanced(name, x)
    found = targets.verify(graph, x, ["reference", "onnx", "loihi"])
    found.require()
    assert {(p.a, p.b, p.arithmetic) for p in found.pairs} == {
        ("reference", "onnx", "float32"),
        ("onnx", "loihi", "fixed"),
    }
    run = targets.compile(graph, "reference").run(x)
    assert all(run.spike_counts[population].any() for population in graph.populations)


@pytest.mark.parametrize("name", GENOMES)
def test_lava_agrees(name: str, x: np.ndarray) -> None:
    missing = targets.find("lava").unavailable()
    if missing:
        pytest.skip(missing)
    graph = balanced(name, x)
    found = targets.verify(graph, x[:, :4], ["reference", "loihi", "lava"])
    found.require()
    assert {(p.a, p.b, p.arithmetic) for p in found.pairs} == {
        ("reference", "lava", "float64"),
        ("loihi", "lava", "fixed"),
    }
    assert found.pairs[1].states_differing == 0


def test_inhibition_inhibits(x: np.ndarray) -> None:
    """With its inhibitory synapses removed, each inhibited motif fires more: the circuit is live."""
    for name, synapse, where in (
        ("feed_forward_inhibition", "cell1.I>B", "cell1.B"),
        ("feedback_inhibition", "cell1.I>E", "cell1.E"),
        ("lateral_inhibition", "cell1.E>E", "cell1.E"),
        ("mutual_inhibition", "cell1.A>B", "cell1.B"),
    ):
        graph = balanced(name, x)
        assert (graph.nodes[synapse].weight <= 0).all()
        with_it = targets.compile(graph, "reference").run(x).spike_counts[where].sum()
        graph.nodes[synapse].weight = graph.nodes[synapse].weight * 0
        without = targets.compile(graph, "reference").run(x).spike_counts[where].sum()
        assert without > with_it, name


def test_lowering_keeps_the_sign_of_dales_synapses(x: np.ndarray) -> None:
    program = lower(balanced("feed_forward_inhibition", x))
    signs = {(hop.source, hop.target): hop.sign for hop in program.hops}
    assert signs[("cell1.A", "cell1.B")] == "excitatory"
    assert signs[("cell1.I", "cell1.B")] == "inhibitory"
    assert signs[("input", "cell1.A")] == "mixed"
