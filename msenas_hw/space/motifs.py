"""The five circuit motifs of a cell, as populations and sign-constrained synapses.

After the motifs of MSE-NAS (Pan et al., arXiv 2304.10749), redefined here so that each is what its
name says: a synapse keeps one sign (Dale's law) and feedback crosses a time step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from targets.graph.order import levels

Sign = Literal["excitatory", "inhibitory", "mixed"]


@dataclass(frozen=True)
class Synapse:
    """A convolution between two populations of one cell.

    Attributes:
        delayed: carries 1 + level(source) - level(target) steps of delay.
        neighbours_only: no synapse from a neuron to itself.
    """

    source: str
    target: str
    sign: Sign
    delayed: bool = False
    neighbours_only: bool = False


@dataclass(frozen=True)
class Motif:
    """Wiring inside a cell.

    Attributes:
        populations: names; a cell has one node gene for each, in this order.
        entries: populations that receive what comes into the cell.
        outputs: populations that project out of the cell.
        symmetric: every exchange of populations gives the same circuit.
    """

    populations: tuple[str, ...]
    entries: tuple[str, ...]
    outputs: tuple[str, ...]
    synapses: tuple[Synapse, ...]
    symmetric: bool = False

    @cached_property
    def levels(self) -> Mapping[str, int]:
        """Longest delay-free hop path from an entry to each population."""
        return levels(self.populations, [(s.source, s.target) for s in self.synapses if not s.delayed])

    def delay(self, synapse: Synapse) -> int:
        """Steps of delay that a synapse of this motif carries."""
        return 1 + self.levels[synapse.source] - self.levels[synapse.target] if synapse.delayed else 0

    @cached_property
    def depth(self) -> int:
        """Hops from the entries to the outputs; the same for every output of a motif."""
        (depth,) = {self.levels[name] for name in self.outputs}
        return depth


MOTIFS: Mapping[str, Motif] = {
    "feed_forward_excitation": Motif(("A", "B"), ("A",), ("B",), (Synapse("A", "B", "excitatory"),)),
    "feed_forward_inhibition": Motif(
        ("A", "I", "B"),
        ("A",),
        ("B",),
        (
            Synapse("A", "B", "excitatory"),
            Synapse("A", "I", "excitatory"),
            Synapse("I", "B", "inhibitory"),
        ),
    ),
    "feedback_inhibition": Motif(
        ("E", "I"),
        ("E",),
        ("E",),
        (Synapse("E", "I", "excitatory"), Synapse("I", "E", "inhibitory", delayed=True)),
    ),
    "lateral_inhibition": Motif(
        ("E",),
        ("E",),
        ("E",),
        (Synapse("E", "E", "inhibitory", delayed=True, neighbours_only=True),),
    ),
    "mutual_inhibition": Motif(
        ("A", "B"),
        ("A", "B"),
        ("A", "B"),
        (
            Synapse("A", "B", "inhibitory", delayed=True),
            Synapse("B", "A", "inhibitory", delayed=True),
        ),
        symmetric=True,
    ),
}
