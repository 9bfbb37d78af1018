"""The gpu form: K steps unrolled, static shapes, states as inputs and outputs, no control flow.

What lies on no cycle of the step's values and states runs once for all steps, with time folded into
the batch; everything else (membranes, loops) runs step by step. CUDA graphs and TensorRT take
nothing else. With one step and an open batch it is also what a live stream runs on.

Model inputs: the network's [K, B, *dims], and `state/before` [B, *dims] of each state, zeros at first.
Outputs: each emitted value [K, B, *dims], each count int64 [*dims], `state/last` of each state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from targets.onnx.body import FLOAT, OPSET, Body, Counted, packed, totals
from targets.onnx.stages import Flow


def chunk_model(
    body: Body, steps: int, batch: int | None, metadata: Mapping[str, str], opset: int = OPSET
) -> ModelProto:
    """`steps` steps of `body` for `batch` samples (any number where it is None)."""
    return _Chunk(body, steps, batch).model(metadata, opset)


@dataclass
class _Series:
    """A value of every step: `folded` [K * B, *dims], `steps` [B, *dims] each, or both.

    What holds no sample axis (a clock) is not `batched` and never folded.
    """

    folded: str | None = None
    steps: list[str] | None = None
    batched: bool = True


class _Chunk:
    def __init__(self, body: Body, steps: int, batch: int | None) -> None:
        self.body, self.count = body, steps
        self.batch: int | str = "B" if batch is None else batch
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = list(body.constants)
        self.flow = Flow(body)
        self.values: dict[str, _Series] = {}
        self.whole: dict[tuple[str, tuple[int, ...]], str] = {}
        self.state_of = {f"{name}/before": name for name in body.states}

    def model(self, metadata: Mapping[str, str], opset: int) -> ModelProto:
        for name, dims in self.body.inputs:
            folded = self._reshaped(name, f"{name}/now", (-1, *dims))
            self.values[f"{name}/now"] = _Series(folded=folded)
        # First what makes constants: components are ordered by what changes alone.
        self.nodes += [node for node in self.flow.nodes.values() if not self._read(node)]
        for component in self.flow.components:
            members = [self.flow.nodes[name] for name in component.members]
            if not self._read(members[0]):
                continue
            if members[0].op_type == "Identity":
                # A delay line hands its values on.
                self.values[members[0].output[0]] = _Series(steps=self._steps(members[0].input[0]))
            elif component.cyclic or any(not self._series(v).batched for n in members for v in self._read(n)):
                self._unroll(members)
            else:
                self._fold(members[0])
        inputs = [
            self._typed(name, (self.count, self.batch, *dims), FLOAT) for name, dims in self.body.inputs
        ]
        outputs = self._emitted() + self._counted()
        for name, state in self.body.states.items():
            shape = () if state.dims is None else (self.batch, *state.dims)
            inputs.append(self._typed(f"{name}/before", shape, state.dtype))
            self._add("Identity", [self._steps(self.body.following[name])[-1]], f"{name}/last")
            outputs.append(self._typed(f"{name}/last", shape, state.dtype))
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        return packed(graph, self.body, metadata, opset)

    def _read(self, node: NodeProto) -> list[str]:
        """The inputs of a node that change from step to step."""
        return self.flow.reads[node.output[0]]

    def _fold(self, node: NodeProto) -> None:
        renamed = {value: self._folded(value) for value in self._read(node)}
        copy = self._copy(node, renamed, "")
        for out in copy.output:
            self.values[out] = _Series(folded=out)

    def _unroll(self, members: list[NodeProto]) -> None:
        for t in range(self.count):
            for node in members:
                renamed = {value: self._at(value, t) for value in self._read(node)}
                batched = [self._series(value).batched for value in self._read(node)]
                copy = self._copy(node, renamed, f"/step/{t}")
                for name, out in zip(node.output, copy.output, strict=True):
                    series = self.values.setdefault(name, _Series(steps=[], batched=any(batched)))
                    assert series.steps is not None
                    series.steps.append(out)

    def _copy(self, node: NodeProto, renamed: Mapping[str, str], suffix: str) -> NodeProto:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{node.name}{suffix}"
        del copy.input[:], copy.output[:]
        copy.input.extend(renamed.get(value, value) for value in node.input)
        copy.output.extend(f"{value}{suffix}" for value in node.output)
        self.nodes.append(copy)
        return copy

    def _series(self, value: str) -> _Series:
        """The series of a value; a state's is what it became, one step late."""
        if value not in self.values:
            state = self.state_of.get(value)
            if state is None:
                return _Series()
            return _Series(batched=self.body.states[state].dims is not None)
        return self.values[value]

    def _at(self, value: str, t: int) -> str:
        state = self.state_of.get(value)
        if state is None:
            return self._steps(value)[t]
        # Inside a cycle only the steps before this one exist.
        return value if t == 0 else self._steps(self.body.following[state])[t - 1]

    def _steps(self, value: str) -> list[str]:
        if value in self.state_of:
            return [self._at(value, t) for t in range(self.count)]
        series = self.values[value]
        if series.steps is None:
            assert series.folded is not None
            series.steps = [series.folded] if self.count == 1 else self._split(value, series.folded)
        return series.steps

    def _split(self, value: str, folded: str) -> list[str]:
        steps = [f"{value}/step/{t}" for t in range(self.count)]
        node = helper.make_node("Split", [folded], steps, f"{value}/steps", axis=0, num_outputs=self.count)
        self.nodes.append(node)
        return steps

    def _folded(self, value: str) -> str:
        if value in self.state_of:
            self.values.setdefault(value, _Series(steps=self._steps(value)))
        series = self.values[value]
        if series.folded is None:
            assert series.steps is not None
            series.folded = series.steps[0]
            if self.count > 1:
                series.folded = self._add("Concat", series.steps, f"{value}/folded", axis=0)
        return series.folded

    def _sequence(self, value: str, dims: tuple[int, ...]) -> str:
        """`value` as [K, B, *dims]."""
        if (value, dims) not in self.whole:
            folded = self._folded(value)
            self.whole[value, dims] = self._reshaped(folded, f"{value}/sequence", (self.count, -1, *dims))
        return self.whole[value, dims]

    def _emitted(self) -> list[Any]:
        outputs = []
        for out in self.body.emitted:
            self._add("Identity", [self._sequence(out.value, out.dims)], out.name)
            outputs.append(self._typed(out.name, (self.count, self.batch, *out.dims), out.dtype))
        return outputs

    def _counted(self) -> list[Any]:
        every = [Counted(o.name, self._sequence(o.value, o.dims), o.dims) for o in self.body.counted]
        nodes, outputs = totals(every, 2)
        more, events = totals(self.body.counted_inputs, 2, whole=True)
        self.nodes += nodes + more
        return outputs + events

    def _reshaped(self, value: str, name: str, shape: tuple[int, ...]) -> str:
        self.constants.append(numpy_helper.from_array(np.array(shape, np.int64), f"{name}/shape"))
        return self._add("Reshape", [value, f"{name}/shape"], name)

    def _add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    @staticmethod
    def _typed(name: str, shape: tuple[int | str, ...], dtype: int) -> Any:
        return helper.make_tensor_value_info(name, dtype, list(shape))
