"""What a file leaves out and the nodes around it fix: sizes of Inputs and of scalar parameters."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.fields import is_scalar, widened
from targets.graph.flatten import Port
from targets.graph.graph import Edge, SpikingGraph
from targets.graph.kinds import kind
from targets.graph.shapes import Filler, Shape, input_shape, output_shape, own_shape


def give_shapes(
    nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge], fill: Filler
) -> tuple[dict[str, nir.NIRNode], list[str]]:
    """Give Inputs without a shape, and nodes with one number for all neurons, the shape they need.

    Returns:
        the nodes, and one sentence for each that was completed.
    """
    nodes = dict(nodes)
    said: list[str] = []
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        if source in after and target in after:
            after[source].append(target)
    for name, node in nodes.items():
        if type(node) is nir.Input and input_shape(node) is None:
            shape = next((s for t in after[name] if (s := _accepted(nodes[t])) is not None), None)
            if shape is None:
                raise GraphError(f"node {name!r} (Input): no shape, and no node after it fixes one")
            nodes[name] = nir.Input({"input": np.array(shape)}, metadata=node.metadata)
            said.append(f"node {name!r} (Input): no shape in the file; taken from the node after it: {shape}")
    if any(is_scalar(node) for node in nodes.values()):
        said.extend(_widen(nodes, after, fill))
    return nodes, said


def _accepted(node: nir.NIRNode) -> Shape | None:
    """The input shape that a node alone fixes."""
    if isinstance(node, nir.Affine | nir.Linear) and np.ndim(node.weight) == 2:
        return (int(node.weight.shape[1]),)
    if isinstance(node, nir.Conv1d | nir.Conv2d) and node.input_shape is not None:
        spatial = np.asarray(node.input_shape).reshape(-1)
        return (node.weight.shape[1] * int(node.groups), *(int(size) for size in spatial))
    return own_shape(node) if not is_scalar(node) else None


def _widen(nodes: dict[str, nir.NIRNode], after: Mapping[str, list[str]], fill: Filler) -> Iterable[str]:
    known = {
        name: shape
        for name, node in nodes.items()
        if not is_scalar(node) and (shape := own_shape(node)) is not None
    }
    pending = deque(known)
    while pending:
        source = pending.popleft()
        for name in after[source]:
            if name in known:
                continue
            node = nodes[name]
            if is_scalar(node):
                nodes[name] = widened(name, node, known[source], fill)
                known[name] = known[source]
                yield (
                    f"node {name!r} ({kind(node)}): one number for all neurons; taken for the "
                    f"{known[source]} that arrive"
                )
            else:
                known[name] = output_shape(name, node, known[source])
            pending.append(name)


def name_shape_faults(graph: SpikingGraph, ports: Sequence[Port]) -> list[str]:
    """A sentence for each port and convolution that declares another shape than it gets."""
    said = []
    for port in ports:
        for source in port.sources[:1]:
            if port.shape is not None and port.shape != graph.shapes[source]:
                said.append(
                    f"node {port.name!r}: a port of a subgraph declares {port.shape}, but gets "
                    f"{graph.shapes[source]} from {source!r}, which was taken"
                )
    for name, node in graph.nodes.items():
        if type(node) not in (nir.Conv1d, nir.Conv2d) or node.input_shape is None:
            continue
        declared, found = tuple(np.asarray(node.input_shape).reshape(-1)), graph.input_shape(name)[1:]
        if declared != found:
            sizes = tuple(int(size) for size in declared)
            said.append(f"node {name!r} ({kind(node)}): declares {sizes}, but gets {found}, which was taken")
    for name in graph.outputs:
        declared = graph.nodes[name].output_type["output"]
        shape = None if declared is None else tuple(int(size) for size in np.asarray(declared).reshape(-1))
        if shape is not None and shape != graph.shapes[name]:
            said.append(f"node {name!r} (Output): declares {shape}, but gets {graph.shapes[name]}")
    return said
