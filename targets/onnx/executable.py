"""A network in onnxruntime: whole runs in blocks of samples, or a live stream step by step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph
from targets.onnx.body import COUNTS, EXACT_COUNT
from targets.onnx.buffers import Buffers
from targets.onnx.compiler import Compiler, Key, Made
from targets.onnx.counting import LateRun, counts, summed
from targets.onnx.events import Event, Frame, frames
from targets.onnx.options import OnnxOptions
from targets.onnx.saving import write
from targets.onnx.session import Session, Value, open_session
from targets.run import Run

# Bytes of a block of samples: a step's states and activations stay near the core, and what a block costs by
# itself (its weights, its session call) is shared. Between 2 and 12 MiB times differ by a few per cent.
_BLOCK_BYTES = 4 * 2**20
# float32 state, activation and spike of one neuron.
_NEURON_BYTES = 12

# What folded dense layers may keep for all steps of a block.
_FOLDED_BYTES = 32 * 2**20

# Sessions that an executable keeps: each holds the weights.
_SESSIONS = 8

_Values = Mapping[str, NDArray[Any]]
_Chosen = tuple[frozenset[str], bool]


class OnnxExecutable:
    """A network in onnxruntime. It keeps a few sessions: one for each set of recorded nodes, size of a call.

    Attributes:
        graph: with the weights as the precision holds them.
    """

    def __init__(self, graph: SpikingGraph, options: OnnxOptions) -> None:
        self.options = options
        self._compiler = Compiler(graph, options)
        self.graph = self._compiler.graph
        self._whole = Key(frozenset(), False, options.steps, options.batch)
        self._captured = options.form == "gpu" and options.provider != "cpu" and options.cuda_graph
        self._neurons = sum(map(math.prod, self.graph.shapes.values()))
        self._buffers: dict[Key, Buffers] = {}
        local = options.form == "portable"
        first = replace(self._whole, local=local, folded=self._compiler.folded_bytes > 0)
        made = self._compiler.model(first) if local else self._written
        # The same in all models of a form.
        self._places, self._float_counts = made.places, made.float_counts
        self._first = self._open(first, made)
        self._sessions = {first: self._first}
        self._opening, self._streaming, self._calling = (threading.Lock() for _ in range(3))
        self._stream: Mapping[str, Value] | None = None
        self._streamed = 0

    @property
    def model(self) -> ModelProto:
        """What `save` writes, in the form of the options; weights in a side file are only named."""
        return self._written.model

    @cached_property
    def _written(self) -> Made:
        return self._compiler.model(self._whole)

    def save(self, path: str | Path, notes: Mapping[str, str] | None = None) -> None:
        """Write the model whole or not at all, with `notes` as more entries of its metadata.

        Weights that one protobuf message cannot hold go to `<path>.<hash>.weights` beside it.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the path is no regular file, or a note has the name of an entry that is there.
        """
        taken = {entry.key for entry in self._written.model.metadata_props} & set(notes or {})
        if taken:
            raise ConfigError(f"notes: {', '.join(sorted(taken))} stand in the file already; use other names")
        write(Path(path), self._written.model, self._written.side, notes or {})

    def placement(self) -> dict[str, dict[str, int]]:
        """Where each node of the model runs: `{provider: {operator: nodes}}`."""
        return self._first.placement()

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]; recorded nodes give their output, states those of every population.

        Raises:
            DataError: wrong shape or type, NaN, an unknown node, or values that are no integers or too
                large where the arithmetic or the precision needs integers; more events than are counted
                exactly in one call.
        """
        fed = self._compiler.checked(x, record)
        started = time.perf_counter()
        chosen = (frozenset(record), states)
        blocks = self._run_blocks(fed, chosen)
        values = {name: _joined([block[name] for block in blocks], name, 1) for name in blocks[0]}
        known = _with_suffix(values, "count")
        fields: dict[str, Any] = {
            "outputs": {name: values[name] for name in self.graph.outputs},
            "spikes": {name: values[f"{name}/spikes"] for name in record},
            "ran_on": self._first.ran_on,
            "seconds": time.perf_counter() - started,
            "steps": fed.shape[0],
            "samples": fed.shape[1],
            "states": _states(values) if states else {},
        }
        if COUNTS not in values:
            return Run(spike_counts=known, **fields)
        return LateRun(partial(counts, values[COUNTS], self._places, known), **fields)

    def step(self, x: NDArray[np.generic]) -> dict[str, NDArray[Any]]:
        """One step of a live stream: `x` [B, *input] to `{Output: [B, *shape]}`; states are kept.

        Calls from several threads run one after the other.

        Raises:
            DataError: as `run`, or another number of samples than in the step before.
        """
        fed = self._compiler.checked(np.asarray(x)[None], ())
        session = self._session(Key(frozenset(), False, 1, None))
        with self._streaming:
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

    def run_events(
        self, stream: Iterable[Event | Frame], unit_s: float | None = None, start: float | None = None
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Follow a live source; `(step, outputs of step)` for every step, as soon as it is complete.

        The source gives frames of one step, arrays [*shape] or [B, *shape], or events `(t, *address)` in
        order of time, tuples whose address lies in the Input's shape. Events of a step add up, and the step
        is complete when an event of a later one arrives or the source ends. States are kept from call to
        call, as in `step`, until `reset`.

        Args:
            unit_s: seconds in one unit of t, 1e-6 for microseconds; by default t counts steps.
            start: the t at which step 0 begins; by default that of the first event.

        Raises:
            DataError: an event out of order or outside the Input, frames among events, no finite `unit_s`
                above 0, no finite `start`, or what `step` raises.
        """
        unit_steps = 1.0 if unit_s is None else unit_s / self.graph.require_dt("run_events with unit_s")
        shape = self.graph.shapes[self.graph.inputs[0]]
        for step, frame in frames(stream, shape, unit_steps, start):
            yield step, self.step(frame)

    def reset(self) -> None:
        """Forget the stream: the next `step` starts from zero."""
        with self._streaming:
            self._stream = None

    def _open(self, key: Key, made: Made) -> Session:
        return open_session(
            made.model,
            self.options.provider,
            self.options.fallback,
            made.side,
            tf32=self._compiler.tf32,
            capture=self._captured and key.batch is not None,
            optimised=made.optimised,
            library=made.library,
        )

    def _session(self, key: Key) -> Session:
        with self._opening:
            if key not in self._sessions:
                self._sessions[key] = self._open(key, self._compiler.model(key))
                _forget(self._sessions)
            return self._sessions[key]

    def _run_blocks(self, x: NDArray[np.float32], chosen: _Chosen) -> list[_Values]:
        chunks = self._run_captured if self._captured else self._run_chunks
        run = chunks if self.options.steps else self._run_whole

        def at(block: slice) -> _Values:
            return run(np.ascontiguousarray(x[:, block]), chosen)

        found = self._blocks(*x.shape[:2])
        if self.options.workers == 1:
            return [at(block) for block in found]
        with ThreadPoolExecutor(self.options.workers) as workers:
            return list(workers.map(at, found))

    def _run_whole(self, x: NDArray[np.float32], chosen: _Chosen) -> _Values:
        kept = self._compiler.folded_bytes * x.shape[0] * x.shape[1]
        folded = 0 < kept <= _FOLDED_BYTES
        key = Key(*chosen, None, None, local=True, folded=folded, single=x.shape[1] == 1)
        return self._exact(self._session(key).arrays({self.graph.inputs[0]: x}))

    def _run_chunks(self, x: NDArray[np.float32], chosen: _Chosen) -> _Values:
        """Chunks of steps, the states kept on the device; what is left over has a session of its size."""
        parts: list[_Values] = []
        held: Mapping[str, Value] | None = None
        assert self.options.steps is not None
        for at in range(0, x.shape[0], self.options.steps):
            part = x[at : at + self.options.steps]
            session = self._session(Key(*chosen, part.shape[0], x.shape[1]))
            held = self._zeros(session, x.shape[1]) if held is None else held
            found = session.call({self.graph.inputs[0]: part, **held})
            held = _carried(found)
            parts.append(self._exact({n: v.numpy() for n, v in found.items() if not n.endswith("/last")}))
        return {name: _joined([part[name] for part in parts], name, 0) for name in parts[0]}

    def _run_captured(self, x: NDArray[np.float32], chosen: _Chosen) -> _Values:
        """As `_run_chunks`, over buffers that stay where they are; one run at a time."""
        parts: list[_Values] = []
        current: Buffers | None = None
        assert self.options.steps is not None
        with self._calling:
            for at in range(0, x.shape[0], self.options.steps):
                part = x[at : at + self.options.steps]
                key = Key(*chosen, part.shape[0], x.shape[1])
                if key not in self._buffers:
                    self._buffers[key] = Buffers(self._session(key))
                    _forget(self._buffers)
                if self._buffers[key] is not current:
                    self._buffers[key].start(current.states() if current else None)
                current = self._buffers[key]
                parts.append(self._exact(current.call({self.graph.inputs[0]: part})))
        return {name: _joined([part[name] for part in parts], name, 0) for name in parts[0]}

    def _exact(self, values: _Values) -> _Values:
        """The values of one call; its counts are exact, also where neurons fire many times a step."""
        for name, count in _with_suffix(values, "count").items() if self._compiler.many else ():
            if count.max(initial=0) >= EXACT_COUNT:
                raise DataError(
                    f"node {name!r}: a neuron spikes {count.max()} times or more in one call, allowed below "
                    f"{EXACT_COUNT}, up to which counts are exact; run fewer steps or samples at a time"
                )
        return values

    def _zeros(self, session: Session, samples: int) -> dict[str, Value]:
        """Every state before the first step of `samples` samples."""
        found: dict[str, Value] = {}
        for value in session.raw.get_inputs():
            if value.name.endswith("/before"):
                shape = [samples, *value.shape[1:]] if value.shape else []
                kind = "int64" if "int64" in value.type else "float32"
                found[value.name] = np.zeros(shape, kind)
        return found

    def _blocks(self, steps: int, samples: int) -> list[slice]:
        """Blocks of the gpu form's samples, or of about equal sizes and as many for each worker."""
        options = self.options
        if options.batch:
            return [slice(start, start + options.batch) for start in range(0, samples, options.batch)]
        largest = EXACT_COUNT // steps if self._float_counts else samples
        if not largest:
            raise DataError(
                f"input {self.graph.inputs[0]!r}: found {steps} steps, allowed {EXACT_COUNT} in one call, "
                "up to which counts are exact; use form='gpu', which runs some steps at a time"
            )
        cpu = options.provider == "cpu"
        if cpu:
            largest = max(1, min(largest, _BLOCK_BYTES // (_NEURON_BYTES * self._neurons)))
        workers = options.workers if cpu else 1
        count = min(samples, workers * math.ceil(samples / (largest * workers)))
        return [slice(samples * i // count, samples * (i + 1) // count) for i in range(count)]


def _forget(kept: dict[Key, Any]) -> None:
    """Drop the oldest behind the first, which stays open anyway."""
    if len(kept) > _SESSIONS:
        del kept[list(kept)[1]]


def _carried(found: Mapping[str, Any]) -> dict[str, Value]:
    """The states after a call as inputs of the next one."""
    return {
        f"{name.removesuffix('/last')}/before": value
        for name, value in found.items()
        if name.endswith("/last")
    }


def _joined(parts: Sequence[NDArray[Any]], name: str, axis: int) -> NDArray[Any]:
    """Parts of the steps (axis 0) or of the samples (axis 1) put together: counts are added."""
    if name == COUNTS:
        return summed([row for part in parts for row in part])
    if len(parts) == 1:
        return parts[0]
    if name.endswith("/count"):
        # In place: numpy's sum of a list copies all of it first.
        return reduce(np.ndarray.__iadd__, parts)
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
