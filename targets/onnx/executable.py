"""A network in onnxruntime: whole runs in blocks of samples, or a live stream step by step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from targets.checks import check_input
from targets.errors import DataError
from targets.files import replacing
from targets.graph.graph import SpikingGraph
from targets.onnx.body import Body
from targets.onnx.chunk import chunk_model
from targets.onnx.fixed_form import fixed_body, input_limit
from targets.onnx.float_form import float_body
from targets.onnx.metadata import metadata
from targets.onnx.options import OnnxOptions
from targets.onnx.scan import scan_model
from targets.onnx.session import Session, Value, open_session
from targets.run import Run

# Bytes of a block of samples: a step's states and activations stay near the core, and what a block costs by
# itself (its counts, its session call) is shared. 6 MiB ran 14 % faster than 1 MiB.
_BLOCK_BYTES = 6 * 2**20
# float32 state, activation and spike of one neuron.
_NEURON_BYTES = 12
_FLOAT_MAX = float(np.finfo(np.float32).max)

_Values = Mapping[str, NDArray[Any]]
# Recorded nodes, with states or without, steps of one call (None: a Scan of any), samples (None: any).
_Key = tuple[frozenset[str], bool, int | None, int | None]


class OnnxExecutable:
    """A network in onnxruntime. Sessions are kept, one for each set of recorded nodes and size of a call.

    Attributes:
        model: what `save` writes, in the form of the options.
    """

    def __init__(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        self.graph = graph
        self.options = options
        self._limit: int | None = None
        self._body: Callable[[Collection[str], bool], Body]
        if options.arithmetic == "fixed":
            program = options.program or _lowered(graph)
            self._limit = input_limit(program)
            self._body = lambda record, states: fixed_body(program, record, states, options.counts)
        else:
            self._body = lambda record, states: float_body(graph, record, states, options.counts)
        whole: _Key = (frozenset(), False, options.steps, options.batch)
        self.model = self._form(whole)
        self._sessions = {whole: open_session(self.model, options.provider, options.fallback)}
        self._lock = threading.Lock()
        self._stream: Mapping[str, Value] | None = None
        self._streamed = 0

    def save(self, path: str | Path) -> None:
        """Write the model whole or not at all.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the path is no regular file.
        """
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(self.model.SerializeToString())

    def placement(self) -> dict[str, dict[str, int]]:
        """Where each node of the model runs: `{provider: {operator: nodes}}`."""
        return next(iter(self._sessions.values())).placement()

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]; recorded nodes give their output, states those of every population.

        Raises:
            DataError: wrong shape or type, NaN, an unknown node, or (fixed) values that are no
                integers or too large.
        """
        fed = self._checked(x, record)
        started = time.perf_counter()
        chosen = (frozenset(record), states)
        first = self._session((*chosen, self.options.steps, self.options.batch))
        blocks = self._run_blocks(fed, chosen)
        values = {name: _joined([block[name] for block in blocks], name, 1) for name in blocks[0]}
        return Run(
            outputs={name: values[name] for name in self.graph.outputs},
            spike_counts=_with_suffix(values, "count"),
            spikes={name: values[f"{name}/spikes"] for name in record},
            ran_on=first.ran_on,
            seconds=time.perf_counter() - started,
            steps=fed.shape[0],
            samples=fed.shape[1],
            states=_states(values) if states else {},
        )

    def step(self, x: NDArray[np.generic]) -> dict[str, NDArray[Any]]:
        """One step of a live stream: `x` [B, *input] to `{Output: [B, *shape]}`; states are kept.

        Calls from several threads run one after the other.

        Raises:
            DataError: as `run`, or another number of samples than in the step before.
        """
        fed = self._checked(np.asarray(x)[None], ())
        session = self._session((frozenset(), False, 1, None))
        with self._lock:
            if self._stream is None:
                self._stream, self._streamed = self._zeros(session, fed.shape[1]), fed.shape[1]
            if fed.shape[1] != self._streamed:
                raise DataError(
                    f"step: found {fed.shape[1]} samples, allowed {self._streamed} as in the step before; "
                    "call reset() first"
                )
            found = session.call({self.graph.inputs[0]: fed, **self._stream})
            self._stream = _carried(found)
        return {name: np.asarray(found[name].numpy())[0] for name in self.graph.outputs}

    def reset(self) -> None:
        """Forget the stream: the next `step` starts from zero."""
        with self._lock:
            self._stream = None

    def _checked(self, x: NDArray[np.generic], record: Collection[str]) -> NDArray[np.float32]:
        checked = check_input(self.graph, x, record)
        if self._limit is not None:
            _check_events(checked, self.graph.inputs[0], self._limit)
        elif np.abs(checked).max() > _FLOAT_MAX:
            found = f"{np.abs(checked).max():g}, allowed up to {_FLOAT_MAX:g} (float32)"
            raise DataError(f"input {self.graph.inputs[0]!r}: holds {found}")
        return checked.astype(np.float32)

    def _form(self, key: _Key) -> ModelProto:
        record, states, steps, batch = key
        body = self._body(sorted(record), states)
        said = metadata(self.graph, self.options.arithmetic, body)
        return scan_model(body, said) if steps is None else chunk_model(body, steps, batch, said)

    def _session(self, key: _Key) -> Session:
        if key not in self._sessions:
            opened = open_session(self._form(key), self.options.provider, self.options.fallback)
            self._sessions[key] = opened
        return self._sessions[key]

    def _run_blocks(self, x: NDArray[np.float32], chosen: tuple[frozenset[str], bool]) -> list[_Values]:
        size = self.options.batch or self._block_size(x.shape[1])
        run = self._run_chunks if self.options.steps else self._run_whole

        def at(start: int) -> _Values:
            return run(np.ascontiguousarray(x[:, start : start + size]), chosen)

        starts = range(0, x.shape[1], size)
        if self.options.workers == 1:
            return [at(start) for start in starts]
        with ThreadPoolExecutor(self.options.workers) as workers:
            return list(workers.map(at, starts))

    def _run_whole(self, x: NDArray[np.float32], chosen: tuple[frozenset[str], bool]) -> _Values:
        return self._session((*chosen, None, None)).arrays({self.graph.inputs[0]: x})

    def _run_chunks(self, x: NDArray[np.float32], chosen: tuple[frozenset[str], bool]) -> _Values:
        """Chunks of steps, the states kept on the device; what is left over has a session of its size."""
        parts: list[_Values] = []
        held: Mapping[str, Value] | None = None
        assert self.options.steps is not None
        for at in range(0, x.shape[0], self.options.steps):
            part = x[at : at + self.options.steps]
            session = self._session((*chosen, part.shape[0], x.shape[1]))
            held = self._zeros(session, x.shape[1]) if held is None else held
            found = session.call({self.graph.inputs[0]: part, **held})
            held = _carried(found)
            parts.append({n: v.numpy() for n, v in found.items() if not n.endswith("/last")})
        return {name: _joined([part[name] for part in parts], name, 0) for name in parts[0]}

    def _zeros(self, session: Session, samples: int) -> dict[str, Value]:
        """Every state before the first step of `samples` samples."""
        found: dict[str, Value] = {}
        for value in session.raw.get_inputs():
            if value.name.endswith("/before"):
                shape = [samples, *value.shape[1:]] if value.shape else []
                kind = "int64" if "int64" in value.type else "float32"
                found[value.name] = np.zeros(shape, kind)
        return found

    def _block_size(self, samples: int) -> int:
        if self.options.provider != "cpu":
            return samples
        neurons = sum(int(np.prod(shape)) for shape in self.graph.shapes.values())
        largest = min(samples, max(1, _BLOCK_BYTES // (_NEURON_BYTES * neurons)))
        return math.ceil(samples / math.ceil(samples / largest))


def _lowered(graph: SpikingGraph) -> Any:
    # Here, so that the float form does not wait for the chip's modules.
    from targets.loihi.lower import lower

    return lower(graph)


def _carried(found: Mapping[str, Any]) -> dict[str, Value]:
    """The states after a call as inputs of the next one."""
    return {
        f"{name.removesuffix('/last')}/before": value
        for name, value in found.items()
        if name.endswith("/last")
    }


def _check_events(x: NDArray[np.generic], name: str, limit: int) -> None:
    values = x.astype(np.float64)
    if not (values == np.rint(values)).all():
        raise DataError(f"input {name!r}: holds values that are no integers, allowed integers in fixed point")
    found = float(np.abs(values).max())
    if found > limit:
        raise DataError(f"input {name!r}: holds {found:g}, allowed up to {limit}: larger sums are not exact")


def _joined(parts: Sequence[NDArray[Any]], name: str, axis: int) -> NDArray[Any]:
    """Parts of the steps (axis 0) or of the samples (axis 1) put together: counts are added."""
    if len(parts) == 1:
        return parts[0]
    if name.endswith("/count"):
        return np.asarray(np.sum(parts, axis=0))
    return np.concatenate(parts, axis=axis)


def _with_suffix(values: _Values, suffix: str) -> dict[str, NDArray[Any]]:
    ending = f"/{suffix}"
    return {name.removesuffix(ending): value for name, value in values.items() if name.endswith(ending)}


def _states(values: _Values) -> dict[str, dict[str, NDArray[Any]]]:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for state in ("u", "v"):
        for name, value in _with_suffix(values, state).items():
            found.setdefault(name, {})[state] = value
    return found
