"""Calls of a static model over buffers that stay where they are: a captured CUDA graph needs nothing else.

Two sets of state buffers take turns: what one call writes, the next one reads. A graph holds addresses, so
each of the two directions is captured as a graph of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from targets.onnx.session import PROVIDERS, Session

_Arrays = Mapping[str, NDArray[Any]]
_TYPES: Mapping[str, type[Any]] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_BEFORE, _LAST = "/before", "/last"


class Buffers:
    """The buffers of one session of the gpu form. One call at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        device = PROVIDERS[session.provider].device
        inputs, outputs = session.raw.get_inputs(), session.raw.get_outputs()
        states = [value for value in inputs if value.name.endswith(_BEFORE)]
        self._fed = {value.name: _blank(value, device) for value in inputs if value not in states}
        self._results = {v.name: _blank(v, device) for v in outputs if not v.name.endswith(_LAST)}
        self._states = [{value.name: _blank(value, device) for value in states} for _ in range(2)]
        self._turn = 0
        self._ways = [self._way(0), self._way(1)]

    def start(self, states: _Arrays | None) -> None:
        """Begin from `states`, by the name of their inputs, or from zero."""
        for name, buffer in self._states[self._turn].items():
            shape, dtype = buffer.shape(), _TYPES[buffer.data_type()]
            value = np.zeros(shape, dtype) if states is None else states[name]
            buffer.update_inplace(np.ascontiguousarray(value, dtype))

    def states(self) -> dict[str, NDArray[Any]]:
        """The states after the last call, by the name of their inputs."""
        return {name: np.array(buffer.numpy()) for name, buffer in self._states[self._turn].items()}

    def call(self, fed: _Arrays) -> dict[str, NDArray[Any]]:
        """The outputs of one call, states apart."""
        for name, value in fed.items():
            self._fed[name].update_inplace(value)
        binding, options = self._ways[self._turn]
        self._session.raw.run_with_iobinding(binding, options)
        self._turn = 1 - self._turn
        return {name: np.array(buffer.numpy()) for name, buffer in self._results.items()}

    def _way(self, turn: int) -> tuple[Any, Any]:
        """A binding that reads the states of set `turn` and writes those of the other."""
        binding, options = self._session.raw.io_binding(), onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(turn + 1))
        for name, buffer in (*self._fed.items(), *self._states[turn].items()):
            binding.bind_ortvalue_input(name, buffer)
        written = {_following(name): buffer for name, buffer in self._states[1 - turn].items()}
        for name, buffer in (*self._results.items(), *written.items()):
            binding.bind_ortvalue_output(name, buffer)
        return binding, options


def _following(name: str) -> str:
    return name.removesuffix(_BEFORE) + _LAST


def _blank(value: Any, device: str) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(value.shape, _TYPES[value.type], device, 0)
