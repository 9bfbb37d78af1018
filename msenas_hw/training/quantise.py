"""Weights on the grid of a Loihi core while they are trained.

Forward and backward see the weights that `targets.loihi` would store, scale and exponent chosen by its own
functions on the weights of the moment; the gradient is applied to the weights that were rounded, as if
rounding were the identity (straight-through: Bengio et al., arXiv:1308.3432, 2013). A normaliser counts as
the factor that folding will give. Biases, thresholds and decays keep their float values: a core holds them
in 12 bits or more, the biases of current-based populations aside, which it holds in 8.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from msenas_hw.training.normaliser import CurrentNormaliser
from targets.errors import UnsupportedNodeError
from targets.graph.dynamics import dynamics
from targets.graph.exact import exact_sums
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION, SYNAPSE, kind
from targets.graph.shapes import pair
from targets.graph.widths import weight_bits_of
from targets.loihi.normalise import refusals, row_scale
from targets.loihi.rounding import round_weights, sign_mode
from targets.loihi.scale import Normalised, choose_scale
from targets.reference import stateless
from targets.reference.network import ReferenceNetwork
from targets.target import listed

Wide = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Synapse:
    """A synapse node as the hop of a chip.

    Attributes:
        gain: what pooling and scaling before the node multiply its weights by.
        copies: entries of the hop's row that hold the same weight, after pooling.
        used: taps that meet an input, of the weight's shape; the others are no synapses.
    """

    name: str
    gain: float
    copies: int
    used: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Population:
    """A population as the choice of its scale sees it.

    Attributes:
        rows: thresholds that an input of 1 adds to the state, [channels].
        leak: thresholds that the leak adds each step, at most, [channels].
    """

    name: str
    synapses: tuple[_Synapse, ...]
    rows: Wide
    leak: Wide
    current_based: bool
    decay: float
    decay_synapse: float


def widths(graph: SpikingGraph, weight_bits: int | None) -> dict[str, int]:
    """`{population: bits of the weights into it}`: those that the graph names, else `weight_bits`, if any."""
    others = {} if weight_bits is None else dict.fromkeys(graph.populations, weight_bits)
    return {**others, **weight_bits_of(graph)}


class ChipGrid:
    """Rounds the weights of a network to what a Loihi core stores.

    Args:
        graph: the network; its weights do not matter.
        bits: of a stored weight; or of those into each population, the others staying as they are.

    Raises:
        UnsupportedNodeError: a core cannot hold the network, or a weight of it is no weight of the core.
    """

    def __init__(self, graph: SpikingGraph, bits: int | Mapping[str, int]) -> None:
        problems = refusals(graph)
        if problems:
            raise UnsupportedNodeError(
                "training.weight_bits: loihi cannot hold this graph:\n" + listed(problems)
            )
        self.bits = dict.fromkeys(graph.populations, bits) if isinstance(bits, int) else dict(bits)
        self.populations = [_population(graph, name) for name in graph.populations if name in self.bits]

    @contextmanager
    def held(self, network: ReferenceNetwork) -> Iterator[None]:
        """Within the block every weight of `network` is one of the core's, whatever reads it."""
        own = {name: weight.data for name, weight in network.weights.items()}
        weights = {name: weight.numpy() for name, weight in own.items()}
        biases = {name: bias.data.numpy() for name, bias in network.biases.items()}
        for population in self.populations:
            factor, addend = np.ones(()), np.zeros(())
            transform = network.transforms.get(population.name)
            if isinstance(transform, CurrentNormaliser):
                factor, addend = (value.detach().numpy() for value in transform.folded())
            for name, rounded in self._rounded(population, weights, biases, factor, addend).items():
                network.weights[name].data = torch.from_numpy(rounded).to(network.dtype)
        try:
            yield
        finally:
            for name, kept in own.items():
                network.weights[name].data = kept

    def rounded(self, graph: SpikingGraph) -> SpikingGraph:
        """A copy of a folded graph with its weights on the grid."""
        weights = {name: graph.nodes[name].weight for p in self.populations for name in _names(p)}
        biases = {n: graph.nodes[n].bias for n in weights if hasattr(graph.nodes[n], "bias")}
        nodes = dict(graph.nodes)
        for population in self.populations:
            found = self._rounded(population, weights, biases, np.ones(()), np.zeros(()))
            for name, weight in found.items():
                nodes[name] = copy.copy(nodes[name])
                nodes[name].weight = weight
        return exact_sums(graph.replace(nodes=nodes))

    def _rounded(
        self,
        population: _Population,
        weights: Mapping[str, NDArray[Any]],
        biases: Mapping[str, NDArray[Any]],
        factor: NDArray[Any],
        addend: NDArray[Any],
    ) -> dict[str, NDArray[np.float32]]:
        """Weights into a population on the grid, by node, before the normaliser's `factor`."""
        gains = {
            s.name: _rows(factor * population.rows * s.gain, weights[s.name]) for s in population.synapses
        }
        hops = {s.name: weights[s.name] * gains[s.name] * s.used for s in population.synapses}
        drive = addend + sum(factor * biases[name] for name in hops if name in biases)
        signs, bits = [sign_mode(hop) for hop in hops.values()], self.bits[population.name]
        scale = choose_scale(_normalised(population, hops, np.asarray(drive)), signs, bits)
        found = {}
        for (name, hop), sign in zip(hops.items(), signs, strict=True):
            stored, exponent = round_weights(hop * scale, sign, bits)
            found[name] = (stored * 2.0**exponent / (scale * gains[name])).astype(np.float32)
        return found


