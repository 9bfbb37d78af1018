"""Relay neurons: how spikes wait longer than an axon can hold them.

A hop takes one step and up to 62 of axonal delay. What is left of a longer delay passes neurons that repeat
the spikes of their source, each 63 steps later; hops of one source share them. The simulator only counts
them, as `FixedHop.relays`; Lava runs them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from targets.errors import DataError
from targets.loihi import limits
from targets.loihi.program import FixedHop, FixedPopulation, Program

REACH = limits.AXONAL_DELAY_MAX + 1
# A weight that lifts a relay above its threshold.
WEIGHT, _THRESHOLD = 2, 1


class Relays:
    """The relay neurons of a program.

    Attributes:
        populations: `{name: population}`; relay i of a source has the offset of the source + 63 i.
        sources: `{relay: what feeds it}`, over an identity of `WEIGHT` and 62 steps of axonal delay.
        ends: for each hop of the program, what it starts from and its axonal delay from there.
    """

    def __init__(self, program: Program) -> None:
        self.populations: dict[str, FixedPopulation] = {}
        self.sources: dict[str, str] = {}
        self._offsets = dict.fromkeys(program.inputs, 0) | {p.name: p.offset for p in program.populations}
        self.ends = [self._end(hop) for hop in program.hops]

    def _end(self, hop: FixedHop) -> tuple[str, int]:
        source = hop.source
        for i in range(1, hop.relays + 1):
            name = f"{hop.source}, relay {i}"
            if name not in self.populations:
                offset = self._offsets[hop.source] + i * REACH
                self.populations[name] = _relay(name, hop.matrix.shape[1], offset)
                self.sources[name] = source
            source = name
        return source, hop.axonal_delay - hop.relays * REACH


def _relay(name: str, neurons: int, offset: int) -> FixedPopulation:
    """Neurons that fire on every spike and keep nothing."""
    silent = np.zeros((1, neurons), np.int64)
    memory = limits.NO_SYNAPTIC_MEMORY
    return FixedPopulation(name, (neurons,), memory, 0, _THRESHOLD, silent, silent, offset)


def check_relayed(program: Program, x: NDArray[np.generic]) -> None:
    """DataError where negative input would have to pass a relay neuron, which fires or does not."""
    far = [hop for hop in program.hops if hop.source in program.inputs and hop.relays]
    if far and (np.asarray(x) < 0).any():
        raise DataError(
            f"input {far[0].source!r}: found -1, allowed 0 and 1 where a hop (to {far[0].target!r}) needs "
            f"{far[0].axonal_delay} steps of delay and thus {far[0].relays} relay neurons; shorten the delay"
        )
