from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task, decode, sample
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph
from targets.graph.kinds import POPULATION
from targets.loihi.align import align

TASK = Task((2, 7, 5), 3, 12)
LOOPS = SpaceConfig(cells=(3, 6), widths=(2, 3), max_halvings=0)
SPACE = SpaceConfig(cells=(1, 5), widths=(2, 3))


def node(**changes: object) -> NodeGene:
    return NodeGene(**{"model": "lif", "tau": 4.0, "tau_syn": 2.0, "threshold": 1.0, "kernel": 3, **changes})


def cell(motif: str, width: int = 3, halve: bool = False) -> CellGene:
    return CellGene(motif, width, halve, tuple(node() for _ in MOTIFS[motif].populations))


def chain(*cells: CellGene, feedback: frozenset[tuple[int, int]] = frozenset()) -> Genome:
    return Genome(cells, frozenset((i - 1, i) for i in range(len(cells) + 1)), feedback)


def population_edges(graph: SpikingGraph) -> list[tuple[str, str, int]]:
    """(source, target, delay) between Input and populations, walked node by node."""
    found = []
    for name in (*graph.inputs, *graph.populations):
        pending = [(target, 0) for source, target in graph.edges if source == name]
        while pending:
            at, delay = pending.pop()
            if isinstance(graph.nodes[at], POPULATION):
                found.append((name, at, delay))
            elif at not in graph.outputs:
                delay += graph.delay_steps(at) if isinstance(graph.nodes[at], nir.Delay) else 0
                pending.extend((target, delay) for source, target in graph.edges if source == at)
    return found


def longest(edges: list[tuple[str, str, int]]) -> dict[str, int]:
    level = {name: 0 for edge in edges for name in edge[:2]}
    for _ in level:
        for source, target, delay in edges:
            if delay == 0:
                level[target] = max(level[target], level[source] + 1)
    return level


def check_delays(genome: Genome) -> int:
    """Delay rule and alignment of one genome; returns the number of feedback connections."""
    graph = decode(genome, TASK)
    edges = population_edges(graph)
    level = longest(edges)
    for source, target, delay in edges:
        if delay:
            assert delay == 1 + level[source] - level[target]
            assert 1 <= delay < TASK.steps
    assert align(fold_graph(graph), graph.inputs).offsets == level
    return len(genome.feedback)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_offsets_are_levels_and_every_delay_follows_the_rule(seed: int) -> None:
    check_delays(sample(np.random.default_rng(seed), LOOPS, TASK))


@pytest.mark.parametrize(
    "feedback",
    [
        {(1, 0), (2, 0), (3, 0), (2, 1), (3, 1)},  # nested
        {(2, 0), (3, 1)},  # crossing
        {(i, j) for i in range(4) for j in range(i)},
    ],
)
def test_nested_and_crossing_feedback_between_every_motif(feedback: set[tuple[int, int]]) -> None:
    names = list(MOTIFS)
    for start in range(len(names)):
        cells = [cell(names[(start + k) % len(names)], 2) for k in range(4)]
        assert check_delays(chain(*cells, feedback=frozenset(feedback))) == len(feedback)


def test_feedback_as_long_as_a_sample_is_not_generated() -> None:
    cells = [cell("feed_forward_inhibition", 2) for _ in range(2)]
    genome = chain(*cells, feedback=frozenset({(1, 0)}))
    long, short = Task((1, 4, 4), 3, 7), Task((1, 4, 4), 3, 6)
    delays = [d for _, target, d in population_edges(decode(genome, long)) if d]
    assert delays == [6]
    assert not any(isinstance(n, nir.Delay) for n in decode(genome, short).nodes.values())


