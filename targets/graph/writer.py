"""Write a SpikingGraph as a `.nir` file, whole or not at all."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path

import nir
import numpy as np

from targets.files import replacing
from targets.graph.graph import SpikingGraph
from targets.graph.reader import METADATA_KEY
from targets.graph.shapes import per_axis


def save(graph: SpikingGraph, path: str | os.PathLike[str]) -> None:
    """Write `graph`; profile, node order and assumptions go into the file's metadata.

    Raises:
        OSError: the file cannot be written; nothing half-written is left.
    """
    nodes = {name: _complete(graph, name) for name in graph.nodes}
    stored = {
        "profile": asdict(graph.profile),
        "order": list(graph.nodes),
        "assumptions": list(graph.assumptions),
    }
    whole = nir.NIRGraph(
        nodes, list(graph.edges), metadata={METADATA_KEY: json.dumps(stored)}, type_check=False
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
        node.input_type = {"input": np.array(graph.input_shape(name))}
    if isinstance(node, nir.Output):
        node.output_type = {"output": np.array(graph.shapes[name])}
    return node
