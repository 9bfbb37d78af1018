"""The fields of each node kind as files hold them, and a node made from them.

What a file leaves out or writes as one number is completed here, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.graph.shapes import Filler, Shape

FIELDS: Mapping[type[nir.NIRNode], tuple[str, ...]] = {
    nir.Affine: ("weight", "bias"),
    nir.Linear: ("weight",),
    nir.Conv1d: ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    nir.Conv2d: ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    nir.SumPool2d: ("kernel_size", "stride", "padding"),
    nir.AvgPool2d: ("kernel_size", "stride", "padding"),
    nir.Flatten: ("input_type", "start_dim", "end_dim"),
    nir.Scale: ("scale",),
    nir.Threshold: ("threshold",),
    nir.Delay: ("delay",),
    nir.I: ("r",),
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LI: ("tau", "r", "v_leak"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    nir.Input: ("shape",),
    nir.Output: ("shape",),
}
# Kinds whose fields hold one number a neuron, all of one shape.
ELEMENTWISE: Mapping[type[nir.NIRNode], tuple[str, ...]] = {
    kind: FIELDS[kind]
    for kind in (
        nir.Scale, nir.Threshold, nir.Delay, nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF,
    )
}  # fmt: skip
# What a field is where a file lacks it; without an entry it must be there.
_ABSENT: Mapping[str, Any] = {
    "input_shape": None, "input_type": None, "shape": None, "v_reset": 0.0, "w_in": 1.0, "bias": None,
    "stride": None, "padding": 0, "dilation": 1, "groups": 1,
}  # fmt: skip
# An absent one of these changes nothing in a network, or says what nir itself takes for it.
_SILENT = ("input_shape", "input_type", "shape", "v_reset", "w_in")
_WHOLE = (
    "stride", "dilation", "kernel_size", "groups", "start_dim", "end_dim", "input_shape", "padding",
)  # fmt: skip
_LARGEST = 2**31

Values = dict[str, Any]


def complete(
    name: str, cls: type[nir.NIRNode], found: Mapping[str, Any], said: list[str], fill: Filler
) -> Values:
    """All fields of one node, from those that a file holds.

    Args:
        found: `{field: array, scalar or text}`.
        said: gets a sentence for each value that had to be assumed.
        fill: makes what one number stands for.

    Raises:
        GraphError: a field is missing or no number.
    """
    values: Values = {}
    for field in FIELDS[cls]:
        if field not in found:
            if field not in _ABSENT:
                raise GraphError(f"node {name!r} ({cls.__name__}): field {field!r} is missing")
            values[field] = _absent(cls, field, found)
            if field not in _SILENT:
                said.append(f"node {name!r} ({cls.__name__}): {field} is absent and was taken as the default")
        elif field in _WHOLE:
            values[field] = _whole(name, cls, field, found[field])
        else:
            values[field] = _numbers(name, cls, field, found[field])
            if field == "shape" and values[field].dtype.kind not in "iu":
                dtype = values[field].dtype
                raise GraphError(f"node {name!r} ({cls.__name__}): shape is {dtype}, allowed integers")
    if cls in ELEMENTWISE:
        _widen(name, cls, values, said, fill)
    return values


def _absent(cls: type[nir.NIRNode], field: str, found: Mapping[str, Any]) -> Any:
    if field == "bias":
        return np.zeros(np.shape(found.get("weight", [0.0]))[:1], np.float32)
    if field == "stride":
        return found.get("kernel_size", 1)
    return np.float32(_ABSENT[field]) if field in ("v_reset", "w_in") else _ABSENT[field]


def _numbers(name: str, cls: type[nir.NIRNode], field: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise GraphError(f"node {name!r} ({cls.__name__}): field {field!r} holds text, allowed numbers")
    return array


def _whole(name: str, cls: type[nir.NIRNode], field: str, value: Any) -> Any:
    """Integers: one, or a tuple. `padding` may be a word."""
    if field == "padding" and isinstance(value, str):
        return value
    flat = _numbers(name, cls, field, value).reshape(-1)
    fits = 1 <= flat.size <= 2 and bool((np.abs(flat.astype(np.float64)) < _LARGEST).all())
    if not fits or (flat != np.rint(flat)).any():
        where = f"node {name!r} ({cls.__name__})"
        raise GraphError(f"{where}: {field} is {flat[:3].tolist()}, allowed one or two whole numbers")
    integers = tuple(int(v) for v in flat)
    single = np.ndim(value) == 0 or field == "groups" or cls is nir.Conv1d
    return integers[0] if single or field in ("start_dim", "end_dim") else integers


def _widen(name: str, cls: type[nir.NIRNode], values: Values, said: list[str], fill: Filler) -> None:
    """One number a node becomes one a neuron, where another field fixes how many there are."""
    fields = ELEMENTWISE[cls]
    if len({values[field].shape for field in fields}) == 1:
        return
    largest = max((values[field] for field in fields), key=np.size)
    for field in fields:
        value = values[field]
        if value.shape != largest.shape and value.size == 1 and largest.ndim:
            values[field] = fill(name, largest.shape, value.reshape(())[()])
            if field not in _SILENT:
                said.append(f"node {name!r} ({cls.__name__}): {field} is one number for all neurons")


def is_scalar(node: nir.NIRNode) -> bool:
    """Whether a node has one number for all neurons and does not say how many there are."""
    fields = ELEMENTWISE.get(type(node))
    return fields is not None and np.ndim(getattr(node, fields[0])) == 0


def widened(name: str, node: nir.NIRNode, shape: Shape, fill: Filler) -> nir.NIRNode:
    """A scalar node for neurons of `shape`."""
    values = {f: fill(name, shape, getattr(node, f)) for f in ELEMENTWISE[type(node)]}
    return type(node)(**values, metadata=node.metadata)


def construct(name: str, cls: type[nir.NIRNode], values: Values, metadata: Mapping[str, Any]) -> nir.NIRNode:
    """The `nir` node with these fields.

    Raises:
        GraphError: `nir` refuses them.
    """
    kept = dict(metadata)
    if cls in (nir.Input, nir.Output):
        shape = values["shape"]
        port = "input" if cls is nir.Input else "output"
        return cls({port: None if shape is None else shape.reshape(-1)}, metadata=kept)
    if cls in (nir.Conv1d, nir.Conv2d):
        # nir would infer the output at once, and gets kernels that are not square wrong.
        size = values["input_shape"]
        values = {**values, "input_shape": None}
    if cls is nir.Flatten:
        values = {**values, "input_type": {"input": None}}
    try:
        node = cls(**values, metadata=kept)
    except Exception as error:  # nir's constructors raise whatever their arithmetic meets
        reason = str(error) or type(error).__name__
        shapes = ", ".join(f"{f} {np.shape(v)}" for f, v in values.items() if isinstance(v, np.ndarray))
        raise GraphError(f"node {name!r} ({cls.__name__}): {reason}; found {shapes}") from None
    if cls in (nir.Conv1d, nir.Conv2d):
        node.input_shape = size
    return node


def node_fields(node: nir.NIRNode) -> Values:
    """The fields of `node` that a file stores, ports aside."""
    if isinstance(node, nir.Input | nir.Output):
        return {}
    return {field: getattr(node, field) for field in FIELDS[type(node)]}
