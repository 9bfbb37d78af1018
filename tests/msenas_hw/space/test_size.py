from __future__ import annotations

from itertools import chain, combinations, product

import numpy as np
import pytest

from msenas_hw.space import (
    MOTIFS,
    CellGene,
    Genome,
    NodeGene,
    SpaceConfig,
    Task,
    arch_id,
    estimate_size,
    size,
)
from msenas_hw.space.canonical import live_cells
from msenas_hw.space.layout import layout

TASK = Task((1, 4, 4), 3, 4)
TINY = SpaceConfig(
    cells=(1, 2),
    widths=(4,),
    motifs=("lateral_inhibition", "mutual_inhibition"),
    models=("if", "lif"),
    taus=(2.0,),
    thresholds=(1.0,),
    kernels=(3,),
    max_halvings=1,
)


def subsets(pairs: list[tuple[int, int]]) -> list[frozenset[tuple[int, int]]]:
    return [frozenset(c) for c in chain.from_iterable(combinations(pairs, k) for k in range(len(pairs) + 1))]


def enumerated() -> int:
    """Every genome of TINY written out, counted by id."""
    genes = [NodeGene("if", None, None, 1.0, 3), NodeGene("lif", 2.0, None, 1.0, 3)]
    cells = [
        CellGene(motif, 4, halve, nodes)
        for motif in TINY.motifs
        for halve in (False, True)
        for nodes in product(genes, repeat=len(MOTIFS[motif].populations))
    ]
    found = set()
    for n in (1, 2):
        forward = [(i, j) for j in range(n + 1) for i in range(-1, j) if (i, j) != (-1, n)]
        backward = [(i, j) for i in range(n) for j in range(i)]
        for choice in product(cells, repeat=n):
            for wires, back in product(subsets(forward), subsets(backward)):
                genome = Genome(choice, wires, back)
                if len(live_cells(genome)) == n and max(layout(genome, TASK).halvings) <= TINY.max_halvings:
                    found.add(arch_id(genome, TASK))
    return len(found)


def test_estimate_agrees_with_enumeration() -> None:
    exact = enumerated()
    found = estimate_size(TINY, TASK, np.random.default_rng(0), samples=1500)
    assert abs(found.networks - exact) < 4 * found.standard_error
    assert found.standard_error < 0.1 * exact
    assert found.networks == pytest.approx(sum(found.by_cells.values()))


def test_steps_and_weight_bits_are_counted() -> None:
    """One lateral cell: 2 widths of its weights, 2 of the readout's, 3 numbers of steps."""
    space = SpaceConfig(
        cells=(1, 1),
        widths=(4,),
        motifs=("lateral_inhibition",),
        models=("if",),
        thresholds=(1.0,),
        kernels=(3,),
        max_halvings=0,
        weight_bits=(4, 8),
        steps=(3, 4, 9),
    )
    # Half of the labelled genomes halve, which max_halvings forbids, so the estimate has an error.
    found = estimate_size(space, TASK, np.random.default_rng(0), samples=4000)
    assert abs(found.networks - 12) < 4 * found.standard_error
    assert found.standard_error < 0.5


def test_size_is_repeatable_and_grows_with_the_space() -> None:
    assert size(TINY, TASK) == size(TINY, TASK)
    assert size(TINY.model_copy(update={"widths": (4, 8)}), TASK) > 1.5 * size(TINY, TASK)
