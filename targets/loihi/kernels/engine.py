"""What both engines of the simulator share: the chip's clock seen from each population, and results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.loihi.program import FixedHop, FixedPopulation, Program


@dataclass
class Recording:
    """What a stretch of steps gave.

    Attributes:
        spikes: `{population asked for: float32 [S, B, neurons]}`.
        u, v: `{population asked for: int64 [S, B, neurons]}` after each step.
        counts: `{Input or population: int64 [neurons]}`, over steps and samples.
    """

    spikes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    u: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    v: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)


class Engine(Protocol):
    """A lowered program made runnable.

    Attributes:
        said: what computes, in words a person reads.
    """

    said: str

    def start(self, batch: int, kept: bool = True) -> Any:
        """The state of `batch` samples before their first step, `kept` unless one call takes all steps."""
        ...

    def advance(
        self, state: Any, x: Mapping[str, NDArray[np.float32]], keep: Collection[str], states: Collection[str]
    ) -> Recording:
        """Run `{Input: [S, B, neurons]}` of -1, 0 and 1; `state` is brought up to date.

        Raises:
            NotSpikesError: the input holds anything else; `state` is spoilt.
        """
        ...


class NotSpikesError(Exception):
    """An input holds values that are no spikes."""


def ordered(program: Program) -> list[FixedPopulation]:
    """Populations by clock offset: in this order a hop without delay goes forward."""
    return sorted(program.populations, key=lambda p: p.offset)


def local_delay(program: Program, hop: FixedHop) -> int:
    """Steps from a spike to its arrival, each counted in the window of its population.

    Raises:
        GraphError: the program's clock offsets let a spike arrive before it was sent.
    """
    offsets = {p.name: p.offset for p in program.populations}
    found = 1 + hop.axonal_delay + offsets.get(hop.source, 0) - offsets[hop.target]
    if found < 0:
        raise GraphError(
            f"hop {hop.source!r} -> {hop.target!r} arrives {-found} steps before it is sent, "
            "allowed 0 or more; lower the graph again"
        )
    return found
