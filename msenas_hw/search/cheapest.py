"""The cheapest networks of a space in cores, memory and parameters: what a bound must look at.

**Wiring.** Feedback, a wider cell, a larger kernel, more bits or one more connection only add neurons,
synapses or bits to a network. So take a network of n cells without feedback, all cells of least width,
kernel and bits, and cut it into the parts that connections between cells hold together. A part of s cells
has at least s - 1 of these connections, one from the Input and one to the readout, which is what a chain
of s cells has. A cell of h >= 2 halvings has a source of h - 1 or h, so at most s - h + 1 cells of the part
have h or more: the i-th cell of the chain, halved i times where the space allows it, is at least as small
as the i-th of the part, and so is the last, which the readout reads. Hence chains side by side, as long as
a partition of n says, hold a cheapest network. More cells than the fewest serve only to halve once more.

**Motifs.** The synapses of feed-forward excitation are part of those of the other motifs of two or three
populations, and lateral inhibition has as many in one. Feedback inhibition is part of mutual inhibition,
which has two entries and two outputs. What is left is mutual beside feed-forward inhibition, which has one
synapse more inside: a mutual cell between others costs that much on each connection, so it can be the
cheaper one only alone between Input and readout. Every motif is tried in all cells, and these two beside
each other.

**Chips.** That more synapses take more of a chip is proven for these figures, whatever else a network has:

* parameters;
* Speck 2f: a network that keeps its rules is a chain of feed-forward excitation with IF neurons, one core a
  population; words grow with channels, kernel and pixels. Xylo takes one core, and no words are counted;
* cores of a mesh where each population has one, since there is none with fewer populations;
* words of Loihi 2 where each population has one core: of P input channels times kernel area, cut into n
  tiles of at least C / n channels, a population of C channels and b bits takes n P ceil(C b / n 64) >=
  P ceil(C b / 64) words (n ceil(a) >= ceil(n a)); and rows of a readout cut into n take no fewer, likewise.
  Above 64 channels the chip adds a word a position, which the first side may save by a cut;
* bits of Loihi 1 where each population has one core, among networks of which none overflows a core's axons
  or memory: there a list is stored for each source channel and clipping of the kernel, and each only grows.

Where the cheapest networks are themselves cut over cores, more channels can take less memory (Loihi 2,
9 x 8 pixels, 1,200 positions: 96 channels are 2 tiles of 96 and 31,200 words, 100 channels 2 of 50 and
16,800). Then all widths are tried, and what is found is the least of these networks; it is proven for cores
that neurons alone ask for, else not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from msenas_hw.space import MOTIFS, CellGene, Genome, NodeGene, SpaceConfig, Task
from msenas_hw.space.genome import INPUT, Model
from msenas_hw.space.layout import may_halve

# Neither holds the other's synapses, see above.
_RIVALS = {"feed_forward_inhibition", "mutual_inhibition"}


def cheapest(space: SpaceConfig, task: Task, model: Model, width: int) -> Iterator[Genome]:
    """Chains of cells side by side, of least kernel and weight bits; every motif, of one model and width."""
    most = halvings_of(space, task)
    for count in range(space.cells[0], min(space.cells[1], max(space.cells[0], most)) + 1):
        for lengths, (alone, chained) in product(_partitions(count), _motifs(space)):
            if alone != chained and (lengths[0] == 1 or lengths[-1] > 1):
                continue
            yield _chains(lengths, (alone, chained), _node(space, model), width, most, space)


def halvings_of(space: SpaceConfig, task: Task) -> int:
    """How often the resolution can halve."""
    count = 0
    while count < space.max_halvings and may_halve(task, count):
        count += 1
    return count


def _motifs(space: SpaceConfig) -> Iterator[tuple[str, str]]:
    """The motif of cells that are a chain of their own, and of the others."""
    for alone, chained in product(space.motifs, repeat=2):
        if alone == chained or set(space.motifs) == _RIVALS:
            yield alone, chained


def _partitions(count: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """Every sum of whole numbers, the largest first."""
    if count == 0:
        yield ()
    for first in range(min(count, largest or count), 0, -1):
        for rest in _partitions(count - first, first):
            yield (first, *rest)


def _node(space: SpaceConfig, model: Model) -> NodeGene:
    tau, tau_syn, bits = min(space.taus), min(space.taus_syn), min(space.weight_bits)
    return NodeGene(model, tau, tau_syn, space.thresholds[0], min(space.kernels), weight_bits=bits)


def _chains(
    lengths: tuple[int, ...],
    motifs: tuple[str, str],
    node: NodeGene,
    width: int,
    most: int,
    space: SpaceConfig,
) -> Genome:
    cells: list[CellGene] = []
    forward: set[tuple[int, int]] = set()
    for length in lengths:
        motif = MOTIFS[name := motifs[length > 1]]
        first = len(cells)
        cells += [
            CellGene(name, width, place < most, (node,) * len(motif.populations)) for place in range(length)
        ]
        forward |= {(INPUT, first), (len(cells) - 1, sum(lengths))}
        forward |= {(index, index + 1) for index in range(first, len(cells) - 1)}
    steps, bits = min(space.steps, default=None), min(space.weight_bits)
    return Genome(tuple(cells), frozenset(forward), readout_bits=bits, steps=steps)
