from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import f_oneway

import targets
from msenas_hw.fitness import (
    VARIANTS,
    Balanced,
    Fitness,
    Recording,
    balance,
    fitness,
    score,
    variance_report,
)
from msenas_hw.fitness.membranes import Membranes
from msenas_hw.fitness.rdm import bounded, movement
from msenas_hw.space import CellGene, Genome, NodeGene, SpaceConfig, Task, decode, sample
from targets.errors import DataError

TASK = Task((1, 6, 6), 4, 6)
SPACE = SpaceConfig(cells=(1, 3), widths=(4, 8))
X = (np.random.default_rng(0).random((6, 24, 1, 6, 6)) < 0.3).astype(np.float32)
NODE = NodeGene("lif", 2.0, None, 1.0, 3)
GENOME = Genome((CellGene("feed_forward_excitation", 8, False, (NODE, NODE)),), frozenset({(-1, 0), (0, 1)}))


def brute_force(spikes: np.ndarray) -> float:
    steps, samples = spikes.shape[:2]
    flat = spikes.reshape(steps, samples, -1).astype(np.float64)
    pairs = np.abs(flat[:, :, None, :] - flat[:, None, :, :])
    return float(pairs.sum(axis=(1, 2, 3)).mean() / (samples**2 * flat.shape[2]))


def test_fitness_is_the_variant_of_every_population_over_draws() -> None:
    found = fitness(GENOME, TASK, X, draws=3, variant="manhattan")
    assert found.alive
    assert len(found.per_draw) == len(found.graphs) == len(found.runs) == 3
    for value, graph, run in zip(found.per_draw, found.graphs, found.runs, strict=True):
        expected = np.mean([brute_force(run.spikes[name]) for name in graph.populations])
        assert value == pytest.approx(float(expected))
        assert (run.steps, run.samples) == (6, 24)
    assert found.mean == pytest.approx(np.mean(found.per_draw))
    assert len(set(found.per_draw)) == 3
    assert found.graph is found.graphs[0]


def test_fitness_is_repeatable_and_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    first, second = fitness(GENOME, TASK, X), fitness(GENOME, TASK, X)
    assert first.per_draw == second.per_draw
    assert torch.get_num_threads() == before


def test_identical_samples_give_no_fitness() -> None:
    same = np.repeat(X[:, :1], 8, axis=1)
    assert fitness(GENOME, TASK, same, variant="manhattan").per_draw == (0.0, 0.0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_tells_the_potentials_and_spikes_of_the_same_run(variant: str) -> None:
    found = fitness(GENOME, TASK, X, draws=1, variant=variant)
    assert found.alive
    run = targets.compile(found.graph, "reference").run(X, record=found.graph.populations, states=True)
    potentials = {name: state["v"] for name, state in run.states.items()}
    assert found.mean == pytest.approx(score(variant, Recording(run.spikes, potentials)), rel=1e-6)


def test_kernel_without_a_determinant_is_dead() -> None:
    same = np.repeat(X[:, :1], 8, axis=1)
    found = fitness(GENOME, TASK, same, variant="hamming-logdet")
    assert not found.alive
    assert "hamming-logdet is -inf" in found.reason


def test_a_readout_balanced_on_its_own_has_its_own_potentials() -> None:
    """Where the readout is scaled last, spikes and potentials are those of the network given, to rounding."""
    graph = decode(GENOME, TASK)
    nodes = {
        **graph.nodes,
        "readout": replace(graph.nodes["readout"], v_threshold=np.full(4, 40.0, np.float32)),
    }
    found = balance(graph.replace(nodes=nodes), X, Membranes(len(X[0]), True))
    assert isinstance(found, Balanced)
    run = targets.compile(found.graph, "reference").run(X, record=["readout"], states=True)
    assert found.factors["readout"] > 30
    assert np.array_equal(found.run.spikes["readout"], run.spikes["readout"])
    assert found.membranes is not None
    seen, own = found.membranes, run.states["readout"]["v"]
    assert seen.potentials()["readout"] == pytest.approx(own, rel=1e-5, abs=1e-6 * float(np.abs(own).max()))
    assert seen.largest["readout"] == pytest.approx(own.max(), rel=1e-5)


def test_membranes_shown_in_parts_move_as_the_whole_does() -> None:
    """The bound is known last: an early part falls below what a later part allows."""
    v = np.random.default_rng(0).normal(size=(5, 6, 3, 4, 4)).astype(np.float32) - 0.5
    v[:, 4:] *= 3
    whole, parts = Membranes(2, True), Membranes(2, True)
    whole("p", torch.from_numpy(v))
    for at in (0, 1, 4):
        stop = {0: 1, 1: 4, 4: 6}[at]
        parts("p", torch.from_numpy(v[:, at:stop]))
    expected = movement(bounded(v))
    assert movement(v) > 1.01 * expected
    for seen in (whole, parts):
        assert seen.moved()["p"] == pytest.approx(expected, rel=1e-5)
        assert np.array_equal(seen.potentials()["p"], v[:, :2])


def test_dead_candidate_says_why() -> None:
    found = fitness(GENOME, TASK, np.zeros_like(X))
    assert not found.alive
    assert np.isnan(found.mean)
    assert found.per_draw == ()
    assert "draw 0, node 'cell1.A'" in found.reason


@pytest.mark.parametrize("bad", [X[:5], X[:, :1], X[:, :, :, :5], X[..., 0]])
def test_samples_must_match_the_task(bad: np.ndarray) -> None:
    with pytest.raises(DataError, match="samples have shape"):
        fitness(GENOME, TASK, bad)


def scored(*rows: tuple[float, ...]) -> list[Fitness]:
    return [Fitness(float(np.mean(row)), row, True, "", (), ()) for row in rows]


def test_variance_report_agrees_with_the_f_statistic() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(0.1, 0.02, (40, 1)) + rng.normal(0, 0.01, (40, 3))
    found = variance_report(scored(*(tuple(map(float, row)) for row in table)))
    f = f_oneway(*table).statistic
    assert found.single == pytest.approx((f - 1) / (f + 2))
    assert found.mean == pytest.approx(1 - 1 / f)
    assert found.between_draws == pytest.approx(table.var(axis=1, ddof=1).mean())
    assert found.between_networks == pytest.approx(0.02**2, rel=0.5)
    assert (found.networks, found.draws) == (40, 3)


def test_variance_report_needs_two_live_networks_with_two_draws() -> None:
    dead = Fitness(float("nan"), (0.1,), False, "draw 1, node 'readout': silent", (), ())
    with pytest.raises(DataError, match="1 live networks"):
        variance_report([*scored((0.1, 0.2)), dead])
    with pytest.raises(DataError, match="live networks"):
        variance_report(scored((0.1,), (0.2,)))


def test_most_random_networks_live_and_draws_agree_better_than_networks() -> None:
    rng = np.random.default_rng(0)
    found = [fitness(sample(rng, SPACE, TASK), TASK, X) for _ in range(12)]
    assert sum(result.alive for result in found) >= 9
    assert variance_report(found).single > 0.5
