"""Target "lava": Intel's own simulator of Loihi, as an oracle that shares no code with the others."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.checks import check_graph, check_input
from targets.errors import ConfigError, DataError, GraphError, TargetUnavailableError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph
from targets.graph.kinds import READOUT
from targets.lava.child import run_group
from targets.lava.environment import HINT, WORKER, interpreter, probe
from targets.lava.job import Job, fixed_job, float_job, write_job
from targets.loihi.align import align
from targets.loihi.lower import lower
from targets.loihi.normalise import profile_refusals
from targets.loihi.program import Program
from targets.loihi.relays import check_relayed
from targets.run import Run
from targets.target import Refusal

Array = NDArray[Any]
_LOG_LINES = 30


@dataclass(frozen=True)
class LavaOptions:
    """Options of the target.

    Attributes:
        arithmetic: "float64" | "fixed".
        timeout_s: wall time allowed for one run, in seconds.
        program: lowered network for fixed arithmetic; None lowers the graph with the defaults.
    """

    arithmetic: str = "float64"
    timeout_s: float = 600.0
    program: Program | None = None

    def __post_init__(self) -> None:
        if self.arithmetic not in LavaTarget.arithmetics:
            allowed = ", ".join(LavaTarget.arithmetics)
            raise ConfigError(f"option arithmetic: found {self.arithmetic!r}, allowed {allowed}")
        if not self.timeout_s > 0:
            raise ConfigError(
                f"option timeout_s: found {self.timeout_s}, allowed a positive number of seconds"
            )


class LavaTarget:
    """Lava 0.10.0 (lava-nc), run in a child process with an interpreter of its own."""

    name = "lava"
    describes = "Intel's Lava simulator of Loihi, in a child process"
    arithmetics: tuple[str, ...] = ("float64", "fixed")
    options: type[Any] = LavaOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why Lava cannot run the graph."""
        found = [*check_graph(graph, any_profile=True), *profile_refusals(graph)]
        return found or [refusal for rule in _RULES for refusal in rule(graph)]

    def compile(self, graph: SpikingGraph, options: LavaOptions) -> LavaExecutable:
        """The graph as a job for Lava.

        Raises:
            UnsupportedNodeError: fixed arithmetic cannot hold the graph.
        """
        if options.arithmetic == "float64":
            return LavaExecutable(graph, float_job(graph), options.timeout_s)
        program = options.program or lower(graph)
        return LavaExecutable(graph, fixed_job(program), options.timeout_s, program)

    def unavailable(self) -> str | None:
        """Why Lava cannot run here, or None."""
        try:
            probe()
        except TargetUnavailableError as error:
            return str(error)
        return None


