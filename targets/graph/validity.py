"""What makes nodes and edges a graph: checked once, and each fault named at its node or edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.graph.fields import ELEMENTWISE
from targets.graph.kinds import KNOWN, kind
from targets.graph.shapes import LARGEST, input_shape, per_axis

_KNOWN = frozenset(KNOWN)
_POSITIVE = ("tau", "tau_mem", "tau_syn")
_NOT_NEGATIVE = ("delay",)
# Small arrays are checked together: one call of numpy for each costs more than the check.
_SMALL = 4096
_NAME_LIMIT = 1024

_Field = tuple[str, str, NDArray[Any]]


def check_structure(nodes: Mapping[str, nir.NIRNode], edges: Sequence[tuple[str, str]]) -> None:
    """Names, kinds, ports and edges.

    Raises:
        GraphError: the first fault.
    """
    for name, node in nodes.items():
        if type(node) not in _KNOWN:
            allowed = ", ".join(sorted(k.__name__ for k in KNOWN))
            raise GraphError(f"node {name!r}: kind {kind(node)} is not known, allowed {allowed}")
        _check_name(name)
    kinds = {type(node) for node in nodes.values()}
    for port in (nir.Input, nir.Output):
        if port not in kinds:
            raise GraphError(f"the graph has no {port.__name__} node")
    seen: set[tuple[str, str]] = set()
    for edge in edges:
        _check_edge(nodes, edge)
        if edge in seen:
            raise GraphError(f"edge {edge[0]!r} -> {edge[1]!r} stands twice; an edge may stand once")
        seen.add(edge)
    fed = {target for _, target in edges}
    for name, node in nodes.items():
        if name not in fed and type(node) is not nir.Input:
            raise GraphError(f"node {name!r} has no incoming edge and is no Input")


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise GraphError(f"node {name!r}: a name must be text, not empty, not '.' or '..', without '/'")
    if not name.isprintable() or len(name) > _NAME_LIMIT:
        raise GraphError(
            f"node {name[:80]!r}: a name must hold printable characters only, at most {_NAME_LIMIT}"
        )


def _check_edge(nodes: Mapping[str, nir.NIRNode], edge: tuple[str, str]) -> None:
    source, target = edge
    for end in edge:
        if end not in nodes:
            raise GraphError(f"edge {source!r} -> {target!r}: node {end!r} does not exist")
    if type(nodes[target]) is nir.Input:
        raise GraphError(f"edge {source!r} -> {target!r}: leads into an Input, which takes none")
    if type(nodes[source]) is nir.Output:
        raise GraphError(f"edge {source!r} -> {target!r}: leads out of an Output, which gives none")


def check_values(nodes: Mapping[str, nir.NIRNode]) -> None:
    """Parameters: type, rank, shape and range, node by node.

    Raises:
        GraphError: the first fault, with node and field.
    """
    fields: list[_Field] = []
    for name, node in nodes.items():
        rule = _RULES.get(type(node))
        if rule is None:
            continue
        try:
            found = rule(node)
        except (ValueError, TypeError, OverflowError) as error:
            raise GraphError(f"node {name!r} ({kind(node)}): {error}") from None
        fields.extend((name, field, array) for field, array in found)
    if not _all(fields, lambda array: np.isfinite(array)):
        _report(nodes, fields)
    positive = [field for field in fields if field[1] in _POSITIVE]
    if not _all(positive, lambda array: array > 0):
        _report_range(nodes, positive, lambda array: array > 0, "allowed > 0")
    delays = [field for field in fields if field[1] in _NOT_NEGATIVE]
    if not _all(delays, lambda array: array >= 0):
        _report_range(nodes, delays, lambda array: array >= 0, "allowed >= 0")


def _all(fields: Sequence[_Field], test: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> bool:
    small = [array.reshape(-1) for _, _, array in fields if array.size <= _SMALL]
    large = (array for _, _, array in fields if array.size > _SMALL)
    return (not small or bool(test(np.concatenate(small)).all())) and all(test(a).all() for a in large)


def _report(nodes: Mapping[str, nir.NIRNode], fields: Sequence[_Field]) -> None:
    for name, field, array in fields:
        bad = int(array.size - np.isfinite(array).sum())
        if bad:
            where = f"node {name!r} ({kind(nodes[name])})"
            raise GraphError(f"{where}: {field} holds {bad} NaN or infinite of {array.size} values")


def _report_range(
    nodes: Mapping[str, nir.NIRNode],
    fields: Sequence[_Field],
    test: Callable[[NDArray[Any]], NDArray[np.bool_]],
    allowed: str,
) -> None:
    for name, field, array in fields:
        if not test(array).all():
            raise GraphError(f"node {name!r} ({kind(nodes[name])}): {field} is {array.min()}, {allowed}")


def _numeric(node: nir.NIRNode, field: str) -> NDArray[Any]:
    value = getattr(node, field)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{field} is {found}, allowed a numpy array of numbers")
    return value


def _elementwise(node: nir.NIRNode) -> list[tuple[str, NDArray[Any]]]:
    """Fields of one number a neuron: arrays of one shape."""
    found = [(field, _numeric(node, field)) for field in ELEMENTWISE[type(node)]]
    first, shape = found[0][0], found[0][1].shape
    for field, array in found:
        if not array.shape:
            raise ValueError(
                f"{field} is a scalar, allowed one number a neuron, such as np.full(shape, {array})"
            )
        if array.shape != shape:
            raise ValueError(f"{field} has shape {array.shape}, but {first} has {shape}; allowed one shape")
        if not array.size:
            raise ValueError(f"{field} has shape {array.shape}, allowed sizes >= 1")
    return found


def _weighted(rank: int) -> Callable[[Any], list[tuple[str, NDArray[Any]]]]:
    """Weight of `rank` axes, and the bias where the kind has one."""
    axes = ("outputs", "inputs", *("kernel",) * (rank - 2))

    def check(node: Any) -> list[tuple[str, NDArray[Any]]]:
        weight = _numeric(node, "weight")
        if weight.ndim != rank or not weight.size:
            raise ValueError(f"weight has shape {weight.shape}, allowed ({', '.join(axes)}), sizes >= 1")
        if not hasattr(node, "bias"):
            return [("weight", weight)]
        bias = _numeric(node, "bias")
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"bias has shape {bias.shape}, allowed {weight.shape[:1]}")
        return [("weight", weight), ("bias", bias)]

    return check


def _convolution(rank: int) -> Callable[[Any], list[tuple[str, NDArray[Any]]]]:
    weighted = _weighted(rank)

    def check(node: Any) -> list[tuple[str, NDArray[Any]]]:
        found = weighted(node)
        channels, groups = node.weight.shape[0], int(node.groups)
        if groups < 1 or channels % groups:
            raise ValueError(f"groups is {groups}, allowed a divisor of the {channels} output channels")
        _whole_fields(node, {"stride": 1, "dilation": 1}, rank - 2)
        if not isinstance(node.padding, str | bytes):
            _whole_fields(node, {"padding": 0}, rank - 2)
        return found

    return check


def _whole_fields(node: Any, lowest: Mapping[str, int], axes: int) -> None:
    for field, least in lowest.items():
        try:
            numbers = per_axis(getattr(node, field), axes)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from None
        if min(numbers) < least:
            raise ValueError(f"{field} is {numbers}, allowed >= {least}")


def _pool(node: Any) -> list[tuple[str, NDArray[Any]]]:
    _whole_fields(node, {"kernel_size": 1, "stride": 1, "padding": 0}, 2)
    kernel, padding = per_axis(node.kernel_size, 2), per_axis(node.padding, 2)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"padding is {padding}, allowed at most half the kernel {kernel}")
    return []


def _input(node: nir.Input) -> list[tuple[str, NDArray[Any]]]:
    shape = input_shape(node)
    if not shape or min(shape) < 1 or math.prod(shape) > LARGEST:
        raise ValueError(f"shape is {shape}, allowed one axis or more, sizes >= 1, up to {LARGEST} values")
    return []


_Rule = Callable[[Any], list[tuple[str, NDArray[Any]]]]
_RULES: Mapping[type[nir.NIRNode], _Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    nir.Affine: _weighted(2),
    nir.Linear: _weighted(2),
    nir.Conv1d: _convolution(3),
    nir.Conv2d: _convolution(4),
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Input: _input,
}
