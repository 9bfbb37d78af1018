"""Convolutions and dense layers in ONNX, exact in float32; `precision` holds cheaper ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.shapes import conv_margins, per_axis
from targets.onnx.body import Body

Array = NDArray[np.float32]


class Products(Protocol):
    """How weights are stored and multiplied with what arrives."""

    def held(self, name: str, weight: Array) -> Array:
        """The weight [out, ...] of synapse `name` as it is multiplied, in float32."""
        ...

    def conv(
        self, body: Body, name: str, x: str, weight: Array, bias: Array, attributes: Mapping[str, Any]
    ) -> str:
        """`x` [B, in, *space] convolved with `weight` [out, in / group, *kernel], plus `bias` [out]."""
        ...

    def dense(self, body: Body, name: str, at: str, x: str, weight: Array) -> str:
        """`x` [B, in] times the `weight` [out, in] of synapse `name`; the result is called `at`."""
        ...


class Exact:
    """Weights and products in float32."""

    def held(self, name: str, weight: Array) -> Array:
        """The weight itself."""
        return weight

    def conv(
        self, body: Body, name: str, x: str, weight: Array, bias: Array, attributes: Mapping[str, Any]
    ) -> str:
        """A `Conv`."""
        constants = [body.constant(f"{name}/weight", weight), body.constant(f"{name}/bias", bias)]
        return body.op("Conv", [x, *constants], name, **attributes)

    def dense(self, body: Body, name: str, at: str, x: str, weight: Array) -> str:
        """A `MatMul`."""
        return body.op("MatMul", [x, body.constant(f"{name}/weight", weight.T)], at)


EXACT = Exact()


def synapse(body: Body, name: str, node: nir.NIRNode, x: str, products: Products) -> str:
    """Synapse `name` on the value `x`; its parameters become initializers."""
    return _SYNAPSES[type(node)](body, name, node, x, products)


def window(node: nir.Conv1d | nir.Conv2d) -> dict[str, Any]:
    """Attributes of `Conv` for a NIR convolution."""
    axes = node.weight.ndim - 2
    before, after = conv_margins(node)
    return {
        "strides": per_axis(node.stride, axes),
        "pads": before + after,
        "dilations": per_axis(node.dilation, axes),
        "group": int(node.groups),
    }


def rounded(value: Any) -> Array:
    """A parameter in float32, rounded once."""
    return np.asarray(value).astype(np.float32)


def _conv(body: Body, name: str, node: nir.Conv1d | nir.Conv2d, x: str, products: Products) -> str:
    return products.conv(body, name, x, rounded(node.weight), rounded(node.bias), window(node))


def _linear(body: Body, name: str, node: nir.Linear, x: str, products: Products) -> str:
    return products.dense(body, name, name, x, rounded(node.weight))


def _affine(body: Body, name: str, node: nir.Affine, x: str, products: Products) -> str:
    product = products.dense(body, name, f"{name}/product", x, rounded(node.weight))
    return body.op("Add", [product, body.constant(f"{name}/bias", rounded(node.bias))], name)


_SYNAPSES: Mapping[type[nir.NIRNode], Callable[[Body, str, Any, str, Products], str]] = {
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.Linear: _linear,
    nir.Affine: _affine,
}