@dataclass(frozen=True)
class LavaExecutable:
    """A graph that Lava can run."""

    graph: SpikingGraph
    job: Job
    timeout_s: float
    program: Program | None = None

    def run(self, x: Array, record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input], all samples back to back in one run of Lava.

        `states` gives v, and u where the population holds a synaptic current, in float64 or int64.

        Raises:
            DataError: `x` does not fit the Input or holds no spikes in fixed arithmetic, or `record`
                names a node that is folded into synapses.
            TargetUnavailableError: no environment, Lava failed, or it took longer than `timeout_s`.
        """
        x = check_input(self.graph, x, record)
        kept = (*self.graph.inputs, *self.graph.populations, *self.graph.outputs)
        folded = sorted(set(record) - set(kept))
        if folded:
            raise DataError(f"record: {folded[0]!r} is folded into synapses, allowed {', '.join(kept)}")
        train = self._train(x)
        python = interpreter()
        wanted = {name: self._recorded(name, states) for name in self.graph.populations}
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="msenas-lava-") as made:
            folder = Path(made)
            write_job(self.job, folder / "job.npz", {self.job.inputs[0]: train}, wanted)
            version = self._call(python, folder)
            found = self._results(folder, wanted, x.shape[0], x.shape[1])
        seconds = time.perf_counter() - began
        return self._assembled(x, found, record, states, version, seconds)

    def _train(self, x: Array) -> Array:
        """The input with neurons flattened, [T, B, neurons]."""
        if self.job.arithmetic == "fixed" and not np.isin(x, (-1, 0, 1)).all():
            raise DataError(
                f"input {self.job.inputs[0]!r}: found values other than -1, 0 and 1, allowed spikes in fixed "
                "arithmetic; use a spiking encoding"
            )
        if self.program is not None:
            check_relayed(self.program, x)
        return x.reshape(*x.shape[:2], -1)

    def _recorded(self, name: str, states: bool) -> list[str]:
        readout = isinstance(self.graph.nodes[name], READOUT)
        current = ["u"] if states and name in self.job.currents else []
        return [*([] if readout else ["s"]), *current, *(["v"] if readout or states else [])]

    def _call(self, python: Path, folder: Path) -> str:
        """Run the worker; the version of Lava that ran."""
        command = [str(python), "-E", "-s", str(WORKER / "main.py"), str(folder)]
        log, done = folder / "log.txt", folder / "done.json"
        code = run_group(command, self.timeout_s, log)
        if code == 0 and done.exists():
            return str(json.loads(done.read_text())["lava"])
        said = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        if code is None:
            raise TargetUnavailableError(
                f"Lava: not done after {self.timeout_s:g} s, and ended; "
                f"raise timeout_s or run fewer samples\n{said}"
            )
        raise TargetUnavailableError(
            f"Lava: {python} ended with code {code}; if its environment is broken, {HINT}\n{said}"
        )

    def _results(
        self, folder: Path, wanted: dict[str, list[str]], steps: int, samples: int
    ) -> dict[str, dict[str, Array]]:
        """`{population: {"s" | "u" | "v": [T, B, *shape]}}`."""
        flat: dict[str, dict[str, Array]] = {}
        for i, population in enumerate(self.job.populations):
            for kind in wanted.get(population.of, ()):
                array = np.load(folder / f"{i}.{kind}.npy")
                if population.neurons is not None:
                    size = int(np.prod(self.graph.shapes[population.of]))
                    whole = flat.setdefault(population.of, {}).get(kind)
                    whole = np.empty((len(array), size), array.dtype) if whole is None else whole
                    whole[:, population.neurons] = array
                    array = whole
                flat.setdefault(population.of, {})[kind] = array
        return {
            name: {kind: self._shaped(name, array, steps, samples) for kind, array in kinds.items()}
            for name, kinds in flat.items()
        }

    def _shaped(self, name: str, array: Array, steps: int, samples: int) -> Array:
        shaped = array.reshape(samples, steps, *self.graph.shapes[name]).swapaxes(0, 1)
        return _widened(np.ascontiguousarray(shaped))

    def _assembled(
        self,
        x: Array,
        found: dict[str, dict[str, Array]],
        record: Collection[str],
        states: bool,
        version: str,
        seconds: float,
    ) -> Run:
        (source,) = self.job.inputs
        signals = {source: x, **{n: kinds["s" if "s" in kinds else "v"] for n, kinds in found.items()}}
        counts = {source: np.count_nonzero(x, axis=(0, 1))}
        counts.update({n: k["s"].sum(axis=(0, 1), dtype=np.int64) for n, k in found.items() if "s" in k})
        return Run(
            outputs={output: signals[name] for output, name in self.job.outputs.items()},
            spike_counts={name: np.asarray(count, dtype=np.int64) for name, count in counts.items()},
            spikes={name: signals[self.job.outputs.get(name, name)] for name in record},
            ran_on=f"Lava {version} CPU, {self.job.arithmetic}",
            seconds=seconds,
            steps=x.shape[0],
            samples=x.shape[1],
            states={n: {k: v for k, v in kinds.items() if k != "s"} for n, kinds in found.items()}
            if states
            else {},
        )


def _widened(array: Array) -> Array:
    return array.astype(np.int64) if array.dtype == np.int32 else array


def _readable_outputs(graph: SpikingGraph) -> Iterator[Refusal]:
    for name in graph.outputs:
        sources = graph.predecessors[name]
        if len(sources) != 1 or sources[0] not in graph.populations:
            found = ", ".join(sources) or "nothing"
            yield Refusal(
                name,
                f"Output reads {found}, allowed exactly one population",
                "end the network with an IF, LIF, CubaLIF, LI or CubaLI population",
            )


def _aligned(graph: SpikingGraph) -> Iterator[Refusal]:
    try:
        align(fold_graph(graph), graph.inputs)
    except GraphError as error:
        yield Refusal(graph.outputs[0], str(error))


_RULES: tuple[Callable[[SpikingGraph], Iterator[Refusal]], ...] = (
    _readable_outputs,
    _aligned,
)
