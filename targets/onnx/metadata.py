"""What an ONNX file of ours says about itself in `metadata_props`."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version

from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.onnx.body import Body
from targets.onnx.description import describe

# The key under which a file holds its whole graph.
DESCRIPTION = "nir.graph"


def metadata(graph: SpikingGraph, arithmetic: str, body: Body) -> dict[str, str]:
    """Arithmetic, version, node names with their NIR kinds, execution profile (`profile.*`), the graph.

    Args:
        body: what the model holds; weights in it are not stored twice.
    """
    held = {constant.name: constant for constant in body.constants}
    profile = {f"profile.{key}": str(value) for key, value in asdict(graph.profile).items()}
    return {
        "arithmetic": arithmetic,
        "msenas_hw": version("msenas-hw"),
        "nir.kinds": json.dumps({name: kind(node) for name, node in graph.nodes.items()}),
        DESCRIPTION: describe(graph, held),
        **profile,
    }