def _names(population: _Population) -> list[str]:
    return [synapse.name for synapse in population.synapses]


def _rows(values: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """One value a channel, beside the weights of that channel."""
    return values.reshape(-1, *[1] * (weight.ndim - 1))


def _normalised(population: _Population, hops: Mapping[str, Wide], drive: Wide) -> Normalised:
    bias = np.broadcast_to(drive * population.rows, population.rows.shape)[None]
    none, leak = np.zeros_like(bias), population.leak[None]
    return Normalised(
        hops=tuple(
            csr_matrix(np.tile(hops[s.name].reshape(len(hops[s.name]), -1), s.copies))
            for s in population.synapses
        ),
        bias_u=bias if population.current_based else none,
        bias_v=leak if population.current_based else bias + leak,
        decay=population.decay,
        decay_synapse=population.decay_synapse,
    )


def _population(graph: SpikingGraph, name: str) -> _Population:
    terms, channels = dynamics(graph, name), graph.shapes[name][0]
    rows = row_scale(terms).reshape(channels, -1)
    if (rows != rows[:, :1]).any():
        raise _unfit(name, "thresholds or gains differ within a channel")
    assert terms.threshold is not None
    leak = (
        np.zeros(1)
        if terms.leak is None
        else np.abs(terms.leak / terms.threshold).reshape(channels, -1).max(1)
    )
    return _Population(
        name=name,
        synapses=tuple(_synapse(graph, synapse, name) for synapse in _synapses(graph, name)),
        rows=rows[:, 0],
        leak=np.broadcast_to(leak.astype(np.float64), (channels,)),
        current_based=isinstance(graph.nodes[name], nir.CubaLIF),
        decay=1.0 if terms.decay is None else float(terms.decay.max()),
        decay_synapse=0.0 if terms.decay_synapse is None else float(terms.decay_synapse.max()),
    )


def _synapses(graph: SpikingGraph, population: str) -> list[str]:
    """The synapse nodes before `population`; Delay and Flatten nodes may stand between."""
    found, pending = [], list(graph.predecessors[population])
    while pending:
        name = pending.pop(0)
        node = graph.nodes[name]
        if isinstance(node, SYNAPSE):
            found.append(name)
        elif isinstance(node, nir.Delay | nir.Flatten):
            pending.extend(graph.predecessors[name])
        else:
            raise _unfit(population, f"is fed by {name!r} ({kind(node)})", "put a synapse node between")
    return found


def _synapse(graph: SpikingGraph, name: str, population: str) -> _Synapse:
    readers = [target for source, target in graph.edges if source == name]
    if len(readers) != 1:
        raise _unfit(name, f"is read by {', '.join(readers)}", f"give {population!r} a node of its own")
    gains = {_gain(graph, source) for source in graph.predecessors[name]}
    if len(gains) != 1:
        raise _unfit(name, "is fed through different pooling or scaling")
    gain, copies = gains.pop()
    return _Synapse(name, gain, copies, _used(graph, name))


def _gain(graph: SpikingGraph, name: str) -> tuple[float, int]:
    """Factor and copies of a weight behind node `name` and the stateless nodes before it."""
    node = graph.nodes[name]
    if isinstance(node, (*POPULATION, nir.Input)):
        return 1.0, 1
    found = _GAINS.get(type(node), lambda node: None)(node)
    sources = {_gain(graph, source) for source in graph.predecessors[name]}
    if found is None or len(sources) != 1:
        raise _unfit(
            name, "leaves no single weight to a synapse of the core", "fold it, or use plain pooling"
        )
    gain, copies = sources.pop()
    return gain * found[0], copies * found[1]


def _pooled(node: nir.SumPool2d | nir.AvgPool2d) -> tuple[float, int] | None:
    size, stride = pair(node.kernel_size), pair(node.stride)
    if stride[0] < size[0] or stride[1] < size[1]:
        return None
    taps = size[0] * size[1]
    return (1.0 if isinstance(node, nir.SumPool2d) else 1.0 / taps), taps


def _scaled(node: nir.Scale) -> tuple[float, int] | None:
    values = np.unique(node.scale)
    return (float(values[0]), 1) if values.size == 1 and values[0] != 0 else None


_GAINS: Mapping[type[nir.NIRNode], Callable[[Any], tuple[float, int] | None]] = {
    nir.Delay: lambda node: (1.0, 1),
    nir.Flatten: lambda node: (1.0, 1),
    nir.SumPool2d: _pooled,
    nir.AvgPool2d: _pooled,
    nir.Scale: _scaled,
}


def _used(graph: SpikingGraph, name: str) -> NDArray[np.bool_]:
    """Weights that some input meets: those in which a sum of all outputs has a gradient."""
    node = graph.nodes[name]
    weight = torch.ones(node.weight.shape, requires_grad=True)
    everywhere = torch.ones(1, *graph.input_shape(name))
    (met,) = torch.autograd.grad(stateless.apply(node, everywhere, weight).sum(), weight)
    return (met != 0).numpy()


def _unfit(name: str, reason: str, hint: str = "") -> UnsupportedNodeError:
    more = f"; {hint}, or leave training.weight_bits out" if hint else "; leave training.weight_bits out"
    return UnsupportedNodeError(f"training.weight_bits: node {name!r}: {reason}{more}")
