"""A spiking graph in float32 as one ONNX model.

Inputs: the Input node, `[T, B, *shape]` float32. Outputs: each Output node `[T, B, *shape]`;
`name/count` int64 [*shape], events of the Input (its non-zero values) and of every spiking
population; `name/spikes` of each recorded node; `name/u` and `name/v` after every step on request.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import nir
import numpy as np
from onnx import ModelProto

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION, SPIKING
from targets.graph.order import topological
from targets.onnx.metadata import metadata
from targets.onnx.neurons import populate
from targets.onnx.scan import FLOAT, DelayLine, ScanBuilder
from targets.onnx.stateless import apply


def float_model(graph: SpikingGraph, record: Collection[str] = (), states: bool = False) -> ModelProto:
    """The portable float32 form of `graph`.

    Raises:
        GraphError: no dt, or a cycle without a Delay.
        UnsupportedNodeError: not the house profile.
    """
    body = ScanBuilder()
    waiting = [name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)]
    delays = {name: steps for name in waiting if (steps := graph.delay_steps(name))}
    lines = {n: DelayLine(body, n, k, graph.shapes[n]) for n, k in delays.items()}
    values = {n: lines[n].read(k) for n, k in delays.items()}
    for name in _step_order(graph, delays):
        if name in graph.inputs:
            values[name] = body.input(name, graph.shapes[name])
            continue
        total = added(body, name, [values[source] for source in graph.predecessors[name]])
        if name in lines:
            lines[name].push(total)
        elif isinstance(graph.nodes[name], POPULATION):
            values[name] = populate(body, graph, name, total, states)
        else:
            values[name] = total if name in waiting else apply(body, graph, name, total)
    for name in graph.outputs:
        body.emit(name, values[name], graph.shapes[name], FLOAT)
    for name, node in graph.nodes.items():
        if isinstance(node, (*SPIKING, nir.Input)):
            events = nonzero(body, name, values[name]) if name in graph.inputs else values[name]
            body.count(f"{name}/count", events, graph.shapes[name])
    for name in record:
        body.emit(f"{name}/spikes", values[name], graph.shapes[name], FLOAT)
    return body.model("network", metadata(graph, "float32"))


def added(body: ScanBuilder, name: str, values: Sequence[str]) -> str:
    """The sum of `values` from left to right: the order of the edges is normative."""
    total = values[0]
    for position, value in enumerate(values[1:], start=1):
        total = body.op("Add", [total, value], f"{name}/input/{position}")
    return total


def nonzero(body: ScanBuilder, name: str, value: str) -> str:
    """1.0 where `value` is not zero, else 0.0: the events of an Input."""
    zero = body.constant(f"{name}/silence", np.array(0, np.float32))
    silent = body.op("Equal", [value, zero], f"{name}/silent")
    return body.op("Cast", [body.op("Not", [silent], f"{name}/active")], f"{name}/events", to=FLOAT)


def _step_order(graph: SpikingGraph, delays: Collection[str]) -> list[str]:
    """Nodes in the order of one step: what leaves a Delay was stored before, so its edges don't bind."""
    order = topological(graph.nodes, [(a, b) for a, b in graph.edges if a not in delays])
    if order is None:
        raise GraphError("a cycle holds no Delay; add a nir.Delay of one step or more to an edge of it")
    return order
