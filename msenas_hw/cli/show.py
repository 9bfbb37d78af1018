"""`msenas show`"""

from __future__ import annotations

from dataclasses import asdict

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit


def show(model: Model, profile: Profile = None, form: Output = Format.TABLE) -> None:
    """Print nodes, profile and assumptions of a network."""
    graph = read_model(model, profile)
    nodes = [
        {
            "node": name,
            "kind": type(graph.nodes[name]).__name__,
            "shape": list(graph.shapes[name]),
            "from": list(graph.predecessors[name]),
            "cyclic": name in graph.cyclic,
        }
        for group in graph.components
        for name in group
    ]
    settings = asdict(graph.profile)
    emit(
        form, {"nodes": nodes, "profile": settings, "assumptions": list(graph.assumptions)}, nodes, [settings]
    )
