"""What a person reads of a network is what its graph is."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task, decode, sample
from msenas_hw.space.connectome import READOUT
from msenas_hw.space.drawing import draw
from msenas_hw.space.motif_text import motif_lines
from msenas_hw.space.notes import origin_of, steps_of, with_input
from msenas_hw.space.portrait import portrait, portrait_text
from targets import load, save
from targets.graph.widths import with_weight_bits

TASK = Task((2, 9, 7), 5, 8)
SPACE = SpaceConfig(cells=(1, 5), widths=(2, 3, 5), weight_bits=(4, 6, 8), steps=(6, 8, 12))
SVG = "{http://www.w3.org/2000/svg}"

PICTURES = {
    "feed_forward_excitation": ["in       out", "A ─────▶ B"],
    "feed_forward_inhibition": ["in                out", "A ─────▶ I ─────┤ B", "└─────────────────▲"],
    "feedback_inhibition": ["in,out", "E ─────▶ I", "┴───2────┘"],
    "lateral_inhibition": ["in,out", "E", "└─1──┤ other neurons of E"],
    "mutual_inhibition": ["in,out   in,out", "A ──1──┤ B", "┴───1────┘"],
}


@pytest.mark.parametrize("name", MOTIFS)
def test_every_motif_is_drawn(name: str) -> None:
    assert motif_lines(MOTIFS[name]) == PICTURES[name]


def genomes() -> list[Genome]:
    rng = np.random.default_rng(7)
    return [sample(rng, SPACE, TASK) for _ in range(25)]


def test_counts_delays_and_widths_are_those_of_the_graph() -> None:
    kinds = set()
    for genome in genomes():
        found, graph = portrait(genome, TASK), decode(genome, TASK)
        synapses = [node for node in graph.nodes.values() if hasattr(node, "weight")]
        assert found["weights"] == sum(np.count_nonzero(node.weight) for node in synapses)
        biased = [node for node in synapses if node.metadata["bias"]]
        assert found["biases"] == sum(len(node.weight) for node in biased)
        assert found["neurons"] == sum(int(np.prod(graph.shapes[name])) for name in graph.populations)
        assert found["steps"] == steps_of(graph)
        delays = sorted(graph.delay_steps(name) for name in graph.nodes if name.endswith(".delay"))
        inside = [s["delay"] for cell in found["cells"] for s in cell["synapses"] if s["delay"]]
        between = [
            link["delay"]
            for link in found["connections"]
            for _ in range(_projections(genome, link))
            if link["delay"]
        ]
        assert sorted([*inside, *between]) == delays
        for cell in found["cells"]:
            for row in cell["populations"]:
                node = graph.nodes[f"{cell['cell']}.{row['population']}"]
                assert node.metadata.get("weight_bits", 8) == row["weight_bits"]
        assert graph.nodes[READOUT].metadata.get("weight_bits", 8) == found["readout"]["weight_bits"]
        kinds |= {link["kind"] for link in found["connections"]}
        kinds |= {"skip" for link in found["connections"] if link["skips"]}
    assert kinds == {"forward", "feedback", "skip"}


def _projections(genome: Genome, link: dict[str, str]) -> int:
    """Output populations times entry populations of a connection."""
    ends = [genome.cells[int(link[key].removeprefix("cell")) - 1].motif if link[key][:4] == "cell" else None
            for key in ("source", "target")]  # fmt: skip
    source, target = ends
    return (1 if source is None else len(MOTIFS[source].outputs)) * (
        1 if target is None else len(MOTIFS[target].entries)
    )


def test_the_text_says_every_value() -> None:
    nodes = (
        NodeGene("cubalif", 4.0, 2.0, 0.75, 5, weight_bits=4),
        NodeGene("lif", 8.0, None, 1.5, 3, rule="dfa+trace"),
    )
    chain = frozenset({(-1, 0), (0, 1), (0, 2), (1, 2)})
    cells = (CellGene("feedback_inhibition", 3, True, nodes), CellGene("mutual_inhibition", 2, False, nodes))
    text = portrait_text(portrait(Genome(cells, chain, frozenset({(1, 0)}), steps=6), TASK))
    for words in (
        "T = 6 steps of 0.001 s",
        "cell1   ──▶ readout  skips 1 level",
        "cell2   ┄┄▶ cell1    feedback, delay 2",
        "input   ──▶ cell1    resolution / 2",
        "cell1  feedback_inhibition, 3 x 5 x 4, resolution halved",
        "    ┴───2────┘",
        "E  CubaLIF  tau 4, tau_syn 2  threshold 0.75  kernel 5 x 5  4 bits  60 neurons",
    ):
        assert words in text
    assert re.search(r"LIF +tau 8 +threshold 1.5 +kernel 3 x 3 +8 bits .* dfa\+trace", text)


def test_the_drawing_has_every_cell_synapse_and_delay_and_no_fixed_ink() -> None:
    for genome in genomes():
        found, text = portrait(genome, TASK), draw(genome, TASK)
        root = ElementTree.fromstring(text)
        words = [node.text for node in root.iter(f"{SVG}text")]
        circles = sum(len(cell["populations"]) for cell in found["cells"])
        assert len(list(root.iter(f"{SVG}circle"))) == circles
        assert len(list(root.iter(f"{SVG}rect"))) == len(found["cells"]) + 2
        synapses = [synapse for cell in found["cells"] for synapse in cell["synapses"]]
        tips = [node.get("class", "").split()[-1] for node in root.iter(f"{SVG}path")]
        for sign in ("excitatory", "inhibitory"):
            drawn = sum(1 for node in root.iter(f"{SVG}path") if f"tip {sign}" in node.get("class", ""))
            assert drawn == sum(synapse["sign"] == sign for synapse in synapses) + 1  # the legend
        assert tips.count("back") == sum(bool(s["delay"]) for s in synapses) + len(genome.feedback)
        for link in found["connections"]:
            if link["kind"] == "feedback":
                assert f"delay {link['delay']}" in words
        for node in root.iter():
            assert not {"fill", "stroke", "style"} & set(node.keys())
        assert "currentColor" in text
        assert "var(--inhibitory" in text
        width, height = float(root.get("width", 0)), float(root.get("height", 0))
        for node in root.iter(f"{SVG}rect"):
            assert 0 <= float(node.get("x", -1)) <= width - float(node.get("width", 0))
            assert 0 <= float(node.get("y", -1)) <= height - float(node.get("height", 0))


def test_a_file_knows_its_genome_until_its_graph_is_changed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    genome = genomes()[0]
    save(decode(genome, TASK), tmp_path / "m.nir")
    graph = load(tmp_path / "m.nir")
    found = origin_of(graph)
    assert found is not None
    assert portrait(*found) == portrait(genome, TASK)
    renamed = graph.replace(
        nodes={name.replace("cell1", "other"): node for name, node in graph.nodes.items()},
        edges=tuple((a.replace("cell1", "other"), b.replace("cell1", "other")) for a, b in graph.edges),
    )
    assert origin_of(renamed) is None
    assert origin_of(graph.replace(metadata={})) is None
    # Trained in other widths, on other steps: that is what is shown.
    changed = origin_of(with_input(with_weight_bits(graph, {READOUT: 5}), "rate", 11))
    assert changed is not None
    shown = portrait(*changed)
    assert (shown["readout"]["weight_bits"], shown["steps"]) == (5, 11)
