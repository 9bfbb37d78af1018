from __future__ import annotations

from dataclasses import replace

import networkx as nx
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.space import CellGene, Genome, NodeGene, SpaceConfig, Task, arch_id, canonical, decode, sample
from targets.errors import GraphError
from targets.graph.graph import SpikingGraph

TASK = Task((1, 8, 8), 3, 6)
SPACE = SpaceConfig(cells=(1, 5), widths=(4, 6))
SMALL = SpaceConfig(
    cells=(2, 4),
    widths=(4,),
    motifs=("lateral_inhibition", "mutual_inhibition"),
    models=("if",),
    thresholds=(1.0,),
    kernels=(3,),
    max_halvings=1,
)
SEEDS = st.integers(0, 2**32 - 1)
KNOWN = ["913a2c5b0a26", "d966b83b928f", "4b9ba547ae11"]


def shuffled(genome: Genome, rng: np.random.Generator) -> Genome:
    """The same network with its cells in another order that keeps forward connections forward."""
    count, order = len(genome.cells), []
    before = {j: {i for i, b in genome.forward if b == j and i >= 0} for j in range(count)}
    for i, j in genome.feedback:
        before[i].add(j)
    while len(order) < count:
        ready = [j for j in range(count) if j not in order and before[j] <= set(order)]
        order.append(int(rng.choice(ready)))
    new = {old: index for index, old in enumerate(order)} | {-1: -1, count: count}
    return Genome(
        tuple(genome.cells[i] for i in order),
        frozenset((new[i], new[j]) for i, j in genome.forward),
        frozenset((new[i], new[j]) for i, j in genome.feedback),
    )


def with_noise(genome: Genome, rng: np.random.Generator) -> Genome:
    """The same network with inert genes filled in, motifs mirrored, and a dead cell at the end."""
    cells = []
    for cell in genome.cells:
        nodes = [
            replace(
                node,
                tau=float(rng.integers(1, 9)) if node.tau is None else node.tau,
                tau_syn=float(rng.integers(1, 9)) if node.tau_syn is None else node.tau_syn,
            )
            for node in cell.nodes
        ]
        if cell.motif == "mutual_inhibition" and rng.random() < 0.5:
            nodes.reverse()
        cells.append(replace(cell, nodes=tuple(nodes)))
    count = len(cells)
    dead = replace(cells[0], width=77)
    forward = frozenset((i, count + 1 if j == count else j) for i, j in genome.forward) | {(0, count)}
    return Genome((*cells, dead), forward, genome.feedback)


def structure(graph: SpikingGraph) -> nx.DiGraph:
    """The decoded graph without its names and weights."""
    result = nx.DiGraph()
    for name, node in graph.nodes.items():
        parts = [type(node).__name__, str(graph.shapes[name])]
        if isinstance(node, nir.Conv2d):
            parts += [str(node.weight.shape), str(node.stride), node.metadata["sign"]]
            parts.append(str("mask" in node.metadata))
        for key in ("tau", "tau_mem", "tau_syn", "v_threshold", "delay"):
            if hasattr(node, key):
                parts.append(f"{key}={np.unique(getattr(node, key))}")
        kind = " ".join(parts).replace("Linear", "Affine")  # which readout synapse holds the bias is a name
        result.add_node(name, kind=kind)
    result.add_edges_from(graph.edges)
    return result


def isomorphic(a: nx.DiGraph, b: nx.DiGraph) -> bool:
    return nx.is_isomorphic(a, b, node_match=lambda x, y: x["kind"] == y["kind"])


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_one_network_has_one_id_whatever_its_order_and_inert_genes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = sample(rng, SPACE, TASK)
    assert canonical(genome, TASK) == genome
    other = with_noise(shuffled(genome, rng), rng)
    assert canonical(other, TASK) == genome
    assert arch_id(other, TASK) == arch_id(genome, TASK)


def test_ids_are_equal_exactly_where_the_decoded_graphs_are_isomorphic() -> None:
    rng = np.random.default_rng(1)
    known: dict[str, nx.DiGraph] = {}
    repeats = 0
    for _ in range(120):
        genome = sample(rng, SMALL, TASK)
        name, found = arch_id(genome, TASK), structure(decode(genome, TASK))
        if name in known:
            repeats += 1
            assert isomorphic(known[name], found)
            continue
        assert not any(isomorphic(found, other) for other in known.values())
        known[name] = found
    assert repeats > 5
    assert len(known) > 20


