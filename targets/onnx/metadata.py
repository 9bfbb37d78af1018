"""What an ONNX file of ours says about itself in `metadata_props`."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version

from targets.graph.graph import SpikingGraph


def metadata(graph: SpikingGraph, arithmetic: str) -> dict[str, str]:
    """Arithmetic, version and execution profile; keys of the profile begin with `profile.`."""
    profile = {f"profile.{key}": str(value) for key, value in asdict(graph.profile).items()}
    return {"arithmetic": arithmetic, "msenas_hw": version("msenas-hw"), **profile}
