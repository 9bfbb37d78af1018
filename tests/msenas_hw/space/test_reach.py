"""Any network can become any other by mutation, and whatever the operators give runs on a chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

import cost_models
from msenas_hw.space import (
    MOTIFS,
    Genome,
    Rates,
    SpaceConfig,
    Task,
    crossover,
    decode,
    mutate,
    sample,
)
from msenas_hw.space.labelling import relabelled
from targets.graph.widths import weight_bits_of
from targets.loihi.target import LoihiTarget

TASK = Task((1, 4, 4), 3, 4)
TINY = SpaceConfig(
    cells=(1, 2),
    widths=(4,),
    motifs=("lateral_inhibition",),
    models=("if",),
    thresholds=(1.0,),
    kernels=(3,),
    max_halvings=0,
    weight_bits=(4, 8),
    steps=(3, 4),
)
SPACE = SpaceConfig(
    cells=(1, 3),
    widths=(2, 3),
    taus=(2.0,),
    taus_syn=(2.0,),
    thresholds=(1.0, 1.5),
    max_halvings=1,
    weight_bits=(4, 5, 6, 7, 8),
    steps=(4, 6),
)
WIDE = Task((1, 3, 4), 3, 5)


def test_mutation_joins_every_network_with_every_other(every: Callable[..., dict[str, Genome]]) -> None:
    """The graph of mutations that were seen is strongly connected, and holds the whole space."""
    rng, names = np.random.default_rng(0), sorted(every(TINY, TASK))
    index = {name: i for i, name in enumerate(names)}
    steps = [
        (index[name], index[mutate(Genome.from_json(name), rng, TINY, TASK, Rates(0.3, 0.3, 0.3)).to_json()])
        for name in names
        for _ in range(10)
    ]
    rows, columns = zip(*steps, strict=True)
    graph = coo_matrix((np.ones(len(steps)), (rows, columns)), shape=(len(names), len(names)))
    assert len(names) > 100
    assert connected_components(graph, connection="strong")[0] == 1


def distance(genome: Genome, goal: Genome) -> int:
    """Genes in which two genomes differ, cells matched as well as can be; a missing cell counts 50."""
    if len(genome.cells) != len(goal.cells):
        return 50 * abs(len(genome.cells) - len(goal.cells)) + 200
    count = len(genome.cells)
    forward = [o for o in permutations(range(count)) if _forward(genome, o)]
    return min(_apart(relabelled(genome, order), goal) for order in forward)


def _forward(genome: Genome, order: tuple[int, ...]) -> bool:
    at = {cell: place for place, cell in enumerate(order)} | {-1: -1, len(order): len(order)}
    ahead = all(at[i] < at[j] for i, j in genome.forward)
    return ahead and all(at[i] > at[j] for i, j in genome.feedback)


def _apart(one: Genome, other: Genome) -> int:
    whole = (one.steps != other.steps) + (one.readout_bits != other.readout_bits)
    wires = len(one.forward ^ other.forward) + len(one.feedback ^ other.feedback)
    cells = 0
    for a, b in zip(one.cells, other.cells, strict=True):
        cells += (a.width != b.width) + (a.halve != b.halve)
        if a.motif != b.motif:
            cells += 10 * len(MOTIFS[b.motif].populations)
            continue
        for x, y in zip(a.nodes, b.nodes, strict=True):
            cells += sum(p != q for p, q in zip(astuple(x), astuple(y), strict=True))
    return whole + wires + cells


@pytest.mark.parametrize("seed", range(3))
def test_a_chain_of_small_mutations_leads_from_any_network_to_any_other(seed: int) -> None:
    """Mutations that come no closer are dropped; single genes change, each scale in its turn."""
    rng = np.random.default_rng(seed)
    genome, goal = sample(rng, SPACE, WIDE), sample(rng, SPACE, WIDE)
    scales = [Rates(0.1, 0, 0), Rates(0, 0.4, 0), Rates(0, 0, 0.1), Rates(0.05, 0.1, 0.05)]
    left, tries = distance(genome, goal), 0
    while left:
        child = mutate(genome, rng, SPACE, WIDE, scales[tries % len(scales)])
        found, tries = distance(child, goal), tries + 1
        if found <= left:
            genome, left = child, found
        assert tries < 6000, f"stuck at distance {left}"
    assert genome == goal


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["sample", "mutate", "crossover"]))
def test_whatever_the_operators_give_is_a_network_that_a_chip_holds(seed: int, operator: str) -> None:
    rng = np.random.default_rng(seed)
    genome = sample(rng, SPACE, WIDE)
    if operator == "mutate":
        genome = mutate(genome, rng, SPACE, WIDE)
    if operator == "crossover":
        genome = crossover(genome, sample(rng, SPACE, WIDE), rng, SPACE, WIDE)
    graph = decode(genome, WIDE)
    assert LoihiTarget().check(graph) == []
    report = cost_models.check(graph, "loihi2")
    assert report.placement
    named = {cell.weight_bits for gene in genome.cells for cell in gene.nodes} | {genome.readout_bits}
    assert set(weight_bits_of(graph).values()) == named - {8}
