from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import nir
import numpy as np
import pytest

import targets
from msenas_hw.fitness import Balanced, Dead, balance
from msenas_hw.fitness.balance import QUANTILE, RATES, SAMPLES
from msenas_hw.fitness.flow import Flow
from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task, decode, sample
from targets.errors import GraphError
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph

TASK = Task((1, 6, 6), 4, 6)
SPACE = SpaceConfig(cells=(1, 3), widths=(4, 8))
X = (np.random.default_rng(0).random((6, 24, 1, 6, 6)) < 0.3).astype(np.float32)


def chain(*motifs: str, threshold: float = 1.0) -> Genome:
    cells = tuple(
        CellGene(m, 8, False, (NodeGene("lif", 4.0, None, threshold, 3),) * len(MOTIFS[m].populations))
        for m in motifs
    )
    return Genome(cells, frozenset((i - 1, i) for i in range(len(cells) + 1)))


def alive(genome: Genome) -> Balanced:
    found = balance(decode(genome, TASK), X)
    assert isinstance(found, Balanced), found
    return found


def test_stated_quantile_of_peak_membranes_is_one() -> None:
    """The first population's leaky membrane, recomputed in float64 from the folded matrix."""
    graph = alive(chain("feedback_inhibition")).graph
    matrix, _ = fold(graph.nodes["input>cell1.E"], (1, 6, 6))
    v, peak = 0.0, np.full((SAMPLES, 8 * 36), -np.inf)
    for now in X[:, :SAMPLES].reshape(6, SAMPLES, -1):
        v = 0.75 * v + 0.25 * (matrix @ now.T.astype(np.float64)).T
        peak = np.maximum(peak, v)
    assert np.quantile(peak[peak > 0], QUANTILE) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("motif", list(MOTIFS))
def test_one_positive_factor_for_all_that_enters_a_population(motif: str) -> None:
    graph = decode(chain(motif, "feed_forward_excitation"), TASK)
    found = balance(graph, X)
    assert isinstance(found, Balanced)
    assert set(found.factors) == set(graph.populations)
    assert all(factor > 0 for factor in found.factors.values())
    for name, node in graph.nodes.items():
        after = found.graph.nodes[name]
        assert after.metadata.keys() == node.metadata.keys()
        if hasattr(node, "weight"):
            target = name
            while target not in found.factors:
                target = next(b for a, b in graph.edges if a == target)
            assert after.weight == pytest.approx(node.weight * found.factors[target], rel=1e-5)
            assert after.weight.dtype == np.float32


def test_balanced_run_is_the_run_of_the_balanced_graph() -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        found = balance(decode(sample(rng, SPACE, TASK), TASK), X)
        if isinstance(found, Dead):
            continue
        again = targets.compile(found.graph, "reference").run(X, record=found.graph.populations)
        for name in found.graph.populations:
            assert np.array_equal(again.spikes[name], found.run.spikes[name]), name
            assert np.array_equal(again.spike_counts[name], found.run.spike_counts[name]), name
        assert np.array_equal(again.output, found.run.output)
        assert found.rate == pytest.approx(again.output.mean())
        assert RATES[0] <= found.rate <= RATES[1]


def test_threshold_gene_still_matters() -> None:
    quiet, loud = (
        alive(chain("feed_forward_excitation", threshold=value)).run.spike_counts["cell1.A"].sum()
        for value in (1.5, 0.75)
    )
    assert 1.3 * quiet < loud


def test_scale_of_the_initial_weights_does_not_matter() -> None:
    graph = decode(chain("lateral_inhibition"), TASK)
    nodes = dict(graph.nodes)
    louder = replace(nodes["input>cell1.E"], weight=nodes["input>cell1.E"].weight * np.float32(64))
    inner = replace(nodes["cell1.E>E"], weight=nodes["cell1.E>E"].weight * np.float32(64))
    changed = graph.replace(nodes={**nodes, "input>cell1.E": louder, "cell1.E>E": inner})
    one, other = balance(graph, X), balance(changed, X)
    assert isinstance(one, Balanced)
    assert isinstance(other, Balanced)
    assert np.array_equal(one.run.spikes["cell1.E"], other.run.spikes["cell1.E"])


def test_dead_networks_are_named() -> None:
    graph = decode(chain("feed_forward_excitation"), TASK)
    silent = balance(graph, np.zeros_like(X))
    assert isinstance(silent, Dead)
    assert silent.node == "cell1.A"
    assert "no neuron" in silent.reason
    readout = graph.nodes["cell1.B>readout"]
    negative = replace(readout, weight=-np.abs(readout.weight))
    found = balance(graph.replace(nodes={**graph.nodes, "cell1.B>readout": negative}), X)
    assert isinstance(found, Dead)
    assert found.node == "readout"


def test_readout_that_closed_loop_inhibition_silences_is_dead() -> None:
    """Inhibition that follows the first spikes by one step and never lets go."""
    graph = decode(chain("lateral_inhibition"), TASK)
    node = graph.nodes["cell1.E>E"]
    mask = node.metadata["mask"]
    nodes = {**graph.nodes, "cell1.E>E": replace(node, weight=np.float32(-1e30) * mask)}
    long = np.concatenate([X[:, :4]] * 20)
    found = balance(graph.replace(nodes=nodes), long)
    assert isinstance(found, Dead)
    assert "silent" in found.reason


def test_network_silenced_by_its_inhibition_is_raised_on_closed_loop_spikes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genome = chain("mutual_inhibition", "feed_forward_excitation", "feed_forward_excitation")
    revived = alive(genome)
    module = import_module("msenas_hw.fitness.balance")
    monkeypatch.setattr(module, "REPEATS", 0)
    assert isinstance(balance(decode(genome, TASK), X), Dead)
    before = module._open_loop(Flow(decode(genome, TASK)), X[:, :SAMPLES])
    raised = {name for name in before if revived.factors[name] > before[name] * 1.01}
    assert {"cell2.A", "cell2.B", "cell3.A", "cell3.B"} & raised
    assert all(revived.factors[name] >= before[name] for name in before if name != "readout")


def test_graph_whose_output_reads_several_populations_is_refused() -> None:
    def neurons() -> nir.IF:
        return nir.IF(r=np.full(2, 1000.0), v_threshold=np.ones(2), v_reset=np.zeros(2))

    def dense() -> nir.Affine:
        return nir.Affine(np.ones((2, 2), np.float32), np.zeros(2, np.float32))

    graph = SpikingGraph.build(
        {
            "input": nir.Input(np.array([2])),
            "w1": dense(),
            "w2": dense(),
            "a": neurons(),
            "b": neurons(),
            "output": nir.Output(np.array([2])),
        },
        [("input", "w1"), ("input", "w2"), ("w1", "a"), ("w2", "b"), ("a", "output"), ("b", "output")],
        {"dt": 1e-3},
    )
    with pytest.raises(GraphError, match="one population"):
        balance(graph, np.ones((4, 3, 2), np.float32))
