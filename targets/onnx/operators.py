"""Populations and counts as operators of our own in compiled C, `kernels/kernels.c`.

onnxruntime runs a population as five kernels or more, each of which reads and writes all neurons; here it is
one, which counts the spikes too. Such a model runs on this machine and is never written.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from targets.onnx.body import DOMAIN, INT64, OWN_DOMAIN, Body, Counted
from targets.reference.kernels.build import kernels

_PACKAGE = "targets.onnx.kernels"
# Coefficients in the order of kernels.c, and what stands for one that a population does not read.
_OF_ALL: Mapping[str, float] = {"gain": 1.0, "decay": 1.0, "leak": 0.0, "threshold": 0.0, "reset": 0.0}
_OF_CURRENT = "decay_synapse"
# Axes of a population with its samples, or of an input with its steps too, as AXES in ort.h.
_AXES = 8


def library() -> str | None:
    """The compiled operators, or None without a compiler or where MSENAS_KERNELS is "torch"."""
    found = kernels("auto", _PACKAGE)
    return None if found.library is None else found.reason


def fused(body: Body) -> Body:
    """`body`, in float32 and without a profile, with one operator for each population that fires."""
    return _Fusion(body).body


def total(out: Counted, summed: str) -> list[NodeProto]:
    """Nodes from what the operators have `summed`, float32 [1, neurons], to the count `out`."""
    attributes = {"channels": out.channels or 1, "block": out.block}
    shape = f"{out.name}/dims"
    dims = helper.make_tensor("value", INT64, [len(out.dims)], out.dims)
    return [
        helper.make_node("Constant", [], [shape], name=shape, value=dims),
        helper.make_node(
            "Total", [summed, shape], [out.name], name=out.name, domain=OWN_DOMAIN, **attributes
        ),
    ]


def events(out: Counted) -> NodeProto:
    """The count of a model input."""
    return helper.make_node("Events", [out.value], [out.name], name=out.name, domain=OWN_DOMAIN)


class _Fusion:
    """The new body while it grows."""

    def __init__(self, body: Body) -> None:
        self.constants = {tensor.name: tensor for tensor in body.constants}
        self.counted = {out.value: out for out in body.counted}
        self.functions = body.functions
        self.body = copy(body)
        self.body.shapes = dict(body.shapes)
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
        if node.domain != DOMAIN:
            return node
        function = self.functions[node.op_type]
        given = dict(zip(function.input, node.input, strict=True))
        made = dict(zip(function.output, node.output, strict=True))
        shape = self.body.states[given["v"].removesuffix("/before")].dims
        if "spikes" not in made or shape is None or len(shape) >= _AXES:
            return node
        self.body.shapes[made["spikes"]] = shape
        given |= self._threshold(node)
        kind, inputs, outputs = "Population", [given["S"], given["v"]], [made["v_next"], made["spikes"]]
        inputs += [self._coefficient(name, given) for name in _OF_ALL]
        read = list(_OF_ALL)
        if "u" in given:
            kind, read = f"Current{kind}", [*read, _OF_CURRENT]
            inputs += [given["u"], given[_OF_CURRENT]]
            outputs.append(made["u_next"])
        out = self.counted.get(made["spikes"])
        if out is not None:
            kind = f"{kind}Counted"
            self.counted[out.value] = replace(out, own=True)
            inputs.append(f"{out.name}/sum/before")
            outputs.append(f"{out.name}/sum/after")
        each = sum(self._sized(name, given) << i for i, name in enumerate(read))
        return helper.make_node(kind, inputs, outputs, name=node.name, domain=OWN_DOMAIN, each=each)

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
        self.constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name

    def _sized(self, name: str, given: Mapping[str, str]) -> bool:
        """Whether a coefficient has a value for each neuron."""
        return name in given and len(self.constants[given[name]].dims) > 0
