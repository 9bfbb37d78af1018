"""The Loihi target: lowered integers on the batched simulator."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from targets.checks import check_input
from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph
from targets.loihi.lower import attempt, lower
from targets.loihi.program import Program
from targets.loihi.simulator import Simulator
from targets.loihi.storage import save_program
from targets.run import Run
from targets.target import Refusal


@dataclass(frozen=True)
class LoihiOptions:
    """`program`: an already lowered network; `weight_bits`: 1 to 8, used where it is lowered here."""

    arithmetic: str = "fixed"
    weight_bits: int = 8
    program: Program | None = None


class LoihiTarget:
    """Loihi's fixed-point arithmetic in torch."""

    name = "loihi"
    describes = "Loihi simulator, fixed point"
    arithmetics = ("fixed",)
    options: type[Any] = LoihiOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot be lowered."""
        return list(attempt(graph, 8)[1])

    def compile(self, graph: SpikingGraph, options: LoihiOptions) -> LoihiExecutable:
        """Lower the graph, or take the program given."""
        if options.arithmetic != "fixed":
            raise ConfigError(f"loihi: arithmetic {options.arithmetic!r}, allowed fixed")
        return LoihiExecutable(options.program or lower(graph, options.weight_bits))

    def unavailable(self) -> str | None:
        """Always available."""
        return None


def integer_input(x: NDArray[np.generic]) -> NDArray[np.generic]:
    """`x` if a chip can take it: whole numbers whose products stay exact."""
    values = np.asarray(x, dtype=np.float64)
    if (values != np.rint(values)).any():
        raise DataError("input holds fractions; a chip takes whole numbers: use a spiking encoding")
    if np.abs(values).max(initial=0) > 1:
        raise DataError(
            f"input holds graded values up to {np.abs(values).max():.0f}, "
            "allowed spikes (-1, 0 or 1) in fixed arithmetic"
        )
    return x


class LoihiExecutable:
    """A lowered network on the simulator."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.graph = program.graph
        self.simulator = Simulator(program)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the lowered program as .npz."""
        save_program(self.program, path)

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input] of spikes."""
        started = time.perf_counter()
        x = integer_input(check_input(self.graph, x, record))
        (source,) = self.program.inputs
        fed = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).flatten(2)
        kept = self.graph.populations if states else ()
        recording = self.simulator.run({source: fed}, kept)
        spikes = {name: self._shaped(name, values, np.float32) for name, values in recording.spikes.items()}
        spikes[source] = np.asarray(x)
        counts = {n: np.asarray((s != 0).sum(axis=(0, 1)), dtype=np.int64) for n, s in spikes.items()}
        return Run(
            outputs={name: spikes[read] for name, read in self.program.outputs.items()},
            spike_counts=counts,
            spikes={name: self._recorded(name, spikes) for name in record},
            ran_on=f"Loihi simulator (fixed point, torch {torch.__version__})",
            seconds=time.perf_counter() - started,
            steps=x.shape[0],
            samples=x.shape[1],
            states={
                name: {
                    "u": self._shaped(name, recording.u[name], np.int64),
                    "v": self._shaped(name, recording.v[name], np.int64),
                }
                for name in kept
            },
        )

    def _recorded(self, name: str, spikes: dict[str, NDArray[Any]]) -> NDArray[Any]:
        found = spikes.get(self.program.outputs.get(name, name))
        if found is None:
            allowed = ", ".join(spikes)
            raise DataError(f"record: {name!r} is folded into synapses on the chip, allowed {allowed}")
        return found

    def _shaped(self, name: str, values: list[torch.Tensor], dtype: Any) -> NDArray[Any]:
        stacked = torch.stack(values).numpy().astype(dtype)
        return stacked.reshape(*stacked.shape[:2], *self.graph.shapes[name])
