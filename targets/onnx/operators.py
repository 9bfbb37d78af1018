"""Populations, convolutions over their spikes, and counts as operators of our own in compiled C (`kernels`).

onnxruntime runs a population as five kernels or more, each of which reads and writes all neurons, and its
convolutions multiply by every 0; here a population is one operator, and a convolution adds the weights of
what spikes. Such a model runs on this machine and is never written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from targets.graph.shapes import padded_shape, window_shape
from targets.onnx.blocked import INTO_BLOCKS
from targets.onnx.body import COUNTS, DOMAIN, FLOAT, NCHWC, OWN_DOMAIN, UINT8, Body, Counted
from targets.reference.kernels.build import kernels

_PACKAGE = "targets.onnx.kernels"
# Coefficients in the order of populations.c, and what stands for one that a population does not read.
_OF_ALL: Mapping[str, float] = {"gain": 1.0, "decay": 1.0, "leak": 0.0, "threshold": 0.0, "reset": 0.0}
_OF_CURRENT = "decay_synapse"
# Attributes of a convolution, without those of blocks, as in convolutions.c.
_CONVOLUTION = (
    *("channels", "height", "width", "out", "out_height", "out_width"),
    *("kernel_height", "kernel_width", "stride_height", "stride_width", "top", "left"),
)
# Its output channels are a multiple of these.
_LANES = 8
# Blocks of channels whose counts counts.c puts in order.
_BLOCKS = (1, 8, 16)
# Axes of a population with its samples, or of an input with its steps too, as AXES in ort.h.
_AXES = 8


def library() -> str | None:
    """The compiled operators, or None without a compiler or where MSENAS_KERNELS is "torch"."""
    found = kernels("auto", _PACKAGE)
    return None if found.library is None else found.reason


def fused(body: Body, block: int = 1) -> Body:
    """`body`, in float32 and without a profile, with one operator for each population that fires.

    Convolutions over their spikes are operators as well, in plain order or in blocks of `block` (`blocked`).
    """
    return _Fusion(body, block).body


def total_node(counted: Sequence[Counted], series: Sequence[str]) -> tuple[NodeProto, TensorProto]:
    """From the bits of all steps, `series`, of populations to the parts of their counts (`counting`).

    The constant with it tells how the neurons of each lie, as `counted` in counts.c.
    """
    sizes = [prod(out.dims) for out in counted]
    table = [(size, size // (out.channels or 1), out.block) for out, size in zip(counted, sizes, strict=True)]
    name = f"{COUNTS}/table"
    node = helper.make_node("Total", [name, *series], [COUNTS], name=COUNTS, domain=OWN_DOMAIN)
    return node, numpy_helper.from_array(np.array(table, np.int64), name)


def events_node(out: Counted) -> NodeProto:
    """The node from a model input to its count `out`."""
    return helper.make_node("Events", [out.value], [out.name], name=out.name, domain=OWN_DOMAIN)


class _Fusion:
    """The new body while it grows."""

    def __init__(self, body: Body, block: int) -> None:
        self.block = block
        self.constants = {tensor.name: tensor for tensor in body.constants}
        self.counted = {out.value: out for out in body.counted}
        self.functions = body.functions
        self.spikes: dict[str, tuple[int, ...]] = {}
        self.body = copy(body)
        self.body.types = dict(body.types)
        self.body.nodes = [self._node(node) for node in body.nodes]
        self.body.constants = list(self.constants.values())
        self.body.counted = [self.counted[out.value] for out in body.counted]
        self.body.counted_inputs = [
            replace(out, own=len(out.dims) + 2 <= _AXES) for out in body.counted_inputs
        ]
        used = {node.op_type for node in self.body.nodes if node.domain == DOMAIN}
        self.body.functions = {name: f for name, f in body.functions.items() if name in used}

    def _node(self, node: NodeProto) -> NodeProto:
        """`node`, or the operator in its place."""
        # Weights beside the model stay where they are.
        if node.op_type == "Conv" and self.body.side is None:
            return self._convolution(node) or node
        if node.domain != DOMAIN:
            return node
        function = self.functions[node.op_type]
        given = dict(zip(function.input, node.input, strict=True))
        made = dict(zip(function.output, node.output, strict=True))
        shape = self.body.states[given["v"].removesuffix("/before")].dims
        if "spikes" not in made or shape is None or len(shape) >= _AXES:
            return node
        self.spikes[made["spikes"]] = shape
        self.body.types[made["spikes"]] = FLOAT, shape
        given |= self._threshold(node)
        kind, inputs, outputs = "Population", [given["S"], given["v"]], [made["v_next"], made["spikes"]]
        inputs += [self._coefficient(name, given) for name in _OF_ALL]
        read = list(_OF_ALL)
        if "u" in given:
            kind, read = f"Current{kind}", [*read, _OF_CURRENT]
            inputs += [given["u"], given[_OF_CURRENT]]
            outputs.append(made["u_next"])
        out = self.counted.get(made["spikes"])
        if out is not None and out.block in _BLOCKS:
            kind = f"{kind}Counted"
            self.counted[out.value] = replace(out, own=True)
            outputs.append(out.bits)
            self.body.types[out.bits] = UINT8, (-(-prod(shape) // 8),)
        each = sum(self._sized(name, given) << i for i, name in enumerate(read))
        return helper.make_node(kind, inputs, outputs, name=node.name, domain=OWN_DOMAIN, each=each)

    def _convolution(self, node: NodeProto) -> NodeProto | None:
        """A convolution over the spikes of a population, or nothing where it is of another kind."""
        x, name, *bias = node.input
        tensor = self.constants.get(name.removesuffix("/blocks"))
        shape = self.spikes.get(x.removesuffix(f"/{INTO_BLOCKS}"), ())
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if tensor is None or len(shape) != 3 or len(tensor.dims) != 4 or tensor.dims[0] % _LANES:
            return None
        out, into, *kernel = tensor.dims
        pads, strides = given.get("pads", [0, 0, 0, 0]), given.get("strides", [1, 1])
        dilations = given.get("dilations", [1, 1])
        if into != shape[0] or list(dilations) != [1, 1] or tensor.data_type != FLOAT:
            return None
        weights = numpy_helper.to_array(tensor)
        padded = padded_shape(shape[1:], pads[:2], pads[2:])
        sizes = window_shape(padded, tuple(kernel), strides, dilations)
        blocks = self.block if node.domain == NCHWC else 1
        rows = self._array(f"{name}/rows", weights.transpose(2, 3, 1, 0).reshape(-1, out))
        added = bias[0] if bias else self._array(f"{name}/bias", np.zeros(out, np.float32))
        self.body.types[node.output[0]] = FLOAT, (out, *sizes)
        numbers = dict(zip(_CONVOLUTION, (*shape, out, *sizes, *kernel, *strides, *pads[:2]), strict=True))
        numbers |= {"block_in": blocks if into % blocks == 0 else 1, "block_out": blocks}
        return helper.make_node(
            "SpikingConv", [x, rows, added], node.output, name=node.name, domain=OWN_DOMAIN, **numbers
        )

    def _array(self, name: str, values: NDArray[np.float32]) -> str:
        self.constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def _threshold(self, node: NodeProto) -> dict[str, str]:
        """The threshold of a population that has a ramp in its place."""
        found = {a.name: a.f for a in node.attribute}
        if not found:
            return {}
        return {"threshold": self._number(f"{node.name}/threshold", -found["offset"] / found["slope"])}

    def _coefficient(self, name: str, given: Mapping[str, str]) -> str:
        neutral = _OF_ALL[name]
        return given[name] if name in given else self._number(f"/neutral/{neutral:g}", neutral)

    def _number(self, name: str, value: float) -> str:
        return self._array(name, np.array(value, np.float32))

    def _sized(self, name: str, given: Mapping[str, str]) -> bool:
        """Whether a coefficient has a value for each neuron."""
        return name in given and len(self.constants[given[name]].dims) > 0
