"""A GPU that runs the ONNX form: launches, a roofline, and idle power.

    time of a batch = session_s + launches x launch_s + sum over nodes of max(FLOP / peak, bytes / bandwidth)
    E of a batch    = (P_busy - P_idle) x (session + launch time) + (P_peak - P_idle) x roofline time
                    + P_idle x time

Launches are the nodes of the ONNX graph: those of the loop body in every step, each operator of a
neuron function on its own, the others once. A batch runs at once, so a sample's share falls with it.
The roofline is dense float32: a GPU computes zeros too. Every step reads the weights, the values
that arrive and the states, and writes values and states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nir
import numpy as np

from cost_models.activity import STATES
from cost_models.device import Device
from cost_models.energy.cmos45 import NEURON_OPERATIONS
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SYNAPSE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Launches:
    """Kernel launches: `once` a run and `step` in each step."""

    once: int
    step: int


@dataclass(frozen=True)
class Work:
    """One node in one step: FLOP and bytes of a sample, and bytes that a batch shares."""

    flop: float
    sample_bytes: float
    shared_bytes: float


def launches(model: ModelProto) -> Launches:
    """Launches of an ONNX model with one `Scan` over time."""
    functions = {function.name: len(function.node) for function in model.functions}
    once = step = 0
    for node in model.graph.node:
        bodies = [attribute.g for attribute in node.attribute if attribute.name == "body"]
        once += 0 if bodies else 1
        step += sum(_nodes(body, functions) for body in bodies)
    return Launches(once, step)


def _nodes(graph: GraphProto, functions: dict[str, int]) -> int:
    return sum(functions.get(node.op_type, 1) if node.domain else 1 for node in graph.node)


def work(graph: SpikingGraph) -> tuple[Work, ...]:
    """FLOP and traffic of every node of a graph in one step."""
    return tuple(
        _work(graph, name, node)
        for name, node in graph.nodes.items()
        if not isinstance(node, nir.Input | nir.Output)
    )


def _work(graph: SpikingGraph, name: str, node: nir.NIRNode) -> Work:
    size, arriving = int(np.prod(graph.shapes[name])), int(np.prod(graph.input_shape(name)))
    words = size + arriving * len(graph.predecessors[name])
    if isinstance(node, SYNAPSE):
        taps = int(np.prod(node.weight.shape[1:]))
        weights = int(np.size(node.weight)) + int(np.size(getattr(node, "bias", ())))
        return Work(2.0 * size * taps, _FLOAT_BYTES * float(words), _FLOAT_BYTES * float(weights))
    if type(node) in NEURON_OPERATIONS:
        operations = sum(NEURON_OPERATIONS[type(node)]) + 3  # compare, cast and reset
        words += 2 * size * STATES.get(type(node), 1)
        return Work(float(size * operations), _FLOAT_BYTES * float(words), 0.0)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return Work(float(size * int(np.prod(node.kernel_size))), _FLOAT_BYTES * float(words), 0.0)
    return Work(float(size), _FLOAT_BYTES * float(words), 0.0)


def plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    """Prices one batch; `options.batch` samples run at once."""
    # onnx takes long to import, and only these devices need it.
    from targets.onnx.float_form import float_model

    counted, nodes, batch = launches(float_model(graph)), work(graph), options.batch
    roofline_s = sum(
        max(
            batch * node.flop / device.positive("flop_rate"),
            (batch * node.sample_bytes + node.shared_bytes) / device.positive("byte_rate"),
        )
        for node in nodes
    )
    idle, busy, peak = device["power_idle"], device["power_busy"], device["power_peak"]
    session_s, launch_s = device["latency_session"], device["latency_launch"]

    def price(usage: Usage) -> Price:
        count = counted.once + usage.steps * counted.step
        waiting, computing = session_s + count * launch_s, usage.steps * roofline_s
        share = usage.samples / batch
        terms = {
            "launch": (busy - idle) * count * launch_s * share,
            "session": (busy - idle) * session_s * share,
            "roofline": (peak - idle) * computing * share,
            "idle": idle * (waiting + computing) * share,
        }
        figures = {"batch": float(batch), "launches": float(count), "batch_s": waiting + computing}
        return Price(terms, (waiting + computing) * usage.samples, usage.steps, figures)

    return Plan(price)


MODEL = Model(plan, {"launch": "fixed", "session": "host", "roofline": "event", "idle": "static"})
