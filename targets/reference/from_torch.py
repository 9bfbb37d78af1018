"""Plain feed-forward torch modules as graphs, by a table of modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from torch import nn

from targets.errors import UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.profile import Profile
from targets.graph.shapes import Shape, output_shape


def from_torch(
    module: nn.Sequential,
    input_shape: Sequence[int],
    neuron: Callable[[Shape], nir.NIRNode],
    profile: Profile | Mapping[str, Any],
) -> SpikingGraph:
    """A `torch.nn.Sequential` as a SpikingGraph, a population in place of every ReLU and at the end.

    Args:
        module: Linear, Conv2d (zero padding), AvgPool2d, Flatten and ReLU modules.
        input_shape: without batch, e.g. (1, 8, 8).
        neuron: makes a population for a shape, e.g. `lambda shape: nir.IF(...)`.
        profile: needs `dt`.

    Raises:
        UnsupportedNodeError: another module, with its name.
    """
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array(input_shape)})}
    shape: Shape = tuple(input_shape)
    for name, child in [*module.named_children(), ("end", nn.ReLU())]:
        if isinstance(child, nn.ReLU):
            nodes[f"neurons_{name}"] = neuron(shape)
            continue
        convert = _CONVERT.get(type(child))
        if convert is None:
            allowed = ", ".join(sorted(k.__name__ for k in (*_CONVERT, nn.ReLU)))
            raise UnsupportedNodeError(f"module {name!r} ({type(child).__name__}): allowed {allowed}")
        node = convert(name, child, shape)
        nodes[name] = node
        shape = output_shape(name, node, shape)
    nodes["output"] = nir.Output({"output": np.array(shape)})
    order = list(nodes)
    return SpikingGraph.build(nodes, list(pairwise(order)), profile)


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value.detach().cpu().numpy())


def _linear(name: str, module: nn.Linear, shape: Shape) -> nir.NIRNode:
    if module.bias is None:
        return nir.Linear(_array(module.weight))
    return nir.Affine(_array(module.weight), _array(module.bias))


def _conv2d(name: str, module: nn.Conv2d, shape: Shape) -> nir.NIRNode:
    if module.padding_mode != "zeros":
        raise UnsupportedNodeError(f"module {name!r}: padding_mode {module.padding_mode!r}, allowed 'zeros'")
    bias = np.zeros(module.out_channels) if module.bias is None else _array(module.bias)
    return nir.Conv2d(
        tuple(shape[1:]),
        _array(module.weight),
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
        bias,
    )


def _average(name: str, module: nn.AvgPool2d, shape: Shape) -> nir.NIRNode:
    if module.ceil_mode or not module.count_include_pad or module.divisor_override:
        raise UnsupportedNodeError(f"module {name!r}: AvgPool2d options beyond kernel, stride and padding")
    return nir.AvgPool2d(*(np.array(v) for v in (module.kernel_size, module.stride, module.padding)))


def _flatten(name: str, module: nn.Flatten, shape: Shape) -> nir.NIRNode:
    first, last = (d - 1 if d > 0 else d for d in (module.start_dim, module.end_dim))
    if module.start_dim == 0:
        raise UnsupportedNodeError(f"module {name!r}: Flatten over the batch axis")
    return nir.Flatten({"input": np.array(shape)}, first, last)


_CONVERT: Mapping[type[nn.Module], Callable[[str, Any, Shape], nir.NIRNode]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.AvgPool2d: _average,
    nn.Flatten: _flatten,
}
