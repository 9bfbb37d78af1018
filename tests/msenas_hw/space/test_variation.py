from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.space import Genome, Rates, Shares, SpaceConfig, Task, canonical, crossover, mutate, sample
from msenas_hw.space.canonical import live_cells
from msenas_hw.space.layout import layout

TASK = Task((1, 16, 16), 10, 8)
SPACE = SpaceConfig(cells=(2, 4), weight_bits=(4, 6, 8), steps=(6, 8, 12))


def check(genome: Genome) -> None:
    """Live, canonical and inside the ranges of SPACE."""
    assert canonical(genome, TASK) == genome
    assert SPACE.cells[0] <= len(genome.cells) <= SPACE.cells[1]
    assert len(live_cells(genome)) == len(genome.cells)
    assert max(layout(genome, TASK).halvings) <= SPACE.max_halvings
    assert genome.steps in (6, None, 12)  # 8 are the task's own
    assert genome.readout_bits in SPACE.weight_bits
    for cell in genome.cells:
        assert cell.motif in SPACE.motifs
        assert cell.width in SPACE.widths
        for node in cell.nodes:
            assert node.model in SPACE.models
            assert node.tau is None if node.model == "if" else node.tau in SPACE.taus
            assert node.tau_syn in SPACE.taus_syn if node.model == "cubalif" else node.tau_syn is None
            assert node.threshold in SPACE.thresholds
            assert node.kernel in SPACE.kernels
            assert node.weight_bits in SPACE.weight_bits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_operator_gives_valid_genomes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = sample(rng, SPACE, TASK), sample(rng, SPACE, TASK)
    for genome in (a, b, mutate(a, rng, SPACE, TASK), crossover(a, b, rng, SPACE, TASK)):
        check(genome)
    assert mutate(a, rng, SPACE, TASK) != a


def values(genome: Genome) -> Iterator[tuple[str, object]]:
    """Every gene value that a genome holds."""
    yield from (("cells", len(genome.cells)), ("steps", genome.steps), ("readout", genome.readout_bits))
    for pair in genome.forward:
        yield "forward", (pair, len(genome.cells))
    for pair in genome.feedback:
        yield "feedback", (pair, len(genome.cells))
    for cell in genome.cells:
        yield from (("motif", cell.motif), ("width", cell.width), ("halve", cell.halve))
        for node in cell.nodes:
            yield from vars(node).items()


def everything() -> set[tuple[str, object]]:
    found: set[tuple[str, object]] = {("tau", None), ("tau_syn", None)}
    for gene, key in (
        ("model", "models"),
        ("tau", "taus"),
        ("tau_syn", "taus_syn"),
        ("threshold", "thresholds"),
        ("kernel", "kernels"),
        ("motif", "motifs"),
        ("width", "widths"),
        ("rule", "rules"),
        ("weight_bits", "weight_bits"),
        ("readout", "weight_bits"),
    ):
        found |= {(gene, value) for value in getattr(SPACE, key)}
    found |= {("halve", True), ("halve", False), ("steps", 6), ("steps", None), ("steps", 12)}
    for n in range(SPACE.cells[0], SPACE.cells[1] + 1):
        found.add(("cells", n))
        found |= {("forward", ((i, j), n)) for j in range(n + 1) for i in range(-1, j) if (i, j) != (-1, n)}
        found |= {("feedback", ((i, j), n)) for i in range(n) for j in range(i)}
    return found


def test_sampling_reaches_every_gene_value() -> None:
    rng = np.random.default_rng(0)
    found = {value for _ in range(800) for value in values(sample(rng, SPACE, TASK))}
    assert found == everything()


def test_a_walk_of_mutations_reaches_every_gene_value() -> None:
    rng = np.random.default_rng(0)
    genome = sample(rng, SPACE, TASK)
    found: set[tuple[str, object]] = set()
    for _ in range(1200):
        genome = mutate(genome, rng, SPACE, TASK)
        found.update(values(genome))
    assert found == everything()


def shape(genome: Genome) -> tuple[object, ...]:
    return (len(genome.cells), genome.forward, genome.steps, tuple(sorted(c.width for c in genome.cells)))


@pytest.mark.parametrize("scale", ["micro", "meso", "macro"])
def test_a_rate_of_zero_keeps_its_scale(scale: str) -> None:
    rng = np.random.default_rng(5)
    rates = Rates(**{name: 0.5 if name == scale else 0.0 for name in ("micro", "meso", "macro")})
    for _ in range(40):
        before = sample(rng, SPACE, TASK)
        after = mutate(before, rng, SPACE, TASK, rates)
        motifs = [sorted(cell.motif for cell in genome.cells) for genome in (before, after)]
        if scale == "micro":
            assert motifs[0] == motifs[1]
            assert len(before.forward) == len(after.forward)
            assert shape(before)[2:] == shape(after)[2:]
        if scale == "meso":
            assert (before.steps, before.readout_bits) == (after.steps, after.readout_bits)
            assert len(before.cells) == len(after.cells)
            assert len(before.forward) == len(after.forward)
        if scale == "macro":
            assert before.readout_bits == after.readout_bits
        if scale == "macro" and len(before.cells) == len(after.cells):
            assert motifs[0] == motifs[1]


def test_crossover_takes_from_one_parent_alone_where_shares_say_so() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        a, b = sample(rng, SPACE, TASK), sample(rng, SPACE, TASK)
        assert crossover(a, b, rng, SPACE, TASK, Shares(0.0, 0.0, 0.0)) == a
        if len(a.cells) == len(b.cells):
            assert crossover(a, b, rng, SPACE, TASK, Shares(1.0, 1.0, 1.0)) == b


def test_operators_are_pure_functions_of_the_generator() -> None:
    first, second = (
        [sample(rng, SPACE, TASK) for _ in range(5)]
        for rng in (np.random.default_rng(9), np.random.default_rng(9))
    )
    assert first == second
