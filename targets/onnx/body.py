"""What one time step does, as ONNX nodes; `scan` and `chunk` close it into a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class StateType:
    """A state [B, *dims], or a scalar where `dims` is None; zero before the first step."""

    dims: tuple[int, ...] | None
    dtype: int


@dataclass(frozen=True)
class Emitted:
    """A model output [T, B, *dims]: `value` of every step."""

    name: str
    value: str
    dims: tuple[int, ...]
    dtype: int


@dataclass(frozen=True)
class Counted:
    """A model output int64 [*dims]: `value`, float32 whole numbers, summed over steps and samples.

    Of a model input, the values that are not zero. Sums are float32, exact below 2^24 in one call.
    """

    name: str
    value: str
    dims: tuple[int, ...]


class Body:
    """Collects what one time step does.

    Values have shape [B, *dims]. Names of nodes and values are NIR names, with a suffix after "/",
    which no NIR name holds.

    Attributes:
        nodes: in an order in which each comes after what it reads.
        constants: the initializers.
        functions: local functions, by name.
        inputs: `(name, dims)` of the model inputs [T, B, *dims] float32.
        states: by name; the value before the step is `name/before`.
        following: `{state: value after the step}`.
        emitted, counted, counted_inputs: the model outputs.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.functions: dict[str, FunctionProto] = {}
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.states: dict[str, StateType] = {}
        self.following: dict[str, str] = {}
        self.emitted: list[Emitted] = []
        self.counted: list[Counted] = []
        self.counted_inputs: list[Counted] = []
        self._taken: set[str] = set()
        self._bytes = 0

    def input(self, name: str, dims: tuple[int, ...]) -> str:
        """A model input [T, B, *dims] float32; returns its value of this step."""
        self.inputs.append((name, dims))
        self._taken.add(f"{name}/now")
        return f"{name}/now"

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """An initializer.

        Raises:
            GraphError: the model would outgrow one protobuf message.
        """
        self._bytes += value.nbytes
        check_bytes(name, self._bytes)
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def op(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node called `name` with one output; returns its value."""
        return self.call(kind, inputs, name, [f"{name}/now"], "", **attributes)[0]

    def call(
        self, kind: str, inputs: Sequence[str], name: str, outputs: list[str], domain: str, **attributes: Any
    ) -> list[str]:
        """A node with named outputs, of any domain."""
        self.nodes.append(
            helper.make_node(kind, list(inputs), outputs, name=name, domain=domain, **attributes)
        )
        return outputs

    def function(self, function: FunctionProto) -> str:
        """Make a local function known; returns its name."""
        self.functions[function.name] = function
        return str(function.name)

    def state(self, name: str, dims: tuple[int, ...] | None, dtype: int) -> str:
        """A state [B, *dims] (a scalar where `dims` is None), zero at first; its value before this step."""
        self.states[name] = StateType(dims, dtype)
        self._taken.add(f"{name}/before")
        return f"{name}/before"

    def keep(self, name: str, value: str) -> None:
        """The value of a state after this step."""
        self.following[name] = self._exported(value, f"{name}/after")

    def emit(self, name: str, value: str, dims: tuple[int, ...], dtype: int) -> None:
        """A model output [T, B, *dims]: `value` of every step."""
        self.emitted.append(Emitted(name, self._exported(value, f"{name}/each"), dims, dtype))

    def count(self, name: str, value: str, dims: tuple[int, ...]) -> None:
        """A model output int64 [*dims]: `value` summed over steps and samples."""
        self.counted.append(Counted(name, value, dims))

    def count_input(self, name: str, source: str, dims: tuple[int, ...]) -> None:
        """A model output int64 [*dims]: how often the model input `source` was not zero."""
        self.counted_inputs.append(Counted(name, source, dims))

    def _exported(self, value: str, name: str) -> str:
        """An output may not be an input, nor stand twice: copy where it would."""
        if value in self._taken:
            self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
            return name
        self._taken.add(value)
        return value


def totals(
    counted: Sequence[Counted], axes: Sequence[int], whole: bool = False
) -> tuple[list[NodeProto], list[TensorProto], list[Any]]:
    """Nodes, constants and model outputs that sum `counted` over `axes` and make them int64.

    Args:
        whole: the values are model inputs, whose events are counted.
    """
    if not counted:
        return [], [], []
    over = "/over " + " and ".join(map(str, axes))
    nodes, outputs = [], []
    for out in counted:
        steps = [("Cast", {"to": TensorProto.BOOL}), ("Cast", {"to": FLOAT})] if whole else []
        value = out.value
        for i, (kind, attributes) in enumerate(steps):
            nodes.append(helper.make_node(kind, [value], [f"{out.name}/events/{i}"], **attributes))
            value = f"{out.name}/events/{i}"
        nodes.append(helper.make_node("ReduceSum", [value, over], [f"{out.name}/total"], keepdims=0))
        nodes.append(helper.make_node("Cast", [f"{out.name}/total"], [out.name], name=out.name, to=INT64))
        outputs.append(helper.make_tensor_value_info(out.name, INT64, list(out.dims)))
    return nodes, [numpy_helper.from_array(np.array(axes, np.int64), over)], outputs


def packed(graph: GraphProto, body: Body, metadata: Mapping[str, str]) -> ModelProto:
    """The finished model, IR version 10, opset 20, with the body's functions and `metadata`."""
    opsets = [helper.make_opsetid("", OPSET)]
    if body.functions:
        opsets.append(helper.make_opsetid(DOMAIN, 1))
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=opsets,
        functions=list(body.functions.values()),
        producer_name="msenas-hw",
        producer_version=version("msenas-hw"),
    )
    helper.set_model_props(model, dict(metadata))
    return model


class DelayLine:
    """The last `depth` values of a node as one state [B, depth, *dims], oldest first."""

    def __init__(self, body: Body, name: str, depth: int, dims: tuple[int, ...]) -> None:
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
