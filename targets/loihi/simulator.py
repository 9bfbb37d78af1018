"""Batched simulator of lowered networks, the same to the last bit as Lava's fixed point.

Each population runs in its own window: hop delays are those between windows, so that step t of every
population belongs to step t of the input, and nothing has to wait for the chip's clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from targets.checks import check_input
from targets.errors import ConfigError, DataError
from targets.loihi.kernels.compiled import CompiledEngine
from targets.loihi.kernels.engine import Engine, NotSpikesError, Recording
from targets.loihi.kernels.torch_engine import TorchEngine
from targets.loihi.program import Program
from targets.loihi.relays import check_relayed
from targets.loihi.storage import save_program
from targets.reference.kernels.build import kernels as choose_kernels
from targets.run import Run

KERNELS = "targets.loihi.kernels"
PRODUCTS = ("events", "dense")


def engine(program: Program, kernels: str = "auto", device: str = "cpu", products: str = "events") -> Engine:
    """What runs `program`: C kernels on the processor, else dense products in torch.

    Args:
        kernels: "auto" (C where a compiler is there; MSENAS_KERNELS overrules), "c" or "torch".
        device: a device of torch; any but "cpu" runs in torch.
        products: of C kernels: "dense" (lookups, whose time no spike changes) or "events" (for each hop what
            costs less where a twentieth fires: sums over spikes, or lookups).

    Raises:
        ConfigError: an unknown choice, a device that torch does not have, or "c" on a device.
        TargetUnavailableError: "c", without a compiler.
    """
    if products not in PRODUCTS:
        raise ConfigError(f"loihi: products {products!r}, allowed {', '.join(PRODUCTS)}")
    if device == "cpu":
        found = choose_kernels(kernels, KERNELS)
        if found.library is None:
            return TorchEngine(program)
        return CompiledEngine(program, found.library, products == "dense")
    if kernels == "c":
        raise ConfigError(f"loihi: kernels 'c' on device {device!r}, allowed on 'cpu'")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise ConfigError(f"loihi: device {device!r} is not there: {said}") from None
    return TorchEngine(program, device)


class LoihiExecutable:
    """A lowered network on the simulator.

    `run` begins every sample at zero. `advance` and `step` carry the state on from call to call, of a
    recurrent network too, until `reset`.
    """

    def __init__(
        self, program: Program, kernels: str = "auto", device: str = "cpu", products: str = "events"
    ) -> None:
        self.program = program
        self.graph = program.graph
        self.engine = engine(program, kernels, device, products)
        self._state: Any = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the lowered program as .npz."""
        save_program(self.program, path)

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input] of spikes.

        Raises:
            DataError: `x` does not fit the Input or holds no spikes, or `record` names a node that is
                folded into synapses.
        """
        started = time.perf_counter()
        x = np.asarray(x)
        try:
            # The engines refuse what is no spike, so only their refusal costs a look at all values.
            check_input(self.graph, x[:1] if x.ndim > 1 else x, record)
        except DataError:
            check_input(self.graph, x, record)
            raise
        return self._run(self.engine.start(x.shape[1], kept=False), x, record, states, started)

    def advance(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """As `run`, from the state that the call before left; the first call sets the number of samples.

        Raises:
            DataError: as `run`, or another number of samples; the state stays as it was.
        """
        started = time.perf_counter()
        x = integer_input(check_input(self.graph, x, record))
        if self._state is None:
            self._state = self.engine.start(x.shape[1])
        if self._state.batch != x.shape[1]:
            raise DataError(f"input holds {x.shape[1]} samples, allowed {self._state.batch} until reset()")
        return self._run(self._state, x, record, states, started)

    def step(self, x: NDArray[np.generic]) -> Mapping[str, NDArray[np.generic]]:
        """`advance` by one step, `x` [B, *input]; `{Output: [B, *shape]}`."""
        return {name: value[0] for name, value in self.advance(np.asarray(x)[None]).outputs.items()}

    def reset(self) -> None:
        """Forget the state that `advance` and `step` carry."""
        self._state = None

    def _run(
        self, state: Any, x: NDArray[np.generic], record: Collection[str], states: bool, started: float
    ) -> Run:
        (source,) = self.program.inputs
        reads = [self._read(name) for name in record]
        check_relayed(self.program, x)
        keep = {*self.program.outputs.values(), *reads} - {source}
        kept = self.graph.populations if states else ()
        fed = np.asarray(x, dtype=np.float32).reshape(*x.shape[:2], -1)
        try:
            found = self.engine.advance(state, {source: fed}, keep, kept)
        except NotSpikesError:
            integer_input(check_input(self.graph, x, record))
            raise
        spikes = {name: self._shaped(name, values) for name, values in found.spikes.items()} | {source: x}
        return Run(
            outputs={name: spikes[read] for name, read in self.program.outputs.items()},
            spike_counts={n: count.reshape(self.graph.shapes[n]) for n, count in found.counts.items()},
            spikes={name: spikes[read] for name, read in zip(record, reads, strict=True)},
            ran_on=f"Loihi simulator (fixed point, torch {torch.__version__}, {self.engine.said})",
            seconds=time.perf_counter() - started,
            steps=x.shape[0],
            samples=x.shape[1],
            states={name: self._states(name, found) for name in kept},
        )

    def _read(self, name: str) -> str:
        found = self.program.outputs.get(name, name)
        allowed = [*self.program.inputs, *(p.name for p in self.program.populations)]
        if found not in allowed:
            raise DataError(
                f"record: {name!r} is folded into synapses on the chip, allowed {', '.join(allowed)}"
            )
        return found

    def _states(self, name: str, found: Recording) -> dict[str, NDArray[Any]]:
        return {"u": self._shaped(name, found.u[name]), "v": self._shaped(name, found.v[name])}

    def _shaped(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(*values.shape[:2], *self.graph.shapes[name])


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
