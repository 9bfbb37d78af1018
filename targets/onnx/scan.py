"""The portable form: one ONNX `Scan` over time, weights inside its body, dynamic T and B.

Weights inside the body matter: onnxruntime pre-packs only what the body owns. Every state starts
at zero, in a shape made from the batch size of the input, so that a model holds no state between
runs and its size does not depend on T.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from targets.onnx.body import FLOAT, OPSET, Body, Counted, StateType, packed, totals


def scan_model(body: Body, metadata: Mapping[str, str], opset: int = OPSET) -> ModelProto:
    """One step `body` closed into a Scan."""
    counts = {f"{counted.name}/sum": StateType(counted.dims, FLOAT) for counted in body.counted}
    states = {**body.states, **counts}
    nodes, constants, zeros = _zeros(body.inputs[0][0], states)
    nodes.append(
        helper.make_node(
            "Scan",
            [*zeros, *(name for name, _ in body.inputs)],
            [*(f"{state}/final" for state in states), *(out.name for out in body.emitted)],
            name="/time",
            body=_step(body, states),
            num_scan_inputs=len(body.inputs),
        )
    )
    outputs = [helper.make_tensor_value_info(o.name, o.dtype, ["T", "B", *o.dims]) for o in body.emitted]
    sums = [Counted(out.name, f"{out.name}/sum/final", out.dims) for out in body.counted]
    for more, made in (totals(sums, 1), totals(body.counted_inputs, 2, whole=True)):
        nodes += more
        outputs += made
    inputs = [helper.make_tensor_value_info(n, FLOAT, ["T", "B", *dims]) for n, dims in body.inputs]
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    return packed(graph, body, metadata, opset)


def _step(body: Body, states: Mapping[str, StateType]) -> GraphProto:
    """The Scan's body: states and this step's inputs to states and this step's outputs."""

    def typed(name: str, dims: tuple[int, ...] | None, dtype: int) -> Any:
        return helper.make_tensor_value_info(name, dtype, [] if dims is None else ["B", *dims])

    following = dict(body.following)
    nodes = list(body.nodes)
    for out in body.counted:
        total = following[f"{out.name}/sum"] = f"{out.name}/sum/after"
        nodes.append(helper.make_node("Add", [f"{out.name}/sum/before", out.value], [total], name=total))
    return helper.make_graph(
        nodes,
        "step",
        [typed(f"{name}/before", state.dims, state.dtype) for name, state in states.items()]
        + [typed(f"{name}/now", dims, FLOAT) for name, dims in body.inputs],
        [typed(following[name], state.dims, state.dtype) for name, state in states.items()]
        + [typed(out.value, out.dims, out.dtype) for out in body.emitted],
        body.constants,
    )


def _zeros(
    first: str, states: Mapping[str, StateType]
) -> tuple[list[NodeProto], list[TensorProto], list[str]]:
    """Initial states from the batch size of the input `first`; equal ones are made once."""
    nodes = [helper.make_node("Shape", [first], ["/batch"], name="/batch", start=1, end=2)]
    constants: list[TensorProto] = []
    made: dict[StateType, str] = {}
    for name, state in states.items():
        if state in made:
            continue
        zero = made[state] = f"{name}/zero"
        if state.dims is None:
            constants.append(helper.make_tensor(zero, state.dtype, [], [0]))
            continue
        shape = "/batch"
        if state.dims:
            shape, tail = f"{name}/shape", f"{name}/dims"
            constants.append(numpy_helper.from_array(np.array(state.dims, np.int64), tail))
            nodes.append(helper.make_node("Concat", ["/batch", tail], [shape], name=shape, axis=0))
        value = helper.make_tensor("value", state.dtype, [1], [0])
        nodes.append(helper.make_node("ConstantOfShape", [shape], [zero], name=zero, value=value))
    return nodes, constants, [made[state] for state in states.values()]
