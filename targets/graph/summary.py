"""What a node holds, in few numbers: how many parameters, and their values or ranges."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from targets.graph.fields import ELEMENTWISE, FIELDS
from targets.graph.shapes import conv_margins, pair, per_axis

_WEIGHTS = ("weight", "bias", "scale")
_WINDOW = (nir.SumPool2d, nir.AvgPool2d)


def parameter_count(node: nir.NIRNode) -> int:
    """Numbers in weights, biases and scales; those of neurons (time constants, thresholds) do not count."""
    return sum(np.size(getattr(node, field)) for field in _WEIGHTS if hasattr(node, field))


def values(node: nir.NIRNode) -> dict[str, Any]:
    """`{field: value}` of what a node does, for people and for JSON.

    A field of one number a neuron is that number where all are equal, else `{"min", "max"}`. Weights
    appear by their shape, windows by stride, padding (before and after where they differ), dilation.
    """
    if type(node) in ELEMENTWISE:
        return {field: _range(getattr(node, field)) for field in ELEMENTWISE[type(node)]}
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        axes = node.weight.ndim - 2
        before, after = conv_margins(node)
        return {
            "weight": list(node.weight.shape),
            "stride": list(per_axis(node.stride, axes)),
            "padding": list(before) if before == after else [list(before), list(after)],
            "dilation": list(per_axis(node.dilation, axes)),
            "groups": int(node.groups),
        }
    if isinstance(node, _WINDOW):
        return {field: list(pair(getattr(node, field))) for field in FIELDS[type(node)]}
    if isinstance(node, nir.Flatten):
        return {"start_dim": int(node.start_dim), "end_dim": int(node.end_dim)}
    return {"weight": list(node.weight.shape)} if hasattr(node, "weight") else {}


def _range(value: Any) -> Any:
    array = np.asarray(value)
    low, high = array.min().item(), array.max().item()
    return low if low == high else {"min": low, "max": high}
