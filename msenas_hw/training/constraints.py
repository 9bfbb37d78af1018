"""What training must keep: the sign of Dale's synapses, masks, and biases that must stay zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.reference.network import ReferenceNetwork

_PROJECT: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mixed": lambda weight: weight,
    "excitatory": lambda weight: weight.clamp_(min=0.0),
    "inhibitory": lambda weight: weight.clamp_(max=0.0),
}


@torch.no_grad()
def project(network: ReferenceNetwork) -> None:
    """Bring every weight and bias back into what its node's metadata allows, in place."""
    for name, weight in network.weights.items():
        metadata = network.graph.nodes[name].metadata
        _PROJECT[metadata.get("sign", "mixed")](weight)
        if "mask" in metadata:
            weight.mul_(torch.as_tensor(metadata["mask"], dtype=weight.dtype))
        if name in network.biases and not metadata.get("bias", True):
            network.biases[name].zero_()


def check(graph: SpikingGraph) -> None:
    """GraphError naming the first synapse node that breaks its sign or mask."""
    for name, node in graph.nodes.items():
        sign = node.metadata.get("sign", "mixed")
        wrong = {"excitatory": np.less, "inhibitory": np.greater}.get(sign)
        if wrong is not None and wrong(node.weight, 0).any():
            count = int(wrong(node.weight, 0).sum())
            raise GraphError(f"node {name!r}: {count} of {node.weight.size} weights are not {sign}")
        if "mask" in node.metadata and np.any(node.weight[np.asarray(node.metadata["mask"]) == 0]):
            raise GraphError(f"node {name!r}: a masked weight is not zero")
