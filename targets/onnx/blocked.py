"""A step's body in the layout of onnxruntime's convolutions on the CPU: channels in blocks of 8 or 16.

By itself onnxruntime reorders what enters and leaves each convolution, since it cannot know that a state
may lie in any order. Here states and all that is elementwise stay in blocks, and only what leaves a step
is put in order. Values keep their shape [B, C, H, W] and lie in memory as [B, C / block, H, W, block]; no
arithmetic changes. The nodes are onnxruntime's own, so such a model is run and never written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from targets.errors import TargetUnavailableError
from targets.onnx.body import DOMAIN, FLOAT, IR_VERSION, NCHWC, OPSET, Body
from targets.onnx.session import open_session

# The operator that puts values in blocks; what it gives is named after it.
INTO_BLOCKS = "ReorderInput"
# Two blocks of the widest kernels.
_PROBED = 32
# What is computed value by value, in any order.
_ELEMENTWISE = ("Add", "Cast", "Div", "Greater", "Identity", "Mul")

Array = NDArray[Any]


@cache
def block_size() -> int:
    """Channels in a block on this CPU; 1 where onnxruntime's convolutions have no blocks."""
    x = np.arange(2.0 * _PROBED, dtype=np.float32).reshape(1, _PROBED, 1, 2)
    ends = [helper.make_tensor_value_info(name, FLOAT, x.shape) for name in "xy"]
    node = helper.make_node(INTO_BLOCKS, ["x"], ["y"], domain=NCHWC)
    graph = helper.make_graph([node], "probe", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(NCHWC, 1)]
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
    try:
        session = open_session(model, "cpu")
    except TargetUnavailableError:
        return 1
    # Behind the first pixels of a block's channels comes the second pixel of the first one.
    y = session.arrays({"x": x})["y"]
    return int(np.flatnonzero(y == x[0, 0, 0, 1])[0])


def blocked(body: Body, block: int) -> Body:
    """`body`, in float32, with its convolutions, states and elementwise nodes in blocks of `block`."""
    return body if block == 1 or body.side else _Layout(body, block).body


def complete(body: Body) -> bool:
    """Whether every convolution of `body` lies in blocks, so that onnxruntime has nothing to add."""
    domains = {node.domain for node in body.nodes if node.op_type == "Conv"}
    return domains == {NCHWC}


class _Layout:
    """The new body while it grows; `channels` of each value that lies in blocks."""

    def __init__(self, body: Body, block: int) -> None:
        self.block = block
        self.constants = {tensor.name: tensor for tensor in body.constants}
        self.channels = {
            f"{name}/before": state.dims[0]
            for name, state in body.states.items()
            if state.dims is not None and len(state.dims) == 3 and state.dims[0] % block == 0
        }
        self.moved: set[str] = set()
        self.body = copy(body)
        self.body.nodes = []
        for node in body.nodes:
            rule = _RULES.get(node.op_type, _Layout._plain)
            (_Layout._population if node.domain == DOMAIN else rule)(self, node)
        self.body.following = {state: self._like(state, v) for state, v in body.following.items()}
        self.body.emitted = [replace(out, value=self._ordered(out.value)) for out in body.emitted]
        self.body.counted = [
            replace(out, channels=self.channels[out.value], block=block)
            if out.value in self.channels
            else out
            for out in body.counted
        ]
        self.body.constants = list(self.constants.values())

    def _plain(self, node: NodeProto) -> None:
        self._add(node, [self._ordered(value) for value in node.input])

    def _population(self, node: NodeProto) -> None:
        """Its states lie as its current does; nothing else reads them."""
        current, *operands = node.input
        if current not in self.channels:
            for value in operands:
                self.channels.pop(value, None)
        self._elementwise(node)

    def _elementwise(self, node: NodeProto) -> None:
        """In blocks if an operand is, unless a constant would have to be stretched."""
        found = [self.channels[value] for value in node.input if value in self.channels]
        tensors = {value: self.constants[value] for value in node.input if value in self.constants}
        arrays = {value: numpy_helper.to_array(tensor) for value, tensor in tensors.items()}
        uneven = [value for value, array in arrays.items() if (array != array.flat[0]).any()]
        if not found or any(arrays[value].ndim != 3 for value in uneven):
            self._plain(node)
            return
        names = {value: value for value in arrays}
        for value in uneven:
            names[value] = self._constant(tensors[value], _split(arrays[value], 0, self.block))
        self._add(node, [names.get(v) or self._reordered(v, found[0]) for v in node.input], found[0])

    def _conv(self, node: NodeProto) -> None:
        """With onnxruntime's kernels for blocks, or as it is where they do not apply."""
        x, name, *bias = node.input
        tensor = self.constants.get(name)
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        into = 0 if tensor is None or len(tensor.dims) != 4 or tensor.data_type != FLOAT else tensor.dims[1]
        if tensor is None or not into or tensor.dims[0] % self.block:
            self._plain(node)
            return
        out, weight = tensor.dims[0], _split(numpy_helper.to_array(tensor), 0, self.block)
        if into % self.block == 0 and out // groups % self.block == 0:
            x, weight = self._reordered(x, into * groups), np.swapaxes(_split(weight, 1, self.block), -2, -1)
        elif groups == out and into == 1:
            x = self._reordered(x, out)
        elif groups > 1 or into >= self.block:
            self._plain(node)
            return
        else:
            x = self._ordered(x)
        self._add(node, [x, self._constant(tensor, weight), *bias], out)
        self.body.nodes[-1].domain = NCHWC

    def _add(self, node: NodeProto, inputs: list[str], channels: int | None = None) -> None:
        copied = NodeProto()
        copied.CopyFrom(node)
        del copied.input[:]
        copied.input.extend(inputs)
        self.body.nodes.append(copied)
        if channels is not None:
            self.channels |= dict.fromkeys(node.output, channels)

    def _constant(self, tensor: TensorProto, values: Array) -> str:
        """`values` in the shape of `tensor`, as a constant beside it."""
        name = f"{tensor.name}/blocks"
        self.constants[name] = numpy_helper.from_array(values.reshape(tuple(tensor.dims)), name)
        return name

    def _like(self, state: str, value: str) -> str:
        channels = self.channels.get(f"{state}/before")
        return self._ordered(value) if channels is None else self._reordered(value, channels)

    def _ordered(self, value: str) -> str:
        """`value` as others read it."""
        channels = self.channels.get(value)
        return value if channels is None else self._moved("ReorderOutput", value, channels=channels)

    def _reordered(self, value: str, channels: int) -> str:
        """`value` in blocks."""
        if value in self.channels:
            return value
        name = self._moved(INTO_BLOCKS, value)
        self.channels[name] = channels
        return name

    def _moved(self, kind: str, value: str, **attributes: int) -> str:
        name = f"{value}/{kind}"
        if name not in self.moved:
            self.moved.add(name)
            self.body.call(kind, [value], name, [name], NCHWC, **attributes)
        return name


def _split(array: Array, axis: int, block: int) -> Array:
    """The places inside a block of `axis` as the last axis."""
    before, found, after = array.shape[:axis], array.shape[axis], array.shape[axis + 1 :]
    return np.moveaxis(array.reshape(*before, found // block, block, *after), axis + 1, -1)


_RULES: Mapping[str, Callable[[_Layout, NodeProto], None]] = {
    "Conv": _Layout._conv,
    **dict.fromkeys(_ELEMENTWISE, _Layout._elementwise),
}
