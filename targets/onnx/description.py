"""A SpikingGraph as text inside its ONNX file, and back: every field of every node, to the last bit.

Weights that the model holds as initializers are named and not stored twice.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import ConfigError, GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import KNOWN, kind

FORMAT = 1
# As much as one ONNX file holds.
_LARGEST_BYTES = 2**31
_PLAIN = (bool, int, float, str, type(None))
_KINDS = {cls.__name__: cls for cls in KNOWN}

# What Python and zlib raise on values of the wrong kind, deep nesting or vast sizes.
MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)

Array = NDArray[Any]
# What reads each initializer, by name.
Held = Mapping[str, Callable[[], Array]]


def describe(graph: SpikingGraph, held: Held) -> str:
    """`graph` as JSON; arrays equal to one of `held`, the initializers by name, refer to it."""
    nodes = {
        name: {
            "kind": kind(node),
            "fields": {
                field.name: _encoded(getattr(node, field.name), f"{name}/{field.name}", held)
                for field in fields(node)
                if field.init
            },
        }
        for name, node in graph.nodes.items()
    }
    return json.dumps(
        {
            "format": FORMAT,
            "nodes": nodes,
            "edges": graph.edges,
            "profile": asdict(graph.profile),
            "assumptions": graph.assumptions,
            "metadata": _encoded(dict(graph.metadata), "", {}),
        }
    )


def graph_of(text: str, held: Held) -> SpikingGraph:
    """The graph that `describe` wrote.

    Raises:
        GraphError: anything that `describe` does not write, or a graph that is not valid.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise GraphError(f"found format {found['format']!r}, allowed {FORMAT}")
        decoder = _Decoder(held)
        nodes = {name: _node(name, part, decoder) for name, part in found["nodes"].items()}
        edges = [(source, target) for source, target in found["edges"]]
        metadata = decoder.value(found["metadata"])
        return SpikingGraph.build(nodes, edges, found["profile"], found["assumptions"], metadata)
    except MALFORMED as error:
        raise GraphError(f"description: {type(error).__name__}: {error}") from error
    except ConfigError as error:
        raise GraphError(f"description: {error}") from error


def _node(name: str, part: Mapping[str, Any], decoder: _Decoder) -> Any:
    if part["kind"] not in _KINDS:
        raise GraphError(f"node {name!r}: found kind {part['kind']!r}, allowed {', '.join(_KINDS)}")
    values = {key: decoder.value(value) for key, value in part["fields"].items()}
    return _KINDS[part["kind"]](**values)


def _encoded(value: Any, name: str, held: Held) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {"dict": [[key, _encoded(item, name, held)] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encoded(item, name, held) for item in value]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    array = np.asarray(value)
    if array.dtype.kind not in "biufUS":
        raise GraphError(f"{name}: found {type(value).__name__} of {array.dtype}, allowed numbers and text")
    stored = {"dtype": array.dtype.str, "shape": array.shape, "scalar": not isinstance(value, np.ndarray)}
    return {"array": stored | _content(np.ascontiguousarray(array), name, held)}


def _content(array: Array, name: str, held: Held) -> dict[str, Any]:
    if name in held and array.dtype.kind == "f":
        initializer = _read(name, held)
        for transposed in (False, True):
            found = _turned(initializer, transposed)
            for times in (1.0, _ratio(array, found)):
                if _same((found * found.dtype.type(times)).astype(array.dtype), array):
                    return {"initializer": name, "transposed": transposed, "times": times}
    flat = array.reshape(-1)
    if array.size > 1 and flat.tobytes() == flat[:1].tobytes() * flat.size:
        return {"fill": base64.b64encode(flat[:1].tobytes()).decode()}
    return {"deflated": base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()}


def _ratio(array: Array, initializer: Array) -> float:
    """What `initializer` times itself would have to be `array`: a gain stands in its weights."""
    if array.shape != initializer.shape or not initializer.any():
        return 1.0
    at = int(np.flatnonzero(initializer)[0])
    return float(array.flat[at]) / float(initializer.flat[at])


def _read(name: str, held: Held) -> Array:
    """What the initializers of `name` stand for: the sum of two terms, or whole numbers with a scale each."""
    array = np.asarray(held[name]())
    if f"{name}/low" in held:
        return array + held[f"{name}/low"]()
    if f"{name}/scale" in held:
        scale = held[f"{name}/scale"]()
        # A dense layer's outputs stand last.
        spread = scale if array.ndim == 2 else scale.reshape(-1, *[1] * (array.ndim - 1))
        return array.astype(scale.dtype) * spread
    return array


def _turned(array: Array, transposed: bool) -> Array:
    return np.ascontiguousarray(array.T if transposed else array)


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


class _Decoder:
    """Values out of the text; arrays together hold no more than one ONNX file could."""

    def __init__(self, held: Held) -> None:
        self._held, self._bytes = held, 0
        self._readers: Mapping[str, Callable[[Any], Any]] = {
            "dict": lambda items: {key: self.value(item) for key, item in items},
            "tuple": lambda items: tuple(self.value(item) for item in items),
            "list": lambda items: [self.value(item) for item in items],
            "bytes": lambda text: base64.b64decode(text, validate=True),
            "array": self._array,
        }

    def value(self, found: Any) -> Any:
        """One encoded value."""
        if not isinstance(found, dict):
            if type(found) not in _PLAIN:
                raise ValueError(f"found a {type(found).__name__} where a value is expected")
            return found
        ((key, content),) = found.items()
        return self._readers[key](content)

    def _array(self, stored: Mapping[str, Any]) -> Any:
        dtype, shape = np.dtype(str(stored["dtype"])), tuple(int(n) for n in stored["shape"])
        if dtype.kind not in "biufUS" or min(shape, default=0) < 0:
            raise ValueError(f"found an array of {dtype} {shape}")
        size = math.prod(shape) * dtype.itemsize
        # Initializers are there already, however large.
        self._bytes += 0 if "initializer" in stored else size
        if self._bytes > _LARGEST_BYTES:
            raise ValueError(f"arrays hold {self._bytes} bytes or more, allowed {_LARGEST_BYTES}")
        array = self._filled(stored, dtype, shape, size)
        return array[()] if stored["scalar"] else array

    def _filled(
        self, stored: Mapping[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...], size: int
    ) -> Array:
        if "initializer" in stored:
            name = stored["initializer"]
            array = _turned(_read(name, self._held), bool(stored["transposed"]))
            if array.shape != shape:
                raise ValueError(f"initializer {name!r}: found {array.shape}, allowed {shape}")
            return (array * array.dtype.type(stored["times"])).astype(dtype)
        if "fill" in stored:
            one = np.frombuffer(base64.b64decode(stored["fill"], validate=True), dtype)
            return np.full(shape, one[0], dtype)
        reader = zlib.decompressobj()
        # One byte more than there should be, so that a longer stream shows.
        content = reader.decompress(base64.b64decode(stored["deflated"], validate=True), size + 1)
        if len(content) != size:
            raise ValueError(f"found {len(content)} bytes or more, allowed {size} for {dtype} {shape}")
        return np.frombuffer(content, dtype).reshape(shape).copy()
