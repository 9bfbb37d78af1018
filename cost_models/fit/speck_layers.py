"""The layers of a network as the cores of Speck 2f hold them, and which core holds which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from cost_models.device import Device
from cost_models.fit.links import Links, weights_of
from targets.graph.graph import SpikingGraph
from targets.graph.shapes import conv_margins, pair, per_axis

POOLS = (nir.SumPool2d, nir.AvgPool2d)
_WEIGHTS = (nir.Conv2d, nir.Affine, nir.Linear)


@dataclass(frozen=True)
class Layer:
    """One core's work: a convolution and its neurons; a dense layer has a kernel of its input's size.

    Attributes:
        name: the population. node: its Conv2d, Affine or Linear.
        maps: input (channels, rows, columns). neurons: output (channels, rows, columns).
        kernel, stride, padding: rows and columns.
        per_tap: groups x dilations; 1 is a dense kernel.
    """

    name: str
    node: str
    maps: tuple[int, int, int]
    neurons: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, ...] = (0,)
    per_tap: int = 1
    biases: int = 0

    @property
    def kernel_words(self) -> int:
        """Cin x 2^(ceil(log2(kernel rows x columns)) + ceil(log2 Cout)). Source: sinabs, memory_summary."""
        rows, columns = self.kernel
        return int(self.maps[0]) << (_bits(rows * columns) + _bits(self.neurons[0]))

    @property
    def neuron_words(self) -> int:
        """Cout x 2^(ceil(log2 rows) + ceil(log2 columns)). Source: sinabs, memory_summary."""
        channels, rows, columns = self.neurons
        return int(channels) << (_bits(rows) + _bits(columns))


def _bits(size: int) -> int:
    return ceil(log2(size)) if size > 1 else 0


@dataclass(frozen=True)
class Case:
    """What the rules look at."""

    graph: SpikingGraph
    links: Links
    layers: tuple[Layer, ...]
    odd: tuple[str, ...]
    device: Device

    def sizes(self, key: str) -> tuple[int, ...]:
        """A memory of each core in words."""
        return tuple(int(size) for size in self.device.series(key))

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """[layers, cores]: the core's memories hold the layer."""
        kernels, neurons = (np.array(self.sizes(key)) for key in ("kernel_words", "neuron_words"))
        needs = np.array([(layer.kernel_words, layer.neuron_words) for layer in self.layers]).reshape(-1, 2)
        held: NDArray[np.bool_] = (needs[:, :1] <= kernels) & (needs[:, 1:] <= neurons)
        return held

    @cached_property
    def core_of(self) -> tuple[int, ...]:
        """A largest assignment: the core of each layer, -1 for a layer left over."""
        if not self.layers:
            return ()
        return tuple(int(c) for c in maximum_bipartite_matching(csr_matrix(self.holds), perm_type="column"))


def layer_of(graph: SpikingGraph, links: Links, name: str) -> Layer | None:
    """The layer of a population; None where it is not pooling, then one weight node for all sources."""
    into = [link for link in links.hops if link.target == name]
    weights: set[str] = set()
    for link in into:
        kinds = "".join(_letter(node) for node in weights_of(graph, link))
        if kinds.strip("pf").replace("w", "") or kinds.count("w") != 1 or "fp" in kinds or "wp" in kinds:
            return None
        weights |= {node for node in link.path if isinstance(graph.nodes[node], _WEIGHTS)}
    if len(weights) != 1:
        return None
    (node,) = weights
    return _convolution(graph, name, node)


def _letter(node: nir.NIRNode) -> str:
    for letter, kinds in (("p", POOLS), ("f", (nir.Flatten,)), ("w", _WEIGHTS)):
        if isinstance(node, kinds):
            return letter
    return "x"


def _convolution(graph: SpikingGraph, name: str, node: str) -> Layer:
    weights = graph.nodes[node]
    biases = int(np.count_nonzero(getattr(weights, "bias", 0)))
    if isinstance(weights, nir.Conv2d):
        dilation, (before, after) = per_axis(weights.dilation, 2), conv_margins(weights)
        return Layer(
            name,
            node,
            maps=_maps(graph.input_shape(node)),
            neurons=_maps(graph.shapes[node]),
            kernel=pair(weights.weight.shape[2:]),
            stride=pair(weights.stride),
            padding=(*before, *after),
            per_tap=int(weights.groups) * max(dilation),
            biases=biases,
        )
    source = graph.predecessors[node][0]
    flat = isinstance(graph.nodes[source], nir.Flatten)
    maps = _maps(graph.input_shape(source) if flat else graph.shapes[source])
    return Layer(name, node, maps, (weights.weight.shape[0], 1, 1), kernel=maps[1:], biases=biases)


def _maps(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, rows, columns = (*shape, 1, 1)[:3]
    return channels, rows, columns
