"""Stateless nodes but synapses in ONNX: one function a node kind, on [B, *input]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np

from targets.graph.graph import SpikingGraph
from targets.graph.shapes import Shape, pair
from targets.onnx.body import FLOAT, Body
from targets.onnx.synapses import rounded


def apply(body: Body, graph: SpikingGraph, name: str, x: str) -> str:
    """Node `name` on the value `x`; its parameters become float32 initializers."""
    return _APPLY[type(graph.nodes[name])](body, name, graph.nodes[name], x, graph.shapes[name])


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
    nir.SumPool2d: _sum_pool,
    nir.AvgPool2d: _average_pool,
    nir.Flatten: _flatten,
    nir.Scale: _scale,
    nir.Threshold: _threshold,
    nir.Output: _identity,
}
