"""What running a network gives, the same for every target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph

Spikes = NDArray[np.generic]


@dataclass(frozen=True)
class Run:
    """Result of one run of `samples` samples over `steps` steps.

    Attributes:
        outputs: `{Output node: [T, B, *shape]}`.
        spike_counts: `{Input or spiking population: int64 [*shape]}`, events of each neuron summed
            over steps and samples (an Input counts its non-zero values).
        spikes: `{recorded node: [T, B, *shape]}`, aligned so that step t of every node belongs to
            step t of the input.
        states: `{population: {"u" | "v": [T, B, *shape]}}` after each step of the population's window,
            where states were asked for; v is after reset.
        ran_on: which thing ran, in words a person reads.
        seconds: wall time of the run.
    """

    outputs: Mapping[str, NDArray[np.generic]]
    spike_counts: Mapping[str, NDArray[np.int64]]
    spikes: Mapping[str, Spikes]
    ran_on: str
    seconds: float
    steps: int
    samples: int
    states: Mapping[str, Mapping[str, NDArray[np.generic]]] = field(default_factory=dict)

    @property
    def output(self) -> NDArray[np.generic]:
        """The only Output, [T, B, *shape]."""
        (value,) = self.outputs.values()
        return value

    def classes(self) -> NDArray[np.int64]:
        """Class of each sample: argmax of the output's spike counts, ties to the lower index."""
        counts = self.output.sum(axis=0, dtype=np.float64).reshape(self.samples, -1)
        return np.asarray(counts.argmax(axis=1), dtype=np.int64)


class Executable(Protocol):
    """A compiled network."""

    graph: SpikingGraph

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]; record the spikes of the named nodes, and states where asked."""
        ...
