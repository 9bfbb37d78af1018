"""An ONNX file that this package wrote, turned back into its SpikingGraph."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.onnx.description import graph_of
from targets.onnx.metadata import DESCRIPTION


def load_graph(path: str | Path) -> SpikingGraph:
    """The graph of an ONNX file of ours, of any form and arithmetic.

    Raises:
        GraphError: the file is missing, cut, no ONNX file, another program's, or was changed.
    """
    try:
        model = onnx.load_model(path, load_external_data=False)
    except OSError as error:
        raise GraphError(f"{path}: cannot be read, {error.strerror}") from error
    # protobuf's DecodeError, whose module has no types, and onnx's own have no other base class.
    except Exception as error:
        raise GraphError(f"{path}: is no ONNX file or was cut: {error}") from error
    try:
        return imported(model)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error


def imported(model: ModelProto) -> SpikingGraph:
    """The graph behind an ONNX model of ours; raises what `load_graph` does."""
    properties = {item.key: item.value for item in model.metadata_props}
    if DESCRIPTION not in properties:
        producer = model.producer_name or "an unknown program"
        raise GraphError(
            f"was written by {producer} and holds no {DESCRIPTION!r}; only files of `msenas compile` turn "
            "back into a graph: import the network from NIR"
        )
    return graph_of(properties[DESCRIPTION], _initializers(model))


def _initializers(model: ModelProto) -> dict[str, TensorProto]:
    """By name, those of the Scan's body as well; none that points outside the file."""
    bodies = [a.g for node in model.graph.node for a in node.attribute if a.name == "body"]
    found = {tensor.name: tensor for graph in (model.graph, *bodies) for tensor in graph.initializer}
    return {name: t for name, t in found.items() if t.data_location != TensorProto.EXTERNAL}
