"""The ONNX target: onnxruntime on the CPU or on CUDA, in float32 or in a lowered network's integers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from targets.checks import check_graph, check_input
from targets.errors import ConfigError, DataError
from targets.files import replacing
from targets.graph.graph import SpikingGraph
from targets.loihi.program import Program
from targets.onnx.fixed_form import fixed_model, input_limit
from targets.onnx.float_form import float_model
from targets.onnx.session import PROVIDERS, open_session, provider_missing, ran_on
from targets.run import Run
from targets.target import Refusal

# Bytes of a block of samples: the states and activations of a step then stay in a 1 MiB cache.
_BLOCK_BYTES = 2**20
# float32 state, activation and spike of one neuron.
_NEURON_BYTES = 12
_FLOAT_MAX = float(np.finfo(np.float32).max)

_Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class OnnxOptions:
    """Options of the ONNX target.

    Attributes:
        arithmetic: "float32" or "fixed".
        program: the lowered network of "fixed"; None lowers the graph.
        provider: "cpu" or "cuda"; never exchanged in silence.
        threads: workers, each running blocks of samples on one thread.
    """

    arithmetic: str = "float32"
    program: Program | None = None
    provider: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        for key, allowed in (("arithmetic", OnnxTarget.arithmetics), ("provider", tuple(PROVIDERS))):
            found = getattr(self, key)
            if found not in allowed:
                raise ConfigError(f"onnx: {key} is {found!r}, allowed {', '.join(allowed)}")
        if self.threads < 1:
            raise ConfigError(f"onnx: threads is {self.threads}, allowed >= 1")
        if self.program is not None and self.arithmetic != "fixed":
            raise ConfigError("onnx: a program is given, but arithmetic is 'float32'; use arithmetic='fixed'")


class OnnxTarget:
    """NIR to ONNX in its portable form, run by onnxruntime."""

    name = "onnx"
    describes = "onnxruntime, float32 or a lowered network's integers"
    arithmetics = ("float32", "fixed")
    options: type[Any] = OnnxOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot run."""
        return check_graph(graph)

    def compile(self, graph: SpikingGraph, options: OnnxOptions) -> OnnxExecutable:
        """The graph as an ONNX model with an open session.

        Raises:
            GraphError: a fixed-point sum would leave float32's exact integers.
            TargetUnavailableError: the provider does not load.
        """
        return OnnxExecutable(graph, options)

    def unavailable(self) -> str | None:
        """Why the CPU provider is missing, or None."""
        return provider_missing("cpu")


class OnnxExecutable:
    """A network in onnxruntime. Sessions are kept, one for each set of recorded nodes.

    Attributes:
        model: the portable model: outputs and spike counts.
    """

    def __init__(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        self.graph = graph
        self.options = options
        self._limit: int | None = None
        self._form: Callable[[Collection[str], bool], ModelProto]
        if options.arithmetic == "fixed":
            program = options.program or _lowered(graph)
            self._limit = input_limit(program)
            self._form = lambda record, states: fixed_model(program, record, states)
        else:
            self._form = lambda record, states: float_model(graph, record, states)
        self.model = self._form((), False)
        self._sessions = {(frozenset[str](), False): open_session(self.model, options.provider)}

    def save(self, path: str | Path) -> None:
        """Write the model whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(self.model.SerializeToString())

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]; recorded nodes give their output, states those of every population.

        Raises:
            DataError: wrong shape or type, NaN, an unknown node, or (fixed) values that are no
                integers or too large.
        """
        x = self._checked(x, record)
        session = self._session(frozenset(record), states)
        started = time.perf_counter()
        blocks = self._run_blocks(session, x)
        values = {name: _joined([block[name] for block in blocks], name) for name in blocks[0]}
        return Run(
            outputs={name: values[name] for name in self.graph.outputs},
            spike_counts=_with_suffix(values, "count"),
            spikes={name: values[f"{name}/spikes"] for name in record},
            ran_on=ran_on(self.options.provider),
            seconds=time.perf_counter() - started,
            steps=x.shape[0],
            samples=x.shape[1],
            states=_states(values) if states else {},
        )

    def _checked(self, x: NDArray[np.generic], record: Collection[str]) -> NDArray[np.float32]:
        checked = check_input(self.graph, x, record)
        if self._limit is not None:
            _check_events(checked, self.graph.inputs[0], self._limit)
        elif np.abs(checked).max() > _FLOAT_MAX:
            found = f"{np.abs(checked).max():g}, allowed up to {_FLOAT_MAX:g} (float32)"
            raise DataError(f"input {self.graph.inputs[0]!r}: holds {found}")
        return checked.astype(np.float32)

    def _session(self, record: frozenset[str], states: bool) -> Any:
        if (record, states) not in self._sessions:
            model = self._form(sorted(record), states)
            self._sessions[record, states] = open_session(model, self.options.provider)
        return self._sessions[record, states]

    def _run_blocks(self, session: Any, x: NDArray[np.float32]) -> list[_Values]:
        names = [output.name for output in session.get_outputs()]
        size = self._block_size(x.shape[1])

        def run(at: int) -> _Values:
            block = np.ascontiguousarray(x[:, at : at + size])
            return dict(zip(names, session.run(names, {self.graph.inputs[0]: block}), strict=True))

        starts = range(0, x.shape[1], size)
        if self.options.threads == 1:
            return [run(at) for at in starts]
        with ThreadPoolExecutor(self.options.threads) as workers:
            return list(workers.map(run, starts))

    def _block_size(self, samples: int) -> int:
        if self.options.provider != "cpu":
            return samples
        neurons = sum(int(np.prod(shape)) for shape in self.graph.shapes.values())
        largest = min(samples, max(1, _BLOCK_BYTES // (_NEURON_BYTES * neurons)))
        return math.ceil(samples / math.ceil(samples / largest))


def _lowered(graph: SpikingGraph) -> Program:
    # Here, so that the float form does not wait for the chip's modules.
    from targets.loihi.lower import lower

    return lower(graph)


def _check_events(x: NDArray[np.generic], name: str, limit: int) -> None:
    values = x.astype(np.float64)
    if not (values == np.rint(values)).all():
        raise DataError(f"input {name!r}: holds values that are no integers, allowed integers in fixed point")
    found = float(np.abs(values).max())
    if found > limit:
        raise DataError(f"input {name!r}: holds {found:g}, allowed up to {limit}: larger sums are not exact")


def _joined(parts: Sequence[NDArray[Any]], name: str) -> NDArray[Any]:
    """Blocks of samples put together: counts are added."""
    if len(parts) == 1:
        return parts[0]
    if name.endswith("/count"):
        return np.asarray(np.sum(parts, axis=0))
    return np.concatenate(parts, axis=1)


def _with_suffix(values: _Values, suffix: str) -> dict[str, NDArray[Any]]:
    ending = f"/{suffix}"
    return {name.removesuffix(ending): value for name, value in values.items() if name.endswith(ending)}


def _states(values: _Values) -> dict[str, dict[str, NDArray[Any]]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for state in ("u", "v"):
        for name, value in _with_suffix(values, state).items():
            found.setdefault(name, {})[state] = value
    return found
