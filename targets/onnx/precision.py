"""Cheaper products: weights as two TF32 terms, in 16 bits, or in 8 bits with integer products.

Spikes are whole numbers, so rounding weights is all that changes a product (int8 rounds the sums of a
convolution as well). Membranes stay float32 in every precision.

    tf32x2     w = high + low, both with TF32's 10 bits of mantissa: two products, nearly float32's weights
    float16    weights stored in 16 bits, multiplied as float32; TF32 holds them without loss
    bfloat16   the same with 7 bits of mantissa
    int8       w = scale * q, a scale for each output channel: QLinearConv, whose 8-bit sums need the range
               that calibration finds, and MatMulInteger, whose sums are exact

On tensor cores all of that is exact only while what arrives is a whole number that TF32 holds: nodes after
a Scale, an average or a readout do not, and int8 leaves their synapses in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as replaced
from math import inf, prod
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING, SYNAPSE
from targets.graph.shapes import pair
from targets.onnx.body import FLOAT, Body
from targets.onnx.synapses import EXACT, Array, Products, rounded

PRECISIONS = ("float32", "tf32x2", "float16", "bfloat16", "int8")
# Whole numbers up to here are exact in the input of a product.
LIMITS: Mapping[str, int] = {"tf32x2": 2048, "float16": 2048, "bfloat16": 2048, "int8": 255}
_TF32_BITS, _BFLOAT16_BITS, _FLOAT32_BITS = 10, 7, 23
# Sums of int8 products are int32.
_INT32 = 2**31 - 1


def short(values: Array, bits: int) -> Array:
    """`values` rounded to `bits` bits of mantissa, ties to even."""
    dropped = np.uint32(_FLOAT32_BITS - bits)
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = (np.uint32(1) << (dropped - np.uint32(1))) - np.uint32(1)
    odd = (raw >> dropped) & np.uint32(1)
    return (((raw + half + odd) >> dropped) << dropped).view(np.float32)


def largest(graph: SpikingGraph, limit: float) -> dict[str, float]:
    """For each node the largest value it gives where all are whole numbers >= 0, else infinity.

    Args:
        limit: the largest value of the Input, which a run checks.
    """
    found = dict.fromkeys(graph.nodes, inf)
    while True:
        # Every round lowers some bound to its only value; loops without a population stay infinite.
        following = {
            name: _BOUNDS.get(type(node), _real)(graph, name, _arriving(graph, name, found) or limit)
            for name, node in graph.nodes.items()
        }
        if following == found:
            return found
        found = following


def tensor_cores(graph: SpikingGraph, precision: str) -> bool:
    """Whether TF32 multiplies every synapse of `graph` without loss in `precision`."""
    if precision not in ("tf32x2", "float16", "bfloat16"):
        return False
    limit = LIMITS[precision]
    values = largest(graph, limit)
    return all(_arriving(graph, name, values) <= limit for name in _synapses(graph))


def products_of(
    graph: SpikingGraph, precision: str, calibration: Mapping[str, tuple[float, float]]
) -> Products:
    """How `precision` multiplies.

    Args:
        calibration: for int8, the least and the largest value of each convolution.
    """
    return _PRODUCTS[precision](graph, calibration)


def as_held(graph: SpikingGraph, products: Products) -> SpikingGraph:
    """`graph` with the weights that are multiplied."""
    if products is EXACT:
        return graph
    nodes = dict(graph.nodes)
    for name in _synapses(graph):
        node = nodes[name]
        weight = products.held(name, rounded(node.weight)).astype(np.asarray(node.weight).dtype)
        nodes[name] = replaced(node, weight=weight)
    return graph.replace(nodes=nodes)


class _TwoTerms:
    """Two products: with the weights' TF32 part, and with TF32's part of what is left."""

    def held(self, name: str, weight: Array) -> Array:
        high, low = _terms(weight)
        return high + low

    def conv(
        self, body: Body, name: str, x: str, weight: Array, bias: Array, attributes: Mapping[str, Any]
    ) -> str:
        high, low = self._stored(body, name, *_terms(weight))
        whole = body.op("Conv", [x, high, body.constant(f"{name}/bias", bias)], f"{name}/high", **attributes)
        return body.op("Add", [whole, body.op("Conv", [x, low], f"{name}/low", **attributes)], name)

    def dense(self, body: Body, name: str, at: str, x: str, weight: Array) -> str:
        high, low = self._stored(body, name, *(term.T for term in _terms(weight)))
        terms = [body.op("MatMul", [x, w], f"{at}/{kind}") for kind, w in (("high", high), ("low", low))]
        return body.op("Add", terms, at)

    @staticmethod
    def _stored(body: Body, name: str, high: Array, low: Array) -> tuple[str, str]:
        return body.constant(f"{name}/weight", high), body.constant(f"{name}/weight/low", low)


class _Narrow:
    """Weights of 16 bits in the file, cast to float32 before the product."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def held(self, name: str, weight: Array) -> Array:
        if self._kind == "bfloat16":
            return short(weight, _BFLOAT16_BITS)
        allowed = float(np.finfo(np.float16).max)
        if np.abs(weight).max(initial=0.0) > allowed:
            found = f"weight {np.abs(weight).max():g}, allowed up to {allowed:g} in float16"
            raise GraphError(f"node {name!r}: {found}; use precision bfloat16")
        return weight.astype(np.float16).astype(np.float32)

    def conv(
        self, body: Body, name: str, x: str, weight: Array, bias: Array, attributes: Mapping[str, Any]
    ) -> str:
        wide = self._wide(body, name, self.held(name, weight))
        return body.op("Conv", [x, wide, body.constant(f"{name}/bias", bias)], name, **attributes)

    def dense(self, body: Body, name: str, at: str, x: str, weight: Array) -> str:
        return body.op("MatMul", [x, self._wide(body, name, self.held(name, weight).T)], at)

    def _wide(self, body: Body, name: str, weight: Array) -> str:
        if self._kind == "float16":
            stored = body.constant(f"{name}/weight", weight.astype(np.float16))
        else:
            top = (np.ascontiguousarray(weight).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
            stored = body.constant(f"{name}/weight", top, TensorProto.BFLOAT16)
        return body.op("Cast", [stored], f"{name}/weight/float", to=FLOAT)


class _Integer:
    """Weights of 8 bits and integer products; float32 where what arrives is no small whole number."""

    def __init__(self, graph: SpikingGraph, calibration: Mapping[str, tuple[float, float]]) -> None:
        values = largest(graph, LIMITS["int8"])
        self._arriving = {name: _arriving(graph, name, values) for name in _synapses(graph)}
        self._ranges = calibration

    def held(self, name: str, weight: Array) -> Array:
        if not self._fits(name, weight):
            return weight
        q, scale = _quantised(weight)
        return q.astype(np.float32) * scale.reshape(-1, *[1] * (weight.ndim - 1))

    def conv(
        self, body: Body, name: str, x: str, weight: Array, bias: Array, attributes: Mapping[str, Any]
    ) -> str:
        if not self._fits(name, weight):
            return EXACT.conv(body, name, x, weight, bias, attributes)
        q, scale = _quantised(weight)
        step, zero = _output_grid(*self._ranges[name])
        out = [body.constant(f"{name}/sum/scale", step), body.constant(f"{name}/sum/zero", zero)]
        whole = np.clip(np.rint(bias / scale), -_INT32, _INT32).astype(np.int32)
        inputs = [
            body.op("Cast", [x], f"{name}/events", to=TensorProto.UINT8),
            body.constant(f"{name}/events/scale", np.array(1, np.float32)),
            body.constant(f"{name}/events/zero", np.array(0, np.uint8)),
            body.constant(f"{name}/weight", q),
            body.constant(f"{name}/weight/scale", scale),
            body.constant(f"{name}/weight/zero", np.zeros(len(scale), np.int8)),
            *out,
            body.constant(f"{name}/bias", whole),
        ]
        summed = body.op("QLinearConv", inputs, f"{name}/sum", **attributes)
        return body.op("DequantizeLinear", [summed, *out], name)

    def dense(self, body: Body, name: str, at: str, x: str, weight: Array) -> str:
        if not self._fits(name, weight):
            return EXACT.dense(body, name, at, x, weight)
        q, scale = _quantised(weight)
        events = body.op("Cast", [x], f"{name}/events", to=TensorProto.UINT8)
        summed = body.op("MatMulInteger", [events, body.constant(f"{name}/weight", q.T)], f"{name}/sum")
        wide = body.op("Cast", [summed], f"{name}/sum/float", to=FLOAT)
        return body.op("Mul", [wide, body.constant(f"{name}/weight/scale", scale)], at)

    def _fits(self, name: str, weight: Array) -> bool:
        taps = prod(weight.shape[1:])
        return self._arriving[name] <= LIMITS["int8"] and self._arriving[name] * taps * 127 < _INT32


def _terms(weight: Array) -> tuple[Array, Array]:
    high = short(weight, _TF32_BITS)
    return high, short(weight - high, _TF32_BITS)


def _quantised(weight: Array) -> tuple[NDArray[np.int8], Array]:
    """`(q, scale)` with weight = q * scale[out] and q in [-127, 127]."""
    peak = np.abs(weight).reshape(len(weight), -1).max(axis=1, initial=0.0)
    scale = np.where(peak > 0, peak / 127, 1).astype(np.float32)
    q = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return np.clip(q, -127, 127).astype(np.int8), scale


def _output_grid(low: float, high: float) -> tuple[Array, NDArray[np.uint8]]:
    """Step and zero point of 8-bit sums that reach from `low` to `high`, and hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = np.float32((high - low) / 255 or 1.0)
    return np.asarray(step), np.array(np.rint(-low / step), np.uint8)


def _synapses(graph: SpikingGraph) -> list[str]:
    return [name for name, node in graph.nodes.items() if isinstance(node, SYNAPSE)]


def _arriving(graph: SpikingGraph, name: str, values: Mapping[str, float]) -> float:
    return sum(values[source] for source in graph.predecessors[name])


def _real(graph: SpikingGraph, name: str, arriving: float) -> float:
    return inf


def _same(graph: SpikingGraph, name: str, arriving: float) -> float:
    return arriving


def _pooled(graph: SpikingGraph, name: str, arriving: float) -> float:
    return arriving * prod(pair(graph.nodes[name].kernel_size))


def _fired(graph: SpikingGraph, name: str, arriving: float) -> float:
    return 1.0 if graph.profile.spikes_per_step == "one" else inf


_BOUNDS: Mapping[type[nir.NIRNode], Callable[[SpikingGraph, str, float], float]] = {
    nir.Input: _same,
    nir.Output: _same,
    nir.Delay: _same,
    nir.Flatten: _same,
    nir.SumPool2d: _pooled,
    nir.Threshold: lambda graph, name, arriving: 1.0,
    **dict.fromkeys(SPIKING, _fired),
}
_PRODUCTS: Mapping[str, Callable[[SpikingGraph, Mapping[str, tuple[float, float]]], Products]] = {
    "float32": lambda graph, calibration: EXACT,
    "tf32x2": lambda graph, calibration: _TwoTerms(),
    "float16": lambda graph, calibration: _Narrow("float16"),
    "bfloat16": lambda graph, calibration: _Narrow("bfloat16"),
    "int8": _Integer,
}
