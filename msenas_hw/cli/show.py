"""`msenas show`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit


def show(
    model: Model,
    profile: Profile = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw the network into this file.", show_default=False)
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Print nodes, profile and assumptions of a network, and draw it."""
    graph = read_model(model, profile)
    if svg is not None:
        from targets.files import replacing
        from targets.graph.drawing import svg as drawn

        with replacing(svg) as temporary:
            temporary.write_text(drawn(graph), encoding="utf-8")
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
