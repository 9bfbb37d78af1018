"""An ONNX file that this package wrote, turned back into its SpikingGraph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper

from targets.errors import GraphError
from targets.files import destination
from targets.graph.graph import SpikingGraph
from targets.onnx.body import DOMAIN
from targets.onnx.description import MALFORMED, Held, graph_of
from targets.onnx.metadata import CHECKSUMS, DESCRIPTION, checksums
from targets.onnx.sidefile import initializers


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
        # Weights lie beside the model that a link points to.
        return imported(model, destination(Path(path)).parent)
    except GraphError as error:
        raise GraphError(f"{path}: {error}") from error


def imported(model: ModelProto, folder: Path = Path()) -> SpikingGraph:
    """The graph behind an ONNX model of ours, whose weights may lie in `folder`; raises as `load_graph`."""
    properties = {item.key: item.value for item in model.metadata_props}
    if DESCRIPTION not in properties:
        producer = model.producer_name or "an unknown program"
        raise GraphError(
            f"was written by {producer} and holds no {DESCRIPTION!r}; only files of `msenas compile` turn "
            "back into a graph: import the network from NIR"
        )
    missing = set(_called(model.graph)) - {function.name for function in model.functions}
    if missing:
        # They stand at the end, so that a file without them still parses.
        raise GraphError(f"calls {', '.join(sorted(missing))}, which it does not hold: the file was cut")
    held = {t.name: partial(_array, t, str(folder)) for t in initializers(model)}
    _check_sums(properties, held)
    return graph_of(properties[DESCRIPTION], held)


def _check_sums(properties: Mapping[str, str], held: Held) -> None:
    """That nothing changed since the file was written. Initializers may be gone that nobody reads here."""
    if CHECKSUMS not in properties:
        raise GraphError("was written by an earlier version; compile the network again")
    try:
        written = dict(json.loads(properties[CHECKSUMS]))
        kept = {name: read for name, read in held.items() if name in written}
        # Text that is none any more comes as bytes.
        found = checksums(properties[DESCRIPTION], kept)
    except MALFORMED as error:
        raise GraphError(f"{CHECKSUMS}: {type(error).__name__}: {error}") from error
    changed = [name for name, number in found.items() if written.get(name) != number]
    if changed:
        raise GraphError(f"{', '.join(map(repr, changed))} changed since the file was written")


def _called(graph: GraphProto) -> Iterator[str]:
    """The local functions that a graph calls, in its subgraphs too."""
    for node in graph.node:
        if node.domain == DOMAIN:
            yield node.op_type
        for attribute in node.attribute:
            yield from _called(attribute.g)


def _array(tensor: TensorProto, folder: str) -> NDArray[Any]:
    try:
        return numpy_helper.to_array(tensor, folder)
    except (OSError, onnx.checker.ValidationError, *MALFORMED) as error:
        raise GraphError(f"initializer {tensor.name!r}: {error}") from error