@pytest.mark.parametrize(
    ("motif", "expected"),
    [
        ("feed_forward_excitation", {("A", "B", "excitatory", 0)}),
        (
            "feed_forward_inhibition",
            {("A", "B", "excitatory", 0), ("A", "I", "excitatory", 0), ("I", "B", "inhibitory", 0)},
        ),
        ("feedback_inhibition", {("E", "I", "excitatory", 0), ("I", "E", "inhibitory", 2)}),
        ("lateral_inhibition", {("E", "E", "inhibitory", 1)}),
        ("mutual_inhibition", {("A", "B", "inhibitory", 1), ("B", "A", "inhibitory", 1)}),
    ],
)
def test_motif_wiring_and_signs(motif: str, expected: set[tuple[str, str, str, int]]) -> None:
    graph = decode(chain(cell(motif)), TASK)
    found = set()
    for name, value in graph.nodes.items():
        if isinstance(value, nir.Conv2d) and not name.startswith("input"):
            source, target = name.removeprefix("cell1.").split(">")
            delay = graph.delay_steps(f"{name}.delay") if f"{name}.delay" in graph.nodes else 0
            found.add((source, target, value.metadata["sign"], delay))
    assert found == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_synapse_keeps_its_constraints_and_biases_stand_once_outside_cycles(seed: int) -> None:
    genome = sample(np.random.default_rng(seed), SPACE, TASK)
    graph = decode(genome, TASK)
    biased: dict[str, int] = {}
    for name, value in graph.nodes.items():
        if not hasattr(value, "weight"):
            continue
        assert value.weight.dtype == np.float32
        sign = value.metadata["sign"]
        low, high = value.weight.min(), value.weight.max()
        assert (low < 0 < high) if sign == "mixed" else (low >= 0 if sign == "excitatory" else high <= 0)
        assert value.metadata["bias"] == (name not in graph.cyclic and value.metadata["bias"])
        assert not np.any(getattr(value, "bias", 0))
        if "mask" in value.metadata:
            centre = value.weight[:, :, value.weight.shape[2] // 2, value.weight.shape[3] // 2]
            assert not np.diag(centre).any()
            assert np.array_equal(value.weight != 0, value.metadata["mask"] == 1)
        if value.metadata["bias"]:
            (target,) = [b for a, b in graph.edges if a == name]
            biased[target] = biased.get(target, 0) + 1
    outside = {
        target
        for target in graph.populations
        if any(
            s not in graph.cyclic and hasattr(graph.nodes[s], "weight") for s in graph.predecessors[target]
        )
    }
    assert biased == dict.fromkeys(outside, 1)


def test_resolution_halves_and_strides_match() -> None:
    cells = (cell("feed_forward_excitation", halve=True), cell("feed_forward_excitation"))
    genome = Genome(cells, frozenset({(-1, 0), (-1, 1), (0, 1), (1, 2)}))
    graph = decode(genome, TASK)
    assert graph.shapes["cell1.A"] == (3, 4, 3)
    assert graph.nodes["input>cell2.A"].stride == (2, 2)
    assert graph.nodes["cell1.B>cell2.A"].stride == (1, 1)
    assert graph.shapes["cell2.B"] == (3, 4, 3)


def test_neurons_carry_their_genes() -> None:
    nodes = (node(model="cubalif", tau=8.0, tau_syn=2.0, threshold=1.5), node(model="if"))
    graph = decode(
        chain(CellGene("feed_forward_excitation", 2, False, nodes)), Task((1, 4, 4), 3, 6, dt=1e-4)
    )
    first, second = graph.nodes["cell1.A"], graph.nodes["cell1.B"]
    assert isinstance(first, nir.CubaLIF)
    assert isinstance(second, nir.IF)
    assert np.allclose(first.tau_mem, 8e-4)
    assert np.allclose(first.tau_syn, 2e-4)
    assert np.all(first.v_threshold == 1.5)
    assert np.all(second.r * graph.profile.dt == 1.0)
    assert not np.any(first.v_reset)


def test_weights_depend_on_network_and_draw_only() -> None:
    genome = chain(cell("feed_forward_excitation", 8))
    first, again, other = (decode(genome, TASK, draw).nodes["input>cell1.A"].weight for draw in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    wide = decode(chain(cell("feed_forward_excitation", 64)), TASK).nodes
    assert wide["input>cell1.A"].weight.std() == pytest.approx((2 * 9) ** -0.5, rel=0.1)
    assert np.square(wide["cell1.A>B"].weight).mean() == pytest.approx(1 / (64 * 9), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1, 8), (2, 5, 1)])
def test_feature_vectors_decode_too(shape: tuple[int, int, int]) -> None:
    """Data of one row or column: every random genome still decodes, folds and aligns."""
    task = Task(shape, classes=3, steps=6)
    rng = np.random.default_rng(4)
    for _ in range(10):
        graph = decode(sample(rng, SpaceConfig(widths=(4,)), task), task)
        align(fold_graph(graph), graph.inputs)
        assert graph.shapes["output"] == (3,)
