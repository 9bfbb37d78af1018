"""What one time step does, as ONNX nodes; `scan` and `chunk` close it into a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from string import ascii_lowercase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from targets.onnx.sidefile import SideFile

IR_VERSION = 10
OPSET = 20
# Up to here TensorRT 10 reads; from here on IR 10 is what onnxruntime expects of every form.
OPSETS = (18, 19, 20, 21)
# Neuron models are local functions of this domain, so that a viewer shows LIF and not its arithmetic.
DOMAIN = "org.nir"
# Operators of our own (`operators`), and the output of a model with all that they count (`counting`).
OWN_DOMAIN = "msenas"
COUNTS = "/counts"
# onnxruntime's operators on channels in blocks.
NCHWC = "com.microsoft.nchwc"

# A protobuf message ends at 2 GiB; what is not weights takes far less than the rest.
INLINE_BYTES = 2**31 - 2**26

# Shapes and single numbers stay in the model.
_SMALL = 1024

# Whole numbers up to here are float32.
EXACT_COUNT = 2**24

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
UINT8 = TensorProto.UINT8


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

    Of a model input, the values that are not zero. Sums are float32, exact up to EXACT_COUNT in one call.
    The value lies in blocks of `block` where it has `channels` (`blocked`). It is `own` where our operators
    count it (`operators`): a population's spikes of a step are `bits` then, and its count is a part of the
    output `COUNTS`.
    """

    name: str
    value: str
    dims: tuple[int, ...]
    channels: int | None = None
    block: int = 1
    own: bool = False

    @property
    def bits(self) -> str:
        """Spikes of one step as bits, uint8 [B, neurons / 8]."""
        return f"{self.name}/bits"


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
        types: `{value: (type, dims)}` of values [B, *dims] that onnxruntime cannot infer.
        side: where constants lie that would make the model larger than `inline_bytes`, or None.
    """

    def __init__(self, inline_bytes: int = INLINE_BYTES) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.functions: dict[str, FunctionProto] = {}
        self._plain: dict[str, str] = {}
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.states: dict[str, StateType] = {}
        self.following: dict[str, str] = {}
        self.emitted: list[Emitted] = []
        self.counted: list[Counted] = []
        self.counted_inputs: list[Counted] = []
        self.types: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.side: SideFile | None = None
        self._taken: set[str] = set()
        self._room = inline_bytes

    def input(self, name: str, dims: tuple[int, ...]) -> str:
        """A model input [T, B, *dims] float32; returns its value of this step."""
        self.inputs.append((name, dims))
        self._taken.add(f"{name}/now")
        return f"{name}/now"

    def constant(self, name: str, value: NDArray[Any], kind: int | None = None) -> str:
        """An initializer; `kind` is its ONNX type where numpy has none for the bytes of `value`."""
        kind = kind or helper.np_dtype_to_tensor_dtype(value.dtype)
        if value.nbytes > max(self._room, _SMALL):
            self.side = self.side or SideFile()
            self.constants.append(self.side.put(name, value, kind))
            return name
        self._room -= value.nbytes
        raw = np.ascontiguousarray(value).tobytes()
        self.constants.append(TensorProto(name=name, data_type=kind, dims=value.shape, raw_data=raw))
        return name

    def arrays(self) -> dict[str, Callable[[], NDArray[Any]]]:
        """What reads each constant, by name."""
        folder = str(self.side.folder) if self.side else ""
        return {t.name: partial(numpy_helper.to_array, t, folder) for t in self.constants}

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

    def function(self, function: FunctionProto, plain: str) -> str:
        """Make a local function known, a variant of `plain`; returns its name."""
        self.functions[function.name] = function
        self._plain[function.name] = plain
        return str(function.name)

    def name_plainly(self) -> None:
        """Name each local function as what it is a variant of, where no other variant stands beside it."""
        for name, plain in self._plain.items():
            if list(self._plain.values()).count(plain) == 1:
                function = self.functions[plain] = self.functions.pop(name)
                function.name = plain
                for node in self.nodes:
                    if (node.domain, node.op_type) == (DOMAIN, name):
                        node.op_type = plain
        self._plain = {}

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


def totals(counted: Sequence[Counted], axes: int, whole: bool = False) -> tuple[list[NodeProto], list[Any]]:
    """Nodes and model outputs that sum `counted` over the first `axes` axes and make them int64.

    Args:
        whole: the values are model inputs, whose events are counted.
    """
    nodes, outputs = [], []
    for out in counted:
        steps = [("Cast", {"to": TensorProto.BOOL}), ("Cast", {"to": FLOAT})] if whole else []
        value = out.value
        for i, (kind, attributes) in enumerate(steps):
            nodes.append(helper.make_node(kind, [value], [f"{out.name}/events/{i}"], **attributes))
            value = f"{out.name}/events/{i}"
        letters = ascii_lowercase[: axes + len(out.dims)]
        # onnxruntime's ReduceSum over the first axes takes eight times as long.
        equation = f"{letters}->{letters[axes:]}"
        nodes.append(helper.make_node("Einsum", [value], [f"{out.name}/total"], equation=equation))
        nodes += finished(out, f"{out.name}/total")
        outputs.append(helper.make_tensor_value_info(out.name, INT64, list(out.dims)))
    return nodes, outputs


def finished(out: Counted, total: str, flat: bool = False) -> list[NodeProto]:
    """Nodes from the float32 `total` of a count, [*dims] or `flat`, to the model output."""
    nodes: list[NodeProto] = []

    def shaped(dims: tuple[int, ...], name: str) -> str:
        shape = helper.make_tensor("value", INT64, [len(dims)], dims)
        nodes.append(helper.make_node("Constant", [], [f"{name}/dims"], name=f"{name}/dims", value=shape))
        nodes.append(helper.make_node("Reshape", [total, f"{name}/dims"], [name], name=name))
        return name

    if out.channels is not None:
        blocks, total = shaped((1, *out.dims), f"{out.name}/blocks"), f"{out.name}/ordered"
        moved = {"domain": NCHWC, "channels": out.channels}
        nodes.append(helper.make_node("ReorderOutput", [blocks], [total], name=total, **moved))
    if flat or out.channels is not None:
        total = shaped(out.dims, f"{out.name}/shaped")
    return [*nodes, helper.make_node("Cast", [total], [out.name], name=out.name, to=INT64)]


def packed(graph: GraphProto, body: Body, metadata: Mapping[str, str], opset: int = OPSET) -> ModelProto:
    """The finished model, IR version 10, with the body's functions and `metadata`."""
    opsets = [helper.make_opsetid("", opset)]
    for function in body.functions.values():
        function.opset_import[0].version = opset
    if body.functions:
        opsets.append(helper.make_opsetid(DOMAIN, 1))
    found = {node.domain for node in (*body.nodes, *graph.node)}
    opsets += [helper.make_opsetid(domain, 1) for domain in (NCHWC, OWN_DOMAIN) if domain in found]
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
    """The last `depth` values of a node, a state [B, *dims] each, so that reading one copies nothing."""

    def __init__(self, body: Body, name: str, depth: int, dims: tuple[int, ...]) -> None:
        self._body = body
        self._names = [f"{name}/line/{steps}" for steps in range(1, depth + 1)]
        self._values = [body.state(state, dims, FLOAT) for state in self._names]

    def read(self, steps: int) -> str:
        """The value of `steps` steps ago, 1 <= steps <= depth; zeros before the first step."""
        return self._values[steps - 1]

    def push(self, value: str) -> None:
        """Store this step's value, drop the oldest."""
        for name, newer in zip(self._names, [value, *self._values], strict=False):
            self._body.keep(name, newer)
