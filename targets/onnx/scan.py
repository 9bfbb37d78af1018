"""The portable form: one ONNX `Scan` over time, weights inside its body, dynamic T and B.

Weights inside the body matter: onnxruntime pre-packs only what the body owns. Every state starts
at zero, in a shape made from the batch size of the input, so that a model holds no state between
runs and its size does not depend on T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from targets.errors import GraphError

IR_VERSION = 10
OPSET = 20
# Neuron models are local functions of this domain, so that a viewer shows LIF and not its arithmetic.
DOMAIN = "org.nir"

# A protobuf message ends at 2 GiB; what is not weights takes far less than the rest.
_LARGEST = 2**31 - 2**24

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64


def check_bytes(name: str, found: int) -> None:
    """GraphError where `found` bytes of weights, `name` included, do not fit one ONNX file."""
    if found > _LARGEST:
        raise GraphError(
            f"{name!r}: the ONNX model would hold {found} bytes of weights, allowed {_LARGEST} in one file; "
            "use fewer or narrower dense layers"
        )


class ScanBuilder:
    """Collects what one time step does and closes it into a model.

    Inside the body values have shape [B, *dims]. Names of nodes and values are NIR names, with a
    suffix after "/", which no NIR name holds.
    """

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._functions: dict[str, FunctionProto] = {}
        self._inputs: list[tuple[str, tuple[int, ...]]] = []
        self._states: dict[str, tuple[tuple[int, ...] | None, int]] = {}
        self._next: dict[str, str] = {}
        self._stacked: list[tuple[str, str, tuple[int, ...], int]] = []
        self._counted: list[tuple[str, str, tuple[int, ...]]] = []
        self._taken: set[str] = set()
        self._bytes = 0

    def input(self, name: str, dims: tuple[int, ...]) -> str:
        """A model input [T, B, *dims] float32; returns its value of this step."""
        self._inputs.append((name, dims))
        self._taken.add(f"{name}/now")
        return f"{name}/now"

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initializer of the body.

        Raises:
            GraphError: the model would outgrow one protobuf message.
        """
        self._bytes += value.nbytes
        check_bytes(name, self._bytes)
        self._constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node called `name` with one output; returns its value."""
        return self.call(kind, inputs, name, [f"{name}/now"], "", **attributes)[0]

    def call(
        self, kind: str, inputs: Sequence[str], name: str, outputs: list[str], domain: str, **attributes: Any
    ) -> list[str]:
        """A node with named outputs, of any domain."""
        self._nodes.append(
            helper.make_node(kind, list(inputs), outputs, name=name, domain=domain, **attributes)
        )
        return outputs

    def function(self, function: FunctionProto) -> str:
        """Make a local function known; returns its name."""
        self._functions[function.name] = function
        return str(function.name)

    def state(self, name: str, dims: tuple[int, ...] | None, dtype: int) -> str:
        """A state [B, *dims] (a scalar where `dims` is None), zero at first; its value before this step."""
        self._states[name] = (dims, dtype)
        self._taken.add(f"{name}/before")
        return f"{name}/before"

    def keep(self, name: str, value: str) -> None:
        """The value of a state after this step."""
        self._next[name] = self._exported(value, f"{name}/after")

    def emit(self, name: str, value: str, dims: tuple[int, ...], dtype: int) -> None:
        """A model output [T, B, *dims]: `value` of every step."""
        self._stacked.append((name, self._exported(value, f"{name}/each"), dims, dtype))

    def count(self, name: str, value: str, dims: tuple[int, ...]) -> None:
        """A model output int64 [*dims]: `value`, float32 0 or 1, summed over steps and samples.

        A float32 sum over the steps of one sample is exact for T < 2^24; samples are added in int64.
        """
        before = self.state(f"{name}/sum", dims, FLOAT)
        self.keep(f"{name}/sum", self.op("Add", [before, value], f"{name}/sum"))
        self._counted.append((name, f"{name}/sum/final", dims))

    def _exported(self, value: str, name: str) -> str:
        """A body output may not be a body input, nor stand twice: copy where it would."""
        if value in self._taken:
            self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
            return name
        self._taken.add(value)
        return value

    def _body(self) -> GraphProto:
        def typed(name: str, dims: tuple[int, ...] | None, dtype: int) -> Any:
            return helper.make_tensor_value_info(name, dtype, [] if dims is None else ["B", *dims])

        states = self._states.items()
        return helper.make_graph(
            self._nodes,
            "step",
            [typed(f"{name}/before", dims, dtype) for name, (dims, dtype) in states]
            + [typed(f"{name}/now", dims, FLOAT) for name, dims in self._inputs],
            [typed(self._next[name], dims, dtype) for name, (dims, dtype) in states]
            + [typed(value, dims, dtype) for _, value, dims, dtype in self._stacked],
            self._constants,
        )

    def _zeros(self) -> tuple[list[NodeProto], list[TensorProto], list[str]]:
        """Initial states from the batch size of the first input; equal ones are made once."""
        first = self._inputs[0][0]
        nodes = [helper.make_node("Shape", [first], ["/batch"], name="/batch", start=1, end=2)]
        constants: list[TensorProto] = []
        made: dict[tuple[tuple[int, ...] | None, int], str] = {}
        for name, (dims, dtype) in self._states.items():
            if (dims, dtype) in made:
                continue
            zero = f"{name}/zero"
            made[dims, dtype] = zero
            if dims is None:
                constants.append(helper.make_tensor(zero, dtype, [], [0]))
                continue
            shape = "/batch"
            if dims:
                shape, tail = f"{name}/shape", f"{name}/dims"
                constants.append(numpy_helper.from_array(np.array(dims, np.int64), tail))
                nodes.append(helper.make_node("Concat", ["/batch", tail], [shape], name=shape, axis=0))
            value = helper.make_tensor("value", dtype, [1], [0])
            nodes.append(helper.make_node("ConstantOfShape", [shape], [zero], name=zero, value=value))
        return nodes, constants, [made[state] for state in self._states.values()]

    def model(self, name: str, metadata: Mapping[str, str]) -> ModelProto:
        """The finished model, IR version 10, opset 20."""
        nodes, constants, zeros = self._zeros()
        nodes.append(
            helper.make_node(
                "Scan",
                [*zeros, *(i for i, _ in self._inputs)],
                [*(f"{s}/final" for s in self._states), *(s[0] for s in self._stacked)],
                name="/time",
                body=self._body(),
                num_scan_inputs=len(self._inputs),
            )
        )
        outputs = [
            helper.make_tensor_value_info(out, dtype, ["T", "B", *dims])
            for out, _, dims, dtype in self._stacked
        ]
        if self._counted:
            constants.append(numpy_helper.from_array(np.array([0], np.int64), "/samples"))
        for out, value, dims in self._counted:
            nodes.append(helper.make_node("Cast", [value], [f"{out}/exact"], name=f"{out}/exact", to=INT64))
            nodes.append(
                helper.make_node("ReduceSum", [f"{out}/exact", "/samples"], [out], name=out, keepdims=0)
            )
            outputs.append(helper.make_tensor_value_info(out, INT64, list(dims)))
        inputs = [helper.make_tensor_value_info(n, FLOAT, ["T", "B", *dims]) for n, dims in self._inputs]
        return self._packed(helper.make_graph(nodes, name, inputs, outputs, constants), metadata)

    def _packed(self, graph: GraphProto, metadata: Mapping[str, str]) -> ModelProto:
        opsets = [helper.make_opsetid("", OPSET)]
        if self._functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=opsets,
            functions=list(self._functions.values()),
            producer_name="msenas-hw",
            producer_version=version("msenas-hw"),
        )
        helper.set_model_props(model, dict(metadata))
        return model


class DelayLine:
    """The last `depth` values of a node as one state [B, depth, *dims], oldest first."""

    def __init__(self, body: ScanBuilder, name: str, depth: int, dims: tuple[int, ...]) -> None:
        self._body, self._name, self._depth = body, f"{name}/line", depth
        self._before = body.state(self._name, (depth, *dims), FLOAT)
        self._read: dict[int, str] = {}

    def read(self, steps: int) -> str:
        """The value of `steps` steps ago, 1 <= steps <= depth; zeros before the first step."""
        if steps not in self._read:
            at = f"{self._name}/{steps}"
            index = self._body.constant(f"{at}/index", np.array(self._depth - steps, np.int64))
            self._read[steps] = self._body.op("Gather", [self._before, index], at, axis=1)
        return self._read[steps]

    def push(self, value: str) -> None:
        """Store this step's value, drop the oldest."""
        axis = self._body.constant(f"{self._name}/axis", np.array([1], np.int64))
        line = self._body.op("Unsqueeze", [value, axis], f"{self._name}/new")
        if self._depth > 1:
            end = self._body.constant(f"{self._name}/end", np.array([self._depth], np.int64))
            newer = self._body.op("Slice", [self._before, axis, end, axis], f"{self._name}/newer")
            line = self._body.op("Concat", [newer, line], f"{self._name}/shift", axis=1)
        self._body.keep(self._name, line)
