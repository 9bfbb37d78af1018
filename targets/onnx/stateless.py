"""Stateless nodes in ONNX: one function a node kind, on [B, *input]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph
from targets.graph.shapes import Shape, conv_margins, pair, per_axis
from targets.onnx.body import FLOAT, Body


def apply(body: Body, graph: SpikingGraph, name: str, x: str) -> str:
    """Node `name` on the value `x`; its parameters become float32 initializers."""
    return _APPLY[type(graph.nodes[name])](body, name, graph.nodes[name], x, graph.shapes[name])


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


def rounded(value: Any) -> NDArray[np.float32]:
    """A parameter in float32, rounded once."""
    return np.asarray(value).astype(np.float32)


def _conv(body: Body, name: str, node: nir.Conv1d | nir.Conv2d, x: str, shape: Shape) -> str:
    weight = body.constant(f"{name}/weight", rounded(node.weight))
    bias = body.constant(f"{name}/bias", rounded(node.bias))
    return body.op("Conv", [x, weight, bias], name, **window(node))


def _linear(body: Body, name: str, node: nir.Linear, x: str, shape: Shape) -> str:
    weight = body.constant(f"{name}/weight", rounded(node.weight).T)
    return body.op("MatMul", [x, weight], name)


def _affine(body: Body, name: str, node: nir.Affine, x: str, shape: Shape) -> str:
    weight = body.constant(f"{name}/weight", rounded(node.weight).T)
    product = body.op("MatMul", [x, weight], f"{name}/product")
    return body.op("Add", [product, body.constant(f"{name}/bias", rounded(node.bias))], name)


def _sum_pool(body: Body, name: str, node: nir.SumPool2d, x: str, shape: Shape) -> str:
    """A depthwise convolution with ones: exact for spikes, where an average times its size is not."""
    kernel = pair(node.kernel_size)
    ones = body.constant(f"{name}/ones", np.ones((shape[0], 1, *kernel), np.float32))
    attributes = {"strides": pair(node.stride), "pads": pair(node.padding) * 2, "group": shape[0]}
    return body.op("Conv", [x, ones], name, **attributes)


def _average_pool(body: Body, name: str, node: nir.AvgPool2d, x: str, shape: Shape) -> str:
    """The sum divided by the kernel's size, padding included, as torch does it."""
    total = _sum_pool(body, f"{name}/total", node, x, shape)
    size = body.constant(f"{name}/size", np.array(np.prod(pair(node.kernel_size)), np.float32))
    return body.op("Div", [total, size], name)


def _flatten(body: Body, name: str, node: nir.Flatten, x: str, shape: Shape) -> str:
    return body.op("Reshape", [x, body.constant(f"{name}/shape", np.array([0, *shape], np.int64))], name)


def _scale(body: Body, name: str, node: nir.Scale, x: str, shape: Shape) -> str:
    return body.op("Mul", [x, body.constant(f"{name}/scale", rounded(node.scale))], name)


def _threshold(body: Body, name: str, node: nir.Threshold, x: str, shape: Shape) -> str:
    threshold = body.constant(f"{name}/threshold", rounded(node.threshold))
    above = body.op("Greater", [x, threshold], f"{name}/above")
    return body.op("Cast", [above], name, to=FLOAT)


def _identity(body: Body, name: str, node: nir.NIRNode, x: str, shape: Shape) -> str:
    return x


_APPLY: Mapping[type[nir.NIRNode], Callable[[Body, str, Any, str, Shape], str]] = {
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.Linear: _linear,
    nir.Affine: _affine,
    nir.SumPool2d: _sum_pool,
    nir.AvgPool2d: _average_pool,
    nir.Flatten: _flatten,
    nir.Scale: _scale,
    nir.Threshold: _threshold,
    nir.Output: _identity,
}
