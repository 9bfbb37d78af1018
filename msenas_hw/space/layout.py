"""Where each cell lies: its resolution and its level in the delay-free graph."""

from __future__ import annotations

from dataclasses import dataclass

from msenas_hw.space.config import Task
from msenas_hw.space.genome import INPUT, Connection, Genome
from msenas_hw.space.motifs import MOTIFS

SMALLEST = 2
Size = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Positions of the cells of a genome.

    Attributes:
        halvings: how often the resolution has halved, of each cell.
        entry, out: level of each cell's entry and output populations: the longest hop path from the
            Input, feedback left out.
        readout: level of the readout.
    """

    halvings: tuple[int, ...]
    entry: tuple[int, ...]
    out: tuple[int, ...]
    readout: int

    def feedback_delay(self, source: int, target: int) -> int:
        """Steps of delay on a connection back from cell `source` to cell `target`."""
        return 1 + self.out[source] - self.entry[target]

    def allows_feedback(self, connection: Connection, task: Task) -> bool:
        """Whether a feedback connection is generated.

        Source and target have one resolution, the target lies on no later level, and the delay is
        shorter than a sample.
        """
        source, target = connection
        return (
            self.halvings[source] == self.halvings[target]
            and self.entry[source] >= self.entry[target]
            and self.feedback_delay(source, target) < task.steps
        )


def size_at(task: Task, halvings: int) -> Size:
    """Rows and columns after `halvings` halvings, rounded up."""
    rows, columns = task.input_shape[1:]
    return -(-rows >> halvings), -(-columns >> halvings)


def may_halve(task: Task, halvings: int) -> bool:
    """Whether one more halving leaves at least 2 rows and 2 columns."""
    return min(size_at(task, halvings + 1)) >= SMALLEST


def layout(genome: Genome, task: Task) -> Layout:
    """Lay out the cells.

    A cell has the resolution of its most reduced forward source, halved where its gene says so and
    `may_halve` allows; so no projection ever enlarges.
    """
    halvings: list[int] = []
    entry: list[int] = []
    out: list[int] = []
    for index, cell in enumerate(genome.cells):
        cells = [i for i in genome.sources(index) if i != INPUT]
        reduced = max((halvings[i] for i in cells), default=0)
        halvings.append(reduced + int(cell.halve and may_halve(task, reduced)))
        entry.append(1 + max((out[i] for i in cells), default=0))
        out.append(entry[-1] + MOTIFS[cell.motif].depth)
    last = 1 + max((out[i] for i in genome.sources(genome.readout)), default=0)
    return Layout(tuple(halvings), tuple(entry), tuple(out), last)