def test_ties_that_colour_refinement_cannot_split_are_broken_exactly() -> None:
    """Six sources and six targets in one ring of 12, two of 6, or one of 8 and one of 4: equal colours."""
    cell = CellGene("lateral_inhibition", 4, False, (NodeGene("if", None, None, 1.0, 3),))

    def ring(pairs: set[tuple[int, int]]) -> Genome:
        ends = {(-1, i) for i in range(6)} | {(6 + j, 12) for j in range(6)}
        return Genome((cell,) * 12, frozenset({(i, 6 + j) for i, j in pairs} | ends))

    one = ring({(i, i) for i in range(6)} | {(i, (i + 1) % 6) for i in range(6)})
    two = ring(
        {(i, i) for i in range(6)}
        | {(i, (i + 1) % 3) for i in range(3)}
        | {(3 + i, 3 + (i + 1) % 3) for i in range(3)}
    )
    uneven = ring(
        {(i, i) for i in range(6)}
        | {(i, (i + 1) % 4) for i in range(4)}
        | {(4 + i, 4 + (i + 1) % 2) for i in range(2)}
    )
    assert len({arch_id(genome, TASK) for genome in (one, two, uneven)}) == 3
    rng = np.random.default_rng(0)
    for genome in (one, two, uneven):
        assert {arch_id(shuffled(genome, rng), TASK) for _ in range(6)} == {arch_id(genome, TASK)}


def test_id_depends_on_the_task_and_every_live_gene() -> None:
    genome = sample(np.random.default_rng(3), SPACE, TASK)
    cell = genome.cells[0]
    louder = replace(cell.nodes[0], threshold=cell.nodes[0].threshold + 0.125)
    changed = [
        replace(genome, cells=(replace(cell, width=5), *genome.cells[1:])),
        replace(genome, cells=(replace(cell, nodes=(louder, *cell.nodes[1:])), *genome.cells[1:])),
    ]
    ids = {arch_id(genome, TASK), arch_id(genome, replace(TASK, steps=7))} | {
        arch_id(g, TASK) for g in changed
    }
    assert len(ids) == 4
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in ids)


def test_steps_are_one_gene_whether_genome_or_task_names_them() -> None:
    genome = sample(np.random.default_rng(3), SPACE, TASK)
    short = replace(TASK, steps=5)
    assert canonical(replace(genome, steps=TASK.steps), TASK) == genome
    assert arch_id(replace(genome, steps=TASK.steps), TASK) == arch_id(genome, TASK)
    assert arch_id(replace(genome, steps=5), TASK) == arch_id(genome, short) != arch_id(genome, TASK)
    assert canonical(replace(genome, steps=5), TASK).steps == 5
    one, other = decode(replace(genome, steps=5), TASK), decode(genome, short)
    assert one.edges == other.edges
    assert all(
        np.array_equal(node.weight, other.nodes[name].weight)
        for name, node in one.nodes.items()
        if hasattr(node, "weight")
    )


def test_fewer_steps_drop_feedback_that_would_not_arrive() -> None:
    cell = CellGene("feed_forward_excitation", 4, False, (NodeGene("if", None, None, 1.0, 3),) * 2)
    genome = Genome((cell, cell), frozenset({(-1, 0), (0, 1), (1, 2)}), frozenset({(1, 0)}))
    assert canonical(genome, TASK).feedback  # 4 steps of delay in a sample of 6
    assert not canonical(replace(genome, steps=4), TASK).feedback


def test_ids_of_genomes_without_the_later_genes_stay() -> None:
    """Computed before genomes had steps and weight bits; runs on disk are keyed by them."""
    rng = np.random.default_rng(5)
    found = [
        arch_id(sample(rng, SpaceConfig(), Task((1, 8, 8), 10, 8)), Task((1, 8, 8), 10, 8)) for _ in "123"
    ]
    assert found == KNOWN


def test_every_width_of_weights_has_its_id() -> None:
    genome = sample(np.random.default_rng(3), SPACE, TASK)
    cell = genome.cells[0]
    narrow = replace(cell, nodes=(replace(cell.nodes[0], weight_bits=4), *cell.nodes[1:]))
    ids = {
        arch_id(one, TASK)
        for one in (
            genome,
            replace(genome, readout_bits=4),
            replace(genome, cells=(narrow, *genome.cells[1:])),
        )
    }
    assert len(ids) == 3


def test_outer_ring_of_a_kernel_is_dropped_where_it_reads_nothing() -> None:
    cell = CellGene("lateral_inhibition", 4, False, (NodeGene("if", None, None, 1.0, 5),))
    genome = Genome((cell,), frozenset({(-1, 0), (0, 1)}))
    assert canonical(genome, Task((1, 2, 2), 3, 6)).cells[0].nodes[0].kernel == 3
    assert canonical(genome, Task((1, 2, 3), 3, 6)).cells[0].nodes[0].kernel == 5


def test_genome_without_a_path_is_refused() -> None:
    cell = CellGene("lateral_inhibition", 4, False, (NodeGene("if", None, None, 1.0, 3),))
    with pytest.raises(GraphError, match="no path"):
        canonical(Genome((cell, cell), frozenset({(-1, 0), (1, 2)})), TASK)
