"""`msenas show`"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit, text

if TYPE_CHECKING:
    from targets.graph.graph import SpikingGraph

# Words of metadata that a line shows.
_SHORT = 60


def show(
    model: Model,
    profile: Profile = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw the network into this file.", show_default=False)
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Print nodes, parameters, profile and assumptions of a network, and draw it."""
    graph = read_model(model, profile)
    if svg is not None:
        from targets.files import replacing
        from targets.graph.drawing import svg as drawn

        with replacing(svg) as temporary:
            temporary.write_text(drawn(graph), encoding="utf-8")
    nodes = _nodes(graph)
    total = sum(node["parameters"] for node in nodes)
    settings = asdict(graph.profile)
    notes = {key: _short(value) for key, value in graph.metadata.items()}
    data = {
        "nodes": nodes,
        "parameters": total,
        "profile": settings,
        "assumptions": list(graph.assumptions),
        "metadata": notes,
    }
    rows = [{**node, "shape": _times(node["shape"]), "values": _line(node["values"])} for node in nodes]
    sums = [{"nodes": len(nodes), "edges": len(graph.edges), "parameters": total, **settings}]
    emit(form, data, rows, sums, [{"metadata": key, "value": value} for key, value in notes.items()])


def _nodes(graph: SpikingGraph) -> list[dict[str, Any]]:
    from targets.graph.summary import parameter_count, values

    return [
        {
            "node": name,
            "kind": type(graph.nodes[name]).__name__,
            "shape": list(graph.shapes[name]),
            "from": list(graph.predecessors[name]),
            "cyclic": name in graph.cyclic,
            "parameters": parameter_count(graph.nodes[name]),
            "values": values(graph.nodes[name]),
        }
        for group in graph.components
        for name in group
    ]


def _line(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{field} {_value(value)}" for field, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{text(value['min'])}..{text(value['max'])}"
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return " before, ".join(_times(item) for item in value) + " after"
    return _times(value) if isinstance(value, list) else text(value)


def _times(sizes: list[int]) -> str:
    return " x ".join(map(str, sizes))


def _short(value: Any) -> str:
    """A note in a file, whatever it is, on one line."""
    if hasattr(value, "shape"):
        return f"array {_times(list(value.shape))}"
    line = str(value)
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}..."
