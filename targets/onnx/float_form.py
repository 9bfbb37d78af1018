"""A spiking graph in float32 as ONNX.

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
from targets.graph.kinds import POPULATION, SPIKING, SYNAPSE
from targets.graph.order import topological
from targets.onnx.body import FLOAT, INLINE_BYTES, Body, DelayLine
from targets.onnx.gains import movable_gains, moved
from targets.onnx.metadata import metadata
from targets.onnx.neurons import populate
from targets.onnx.scan import scan_model
from targets.onnx.stateless import apply
from targets.onnx.synapses import EXACT, Products, synapse


def float_model(graph: SpikingGraph, record: Collection[str] = (), states: bool = False) -> ModelProto:
    """The portable form of `graph`; raises what `float_body` does."""
    body = float_body(graph, record, states)
    return scan_model(body, metadata(graph, "float32", body))


def float_body(
    graph: SpikingGraph,
    record: Collection[str] = (),
    states: bool = False,
    counts: bool = True,
    products: Products = EXACT,
    inline_bytes: int = INLINE_BYTES,
) -> Body:
    """One step of `graph` in float32, under its profile.

    Raises:
        GraphError: no dt, a cycle without a Delay, or weights that `products` cannot hold.
        UnsupportedNodeError: a threshold that is not positive where the profile divides by it.
    """
    body = Body(inline_bytes)
    waiting = [name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)]
    delays = {name: steps for name in waiting if (steps := graph.delay_steps(name))}
    lines = {n: DelayLine(body, n, k, graph.shapes[n]) for n, k in delays.items()}
    values = {n: lines[n].read(k) for n, k in delays.items()}
    gains = movable_gains(graph) if products is EXACT else {}
    synapses = moved(graph, gains)
    for name in _step_order(graph, delays):
        if name in graph.inputs:
            values[name] = body.input(name, graph.shapes[name])
            continue
        total = added(body, name, [values[source] for source in graph.predecessors[name]])
        if name in lines:
            lines[name].push(total)
        elif isinstance(graph.nodes[name], POPULATION):
            values[name] = populate(body, graph, name, total, states, name in gains)
        elif isinstance(graph.nodes[name], SYNAPSE):
            values[name] = synapse(body, name, synapses.get(name, graph.nodes[name]), total, products)
        else:
            values[name] = total if name in waiting else apply(body, graph, name, total)
    for name in graph.outputs:
        body.emit(name, values[name], graph.shapes[name], FLOAT)
    for name, node in graph.nodes.items() if counts else ():
        if name in graph.inputs:
            body.count_input(f"{name}/count", name, graph.shapes[name])
        elif isinstance(node, SPIKING):
            body.count(f"{name}/count", values[name], graph.shapes[name])
    for name in record:
        value = values[name]
        if name in synapses:
            (follower,) = (target for source, target in graph.edges if source == name)
            inverse = body.constant(f"{name}/inverse", np.array(1 / gains[follower], np.float32))
            value = body.op("Mul", [value, inverse], f"{name}/unscaled")
        body.emit(f"{name}/spikes", value, graph.shapes[name], FLOAT)
    body.name_plainly()
    return body


def added(body: Body, name: str, values: Sequence[str]) -> str:
    """The sum of `values` from left to right: the order of the edges is normative."""
    total = values[0]
    for position, value in enumerate(values[1:], start=1):
        total = body.op("Add", [total, value], f"{name}/input/{position}")
    return total


def _step_order(graph: SpikingGraph, delays: Collection[str]) -> list[str]:
    """Nodes in the order of one step: what leaves a Delay was stored before, so its edges don't bind."""
    order = topological(graph.nodes, [(a, b) for a, b in graph.edges if a not in delays])
    if order is None:
        raise GraphError("a cycle holds no Delay; add a nir.Delay of one step or more to an edge of it")
    return order
