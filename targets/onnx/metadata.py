"""What an ONNX file of ours says about itself in `metadata_props`."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from importlib.metadata import version

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.onnx.body import INLINE_BYTES, Body
from targets.onnx.description import describe

# The key under which a file holds its whole graph.
DESCRIPTION = "nir.graph"
# And the key of that text's checksum.
CHECKSUM = f"{DESCRIPTION}.crc32"
# Keys of a graph's metadata that stand by themselves too: its model card.
CARD = "card."


def metadata(graph: SpikingGraph, arithmetic: str, body: Body, precision: str = "float32") -> dict[str, str]:
    """Arithmetic, version, node names with their NIR kinds, execution profile (`profile.*`), the graph
    and what its metadata holds of a model card (`card.*`).

    Args:
        body: what the model holds; weights in it are not stored twice.

    Raises:
        GraphError: the graph's text would outgrow the model.
    """
    profile = {f"profile.{key}": str(value) for key, value in asdict(graph.profile).items()}
    text = describe(graph, body.arrays())
    if len(text) > INLINE_BYTES:
        raise GraphError(
            f"the graph without its initializers takes {len(text)} bytes, allowed {INLINE_BYTES}; "
            "store its parameters as float32"
        )
    return {
        "arithmetic": arithmetic,
        "precision": precision,
        "msenas_hw": version("msenas-hw"),
        "nir.kinds": json.dumps({name: kind(node) for name, node in graph.nodes.items()}),
        DESCRIPTION: text,
        CHECKSUM: checksum(text),
        **profile,
        **{key: str(value) for key, value in graph.metadata.items() if key.startswith(CARD)},
    }


def checksum(text: str) -> str:
    """Of a description, as it stands under CHECKSUM."""
    return str(zlib.crc32(text.encode()))
