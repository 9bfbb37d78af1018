"""The portable form: one ONNX `Scan` over time, weights inside its body, dynamic T and B.

Weights inside the body matter: onnxruntime pre-packs only what the body owns. Every state starts
at zero, in a shape made from the batch size of the input, so that a model holds no state between
runs and its size does not depend on T. In memory the runner has dense layers outside the Scan, folded
over time (`stages`); what they read and give is then kept for all steps. Its convolutions and states lie
as the core's kernels want them (`blocked`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from targets.onnx.body import COUNTS, FLOAT, INT64, OPSET, UINT8, Body, StateType, finished, packed, totals
from targets.onnx.operators import events_node, total_node
from targets.onnx.stages import Stage, stages


def scan_model(
    body: Body,
    metadata: Mapping[str, str],
    opset: int = OPSET,
    folded: bool = False,
    single: bool = False,
) -> ModelProto:
    """One step `body` closed into a Scan, or into several with dense layers `folded` between them.

    A model of a `single` sample takes no other number of them; it counts in half the time.
    """
    found = stages(body) if folded else [Stage(body.nodes)]
    return _Scans(body, found, single).model(metadata, opset)


class _Scans:
    """The main graph while it grows.

    Values have up to three names: inside a Scan their own, `series` [T, B, *dims] and `flat` [T * B, *dims]
    outside.
    """

    def __init__(self, body: Body, parts: Sequence[Stage], single: bool) -> None:
        self.body, self.parts, self.single = body, parts, single
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.once = {o for part in parts if part.folded for node in part.nodes for o in node.output}
        # Spikes of all samples, [1, neurons], so that a step reads and writes them once.
        self.sums = {
            f"{o.name}/sum": prod(o.dims) for o in body.counted if not (o.own or o.value in self.once)
        }
        self.series = {f"{name}/now": name for name, _ in body.inputs}
        self.flat: dict[str, str] = {}

    def model(self, metadata: Mapping[str, str], opset: int) -> ModelProto:
        body = self.body
        nodes, self.constants, self.zeros = _zeros(body.inputs[0][0], body.states)
        self.nodes += nodes
        self._start_sums()
        for number, part in enumerate(self.parts):
            if part.folded:
                self._fold(part)
            else:
                self._scan(part, number)
        outputs = self._emitted() + self._counted()
        inputs = [helper.make_tensor_value_info(n, FLOAT, ["T", "B", *dims]) for n, dims in body.inputs]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        return packed(graph, body, metadata, opset)

    def _scan(self, part: Stage, number: int) -> None:
        """A Scan over the nodes of `part`, and the names of what leaves it."""
        inside = {out for node in part.nodes for out in node.output}
        kept = {state: value for state, value in self.body.following.items() if value in inside}
        nodes = list(part.nodes)
        for out in self.body.counted:
            if out.value in inside and not out.own:
                flat, total = f"{out.name}/sum/flat", f"{out.name}/sum/after"
                kept[f"{out.name}/sum"] = total
                added = [flat, f"{out.name}/sum/before"]
                kind, inputs = ("Add", added) if self.single else ("Gemm", ["/ones", *added])
                nodes += [
                    helper.make_node("Flatten", [out.value], [flat], name=flat, axis=1),
                    helper.make_node(kind, inputs, [total], name=total),
                ]
        found = [value for value in self.series | self.flat if _read(part.nodes, value)]
        # A loop that nothing drives still needs to know the number of steps.
        entering = found or [f"{self.body.inputs[0][0]}/now"]
        leaving = {out.value: out.name for out in self.body.emitted if out.value in inside}
        counted = [out for out in self.body.counted if out.own and out.value in inside]
        leaving |= {out.bits: f"{out.bits}/series" for out in counted}
        for value in self._crossing(inside - leaving.keys(), number):
            copied = f"{value}/crossing" if value in kept.values() else value
            if copied != value:
                nodes.append(helper.make_node("Identity", [value], [copied], name=copied))
            leaving[copied] = f"{value}/series"
            self.series[value] = f"{value}/series"
        self.series |= {value: name for value, name in leaving.items() if value in inside}
        scan = helper.make_node(
            "Scan",
            [*(self.zeros[state] for state in kept), *(self._series(value) for value in entering)],
            [*(f"{state}/final" for state in kept), *leaving.values()],
            name=f"/time/{number}" if number else "/time",
            body=self._step(nodes, kept, entering, list(leaving)),
            num_scan_inputs=len(entering),
        )
        self.nodes.append(scan)

    def _crossing(self, inside: set[str], number: int) -> list[str]:
        """The values of part `number` that a later one reads."""
        later = {value for part in self.parts[number + 1 :] for node in part.nodes for value in node.input}
        return sorted(inside & later)

    def _step(
        self, nodes: list[NodeProto], kept: Mapping[str, str], entering: list[str], leaving: list[str]
    ) -> GraphProto:
        """A Scan's body: states and this step's inputs to states and this step's outputs."""
        inputs = {f"{name}/now": ["B", *dims] for name, dims in self.body.inputs}
        types = {value: (kind, ["B", *dims]) for value, (kind, dims) in self.body.types.items()}
        outputs = types | {out.value: (out.dtype, ["B", *out.dims]) for out in self.body.emitted}

        def typed(name: str, state: str) -> ValueInfoProto:
            if state in self.sums:
                return helper.make_tensor_value_info(name, FLOAT, [1, self.sums[state]])
            found = self.body.states[state]
            dims = [] if found.dims is None else ["B", *found.dims]
            return helper.make_tensor_value_info(name, found.dtype, dims)

        def at(value: str, *found: Any) -> ValueInfoProto:
            # What else crosses takes its type from where it comes from.
            return helper.make_tensor_value_info(value, *found) if found else ValueInfoProto(name=value)

        read = {value for node in nodes for value in node.input}
        made = {value for node in nodes for value in node.output}
        return helper.make_graph(
            nodes,
            "step",
            [typed(f"{name}/before", name) for name in kept]
            + [at(value, *([FLOAT, inputs[value]] if value in inputs else [])) for value in entering],
            [typed(value, name) for name, value in kept.items()]
            + [at(value, *outputs.get(value, ())) for value in leaving],
            [constant for constant in self.body.constants if constant.name in read],
            value_info=[at(value, *types[value]) for value in types.keys() & made - {*leaving}],
        )

    def _fold(self, part: Stage) -> None:
        """The nodes of `part` once for all steps."""
        changing = self.series.keys() | self.flat.keys() | {o for node in part.nodes for o in node.output}
        for node in part.nodes:
            copy = NodeProto()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(self._flat(value) if value in changing else value for value in node.input)
            self.nodes.append(copy)
            self.flat |= {out: out for out in node.output}
        self.constants += [c for c in self.body.constants if _read(part.nodes, c.name)]

    def _flat(self, value: str) -> str:
        """`value` as [T * B, *dims]."""
        if value not in self.flat:
            ahead = f"{value}/ahead"
            self.constants.append(numpy_helper.from_array(np.array([-1], np.int64), ahead))
            self.flat[value] = self._reshaped(self.series[value], f"{value}/flat", ahead, 2)
        return self.flat[value]

    def _series(self, value: str) -> str:
        """`value` as [T, B, *dims]."""
        if value not in self.series:
            ahead, first = f"{value}/ahead", self.body.inputs[0][0]
            self.nodes.append(helper.make_node("Shape", [first], [ahead], name=ahead, start=0, end=2))
            self.series[value] = self._reshaped(self.flat[value], f"{value}/series", ahead, 1)
        return self.series[value]

    def _reshaped(self, value: str, name: str, ahead: str, skipped: int) -> str:
        """`value` with the axes `ahead` in place of its first `skipped` ones."""
        rest, shape = f"{name}/rest", f"{name}/shape"
        self.nodes += [
            helper.make_node("Shape", [value], [rest], name=rest, start=skipped),
            helper.make_node("Concat", [ahead, rest], [shape], name=shape, axis=0),
            helper.make_node("Reshape", [value, shape], [name], name=name),
        ]
        return name

    def _emitted(self) -> list[ValueInfoProto]:
        """The outputs [T, B, *dims]."""
        outputs = []
        for out in self.body.emitted:
            series = self._series(out.value)
            if series != out.name:
                self.nodes.append(helper.make_node("Identity", [series], [out.name], name=out.name))
            outputs.append(helper.make_tensor_value_info(out.name, out.dtype, ["T", "B", *out.dims]))
        return outputs

    def _start_sums(self) -> None:
        """Zeros [1, neurons] for each size, and the ones [1, B] that add up several samples of a step."""
        if self.sums and not self.single:
            self.constants.append(numpy_helper.from_array(np.array([1], np.int64), "/one"))
            one = helper.make_tensor("value", FLOAT, [1], [1])
            self.nodes += [
                helper.make_node("Concat", ["/one", "/batch"], ["/ones/shape"], name="/ones/shape", axis=0),
                helper.make_node("ConstantOfShape", ["/ones/shape"], ["/ones"], name="/ones", value=one),
            ]
        zero = helper.make_tensor("value", FLOAT, [1], [0])
        for name, neurons in self.sums.items():
            made = self.zeros[name] = f"/zero/{neurons}"
            if made not in {node.name for node in self.nodes}:
                shape = f"{made}/shape"
                self.constants.append(numpy_helper.from_array(np.array([1, neurons], np.int64), shape))
                self.nodes.append(helper.make_node("ConstantOfShape", [shape], [made], name=made, value=zero))

    def _counted(self) -> list[ValueInfoProto]:
        """The counts, from the sums over steps or from what was folded."""
        outputs: list[ValueInfoProto] = []
        late = [out for out in self.body.counted if out.value in self.once]
        for out in self.body.counted:
            if out in late or out.own:
                continue
            self.nodes += finished(out, f"{out.name}/sum/final", flat=True)
            outputs.append(helper.make_tensor_value_info(out.name, INT64, list(out.dims)))
        fused = [out for out in self.body.counted if out.own]
        if fused:
            node, table = total_node(fused, [f"{out.bits}/series" for out in fused])
            self.nodes.append(node)
            self.constants.append(table)
            outputs.append(helper.make_tensor_value_info(COUNTS, UINT8, ["parts", "neurons"]))
        own = [out for out in self.body.counted_inputs if out.own]
        self.nodes += [events_node(out) for out in own]
        outputs += [helper.make_tensor_value_info(out.name, INT64, list(out.dims)) for out in own]
        plain = [out for out in self.body.counted_inputs if not out.own]
        for nodes, found in (totals(late, 1), totals(plain, 2, whole=True)):
            self.nodes += nodes
            outputs += found
        return outputs


def _read(nodes: Sequence[NodeProto], value: str) -> bool:
    return value in chain.from_iterable(node.input for node in nodes)


def _zeros(
    first: str, states: Mapping[str, StateType]
) -> tuple[list[NodeProto], list[TensorProto], dict[str, str]]:
    """Initial states, by name, from the batch size of the input `first`; equal ones are made once."""
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
    return nodes, constants, {name: made[state] for name, state in states.items()}
