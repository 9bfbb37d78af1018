"""What an ONNX file of ours says about itself in `metadata_props`."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.onnx.body import INLINE_BYTES, Body
from targets.onnx.description import Held, describe

# The key under which a file holds its whole graph.
DESCRIPTION = "nir.graph"
# The key of the checksums of that text and of every initializer of the network, JSON.
CHECKSUMS = "crc32"
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
    held = body.arrays()
    text = describe(graph, held)
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
        CHECKSUMS: json.dumps(checksums(text, held)),
        **profile,
        **{key: str(value) for key, value in graph.metadata.items() if key.startswith(CARD)},
    }


def checksums(text: str, held: Held) -> dict[str, int]:
    """CRC-32 of a description, under its own key, and of each initializer."""
    found = {DESCRIPTION: zlib.crc32(text.encode())}
    for name, read in held.items():
        # A view of bytes: buffers know no bfloat16.
        found[name] = zlib.crc32(np.ascontiguousarray(read()).reshape(-1).view(np.uint8).data)
    return found
