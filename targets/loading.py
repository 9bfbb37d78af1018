"""A graph from a file: NIR, or an ONNX model that this package wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from targets.graph import reader
from targets.graph.graph import SpikingGraph
from targets.graph.profile import Profile


def load(path: str | Path, profile: Profile | Mapping[str, Any] | None = None) -> SpikingGraph:
    """The graph of a NIR file, or of an ONNX file of `compile` (named `*.onnx`), as it was compiled.

    Args:
        profile: what the file leaves open (`targets.graph.reader.load`); over an ONNX file's own profile.

    Raises:
        GraphError: the file is missing, damaged, another program's ONNX, or no valid network.
        ConfigError: an unknown key or value in `profile`.
    """
    if Path(path).suffix != ".onnx":
        return reader.load(path, profile)
    # onnx takes long to import.
    from targets.onnx.importer import load_graph

    graph = load_graph(path)
    if profile is None:
        return graph
    given = profile if isinstance(profile, Profile) else graph.profile.with_values(profile)
    return graph.replace(profile=given)
