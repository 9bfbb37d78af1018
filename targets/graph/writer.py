"""Write a SpikingGraph as a `.nir` file, whole or not at all."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.errors import GraphError
from targets.files import replacing
from targets.graph.fields import node_fields
from targets.graph.graph import SpikingGraph
from targets.graph.implicit import without_delays
from targets.graph.reader import METADATA_KEY
from targets.graph.shapes import flat_axes, per_axis


def save(graph: SpikingGraph, path: str | os.PathLike[str], implicit_delay: str | None = None) -> None:
    """Write `graph`; profile, node order and assumptions go into the file's metadata.

    Args:
        implicit_delay: leave out the Delay nodes of cycles for this framework, which refuses or loses
            them and puts a step on a cycle itself (`targets.graph.implicit.RULES`).

    Raises:
        ConfigError: an unknown framework.
        GraphError: a Delay that is no whole number of steps.
        OSError: the file cannot be written; nothing half-written is left.
        UnsupportedNodeError: without its Delay nodes the network would give other spikes there.
    """
    _check_delays(graph)
    if implicit_delay is not None:
        graph = without_delays(graph, implicit_delay)
    nodes = {name: _complete(graph, name) for name in graph.nodes}
    stored = {
        "profile": asdict(graph.profile),
        "order": list(graph.nodes),
        "assumptions": list(graph.assumptions),
    }
    whole = nir.NIRGraph(
        nodes,
        list(graph.edges),
        metadata={**graph.metadata, METADATA_KEY: json.dumps(stored)},
        type_check=False,
    )
    with replacing(Path(path)) as temporary:
        nir.write(temporary, whole, compression=None)


def _complete(graph: SpikingGraph, name: str) -> nir.NIRNode:
    """A copy of the node with what readers need and the graph knows."""
    node = copy.copy(graph.nodes[name])
    if isinstance(node, nir.Conv1d):
        node.input_shape = graph.input_shape(name)[1]
        for field in ("stride", "dilation"):
            setattr(node, field, per_axis(getattr(node, field), 1)[0])
        node.padding = node.padding if isinstance(node.padding, str) else per_axis(node.padding, 1)[0]
    if isinstance(node, nir.Conv2d):
        node.input_shape = tuple(graph.input_shape(name)[1:])
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        # nir reads a single number of a pool, and then fails on it.
        for field in ("kernel_size", "stride", "padding"):
            setattr(node, field, np.array(per_axis(getattr(node, field), 2)))
    if isinstance(node, nir.Flatten):
        shape = graph.input_shape(name)
        node.input_type = {"input": np.array(shape)}
        # Counted from the end, axes are the same for readers that add a batch axis and do not say so.
        node.start_dim, node.end_dim = (axis - len(shape) for axis in flat_axes(node, len(shape)))
    if isinstance(node, nir.Output):
        node.output_type = {"output": np.array(graph.shapes[name])}
    for field, value in node_fields(node).items():
        if isinstance(value, np.ndarray) and field not in ("kernel_size", "stride", "padding", "dilation"):
            setattr(node, field, _float(value))
    return node


def _float(value: NDArray[Any]) -> NDArray[Any]:
    """Floats in this machine's byte order, which torch can hold as weights; no value changes."""
    if value.dtype.kind == "f":
        return value.astype(value.dtype.newbyteorder("="), copy=False)
    narrow = value.astype(np.float32)
    return narrow if np.array_equal(narrow, value) else value.astype(np.float64)


def _check_delays(graph: SpikingGraph) -> None:
    dt = graph.profile.dt
    for name, node in graph.nodes.items():
        if dt is None or type(node) is not nir.Delay:
            continue
        steps = np.asarray(node.delay, dtype=np.float64).reshape(-1) / dt
        odd = np.abs(steps - np.rint(steps)) > 1e-6 * np.maximum(1.0, np.abs(steps))
        if odd.any():
            raise GraphError(
                f"node {name!r} (Delay): {steps[odd][0] * dt:.6g} s is {steps[odd][0]:.6g} steps of dt={dt}, "
                "allowed a whole number of steps"
            )
