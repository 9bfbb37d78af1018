"""What a network's file says about its origin: the genome, the steps of a sample and their encoding.

They stand in the metadata of the graph, so they travel through training and files to every later verb.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msenas_hw.space.config import Task, own_task
from msenas_hw.space.connectome import READOUT
from msenas_hw.space.genome import WEIGHT_BITS, Genome
from msenas_hw.space.motifs import MOTIFS
from targets.errors import MsenasError
from targets.graph.graph import SpikingGraph
from targets.graph.widths import weight_bits_of

GENOME, STEPS, ENCODING = "msenas_genome", "msenas_steps", "msenas_encoding"


def noted(genome: Genome, task: Task) -> dict[str, Any]:
    """Metadata of the graph of a genome; its number of steps is always written out."""
    steps = own_task(genome, task).steps
    return {GENOME: replace(genome, steps=steps).to_json(), STEPS: steps}


def with_input(graph: SpikingGraph, encoding: str, steps: int) -> SpikingGraph:
    """A copy of `graph` that says what input it was trained on."""
    return graph.replace(metadata={**graph.metadata, ENCODING: encoding, STEPS: steps})


def steps_of(graph: SpikingGraph) -> int | None:
    """Steps of a sample of the network; None where the graph does not say."""
    steps = graph.metadata.get(STEPS)
    return steps if isinstance(steps, int) and steps >= 1 else None


def encoding_of(graph: SpikingGraph) -> str | None:
    """Encoding that the network was trained on; None where the graph does not say."""
    encoding = graph.metadata.get(ENCODING)
    return encoding if isinstance(encoding, str) else None


def origin_of(graph: SpikingGraph) -> tuple[Genome, Task] | None:
    """Genome and task of the network; None where the graph does not say, or no longer is that network.

    Steps and widths of weights are those of the graph: training may have changed them.
    """
    text = graph.metadata.get(GENOME)
    if not isinstance(text, str) or graph.profile.dt is None:
        return None
    try:
        genome = _as_stored(Genome.from_json(text), graph)
        channels, rows, columns = graph.shapes[graph.inputs[0]]
        (classes,) = graph.shapes[graph.outputs[0]]
        task = Task((channels, rows, columns), classes, genome.steps or 0, graph.profile.dt)
        return (genome, task) if _same(graph, genome, task) else None
    except (MsenasError, ValueError, LookupError):
        return None


def _as_stored(genome: Genome, graph: SpikingGraph) -> Genome:
    bits = weight_bits_of(graph)
    cells = tuple(
        replace(
            cell,
            nodes=tuple(
                replace(node, weight_bits=bits.get(f"cell{index}.{name}", WEIGHT_BITS))
                for name, node in zip(MOTIFS[cell.motif].populations, cell.nodes, strict=True)
            ),
        )
        for index, cell in enumerate(genome.cells, start=1)
    )
    stored = bits.get(READOUT, WEIGHT_BITS)
    return replace(genome, cells=cells, readout_bits=stored, steps=steps_of(graph) or genome.steps)


def _same(graph: SpikingGraph, genome: Genome, task: Task) -> bool:
    """Whether the graph still has the edges of the genome; whoever edits a graph keeps its metadata."""
    from msenas_hw.space.decode import decode

    return set(decode(genome, task).edges) == set(graph.edges)
