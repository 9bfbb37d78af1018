"""The network as a chip holds it: neuron groups and the synapses between them.

To the graph's populations come what alignment asks for: a constant source for each population whose
bias acts on the synaptic current, and relay neurons where an axonal delay exceeds the chip's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from math import prod

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from cost_models.fit.links import Link, Links, find_links, weights_of
from cost_models.fit.report import Region
from cost_models.fit.retime import ShortCycle, retime
from cost_models.fit.split import members
from cost_models.fit.synapses import Lists, Synapses
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph
from targets.graph.kinds import POPULATION

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
# These fold to a matrix that repeats one small kernel, which a core can store once.
_SHARED = (nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d, nir.Flatten)
_DENSE = (nir.Affine, nir.Linear, nir.Flatten)
# Folding a whole graph is shared with the cost models; above so many synapses it would fill the memory
# of a workstation (12 bytes each), so a connection is folded alone.
_FOLD_TOGETHER = 2**27


@dataclass(frozen=True)
class Group:
    """Neurons that a chip holds.

    Attributes:
        shape: of the neurons; `size` of them.
        role: "input" | "population" | "constant" | "relay".
        follows: the node whose spikes it emits (itself for inputs and populations, the source for
            a relay), or the population that a constant source serves.
        onset: first step of the window in which a constant source fires.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    follows: str
    onset: int = 0

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one group to another.

    Attributes:
        shape: (target neurons, source neurons).
        build: makes `matrix`, which is kept.
        shared: a core can store repeated kernels once.
        full: every source reaches every target.
        convolution: the only convolution of the path, where the path is that node alone, else None.
        delay: axonal delay in steps.
    """

    source: str
    target: str
    shape: tuple[int, int]
    build: Callable[[], csr_matrix]
    shared: bool = False
    full: bool = False
    convolution: nir.Conv1d | nir.Conv2d | None = None
    delay: int = 0

    @cached_property
    def matrix(self) -> csr_matrix:
        """Weights [target neurons, source neurons], no stored zeros."""
        return self.build()

    def lists(self, start: int, stop: int) -> Lists:
        """Synapse lists of the target neurons from `start` to `stop`."""
        if self.full:
            return Lists.full(stop - start, self.shape[1])
        return self._synapses.lists(start, stop)

    @cached_property
    def _synapses(self) -> Synapses:
        return Synapses(self.matrix, self.shared)

    def sources_of(self, region: Region, shape: tuple[int, ...]) -> Indices:
        """Ascending indices of the source neurons with a synapse onto a region of the target's `shape`."""
        if self.full:
            return np.arange(self.shape[1])
        matrix = self.matrix
        if len(region) == 1:
            ((start, stop),) = region
            entries = matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
        else:
            entries = matrix[members(shape, region)].indices
        if 4 * entries.size < self.shape[1]:
            return np.unique(entries).astype(np.int64)
        return np.flatnonzero(np.bincount(entries, minlength=self.shape[1]))


@dataclass(frozen=True)
class LateHop:
    """A hop whose axonal delay in steps exceeds the chip's, and the relay neurons it takes."""

    source: str
    target: str
    delay: int
    relays: int


@dataclass(frozen=True, eq=False)
class ChipNetwork:
    """Groups and connections of the aligned network.

    Attributes:
        latency: max phi, the steps that the aligned network takes beyond T.
        late: hops over the chip's axonal delay.
        short: cycles that cannot be aligned; a hop of each counts as if it had no axonal delay.
        stray: Outputs that do not read a population directly, with what they read.
        nonlinear: nodes between populations that no synapse can hold; paths through them are missing.
    """

    groups: dict[str, Group]
    connections: tuple[Connection, ...]
    latency: int
    late: tuple[LateHop, ...]
    short: tuple[ShortCycle, ...]
    stray: tuple[tuple[str, str], ...]
    nonlinear: tuple[str, ...]
    _sources: dict[tuple[str, Region], dict[str, Indices]] = field(default_factory=dict, repr=False)

    def placed(self, role: str) -> list[Group]:
        """Groups of one role, in execution order."""
        return [group for group in self.groups.values() if group.role == role]

    @cached_property
    def _into(self) -> Mapping[str, list[Connection]]:
        found: dict[str, list[Connection]] = {name: [] for name in self.groups}
        for connection in self.connections:
            found[connection.target].append(connection)
        return found

    def into(self, group: str) -> list[Connection]:
        """Connections that end in a group."""
        return self._into[group]

    def sources(self, target: str, region: Region) -> dict[str, Indices]:
        """`find_sources`, kept once computed."""
        if (target, region) not in self._sources:
            self._sources[target, region] = self.find_sources(target, region)
        return self._sources[target, region]

    def find_sources(self, target: str, region: Region) -> dict[str, Indices]:
        """`{source group: its neurons with a synapse onto the region, ascending}`."""
        found: dict[str, Indices] = {}
        for connection in self.into(target):
            more = connection.sources_of(region, self.groups[target].shape)
            known = found.get(connection.source)
            found[connection.source] = more if known is None else np.union1d(known, more)
        return found

    def reached(self, target: str, region: Region) -> dict[str, Mask]:
        """`{source group: which of its neurons have a synapse onto the region}`."""
        masks: dict[str, Mask] = {}
        for source, indices in self.sources(target, region).items():
            masks[source] = np.zeros(self.groups[source].size, dtype=bool)
            masks[source][indices] = True
        return masks


@lru_cache(maxsize=8)
def chip_network(graph: SpikingGraph, max_delay: int | None) -> ChipNetwork:
    """The aligned network of `graph`; `max_delay` in steps, None where the chip's is not known.

    Raises:
        GraphError: stateless nodes form a cycle without a population.
    """
    links = find_links(graph)
    together = not links.nonlinear and _synapses(graph) <= _FOLD_TOGETHER
    retiming = retime(links.hops)
    groups = {name: Group(name, graph.shapes[name], "input", name) for name in graph.inputs}
    groups |= {name: Group(name, graph.shapes[name], "population", name) for name in graph.populations}
    connections: list[Connection] = []
    late: list[LateHop] = []
    for index, same in _parallel(links.hops).items():
        link = links.hops[index]
        delay = retiming.axonal_delay(index, link)
        longest = delay if max_delay is None else max_delay
        stages = max(0, -(-(delay - longest) // (longest + 1)))
        source = _relay(groups, connections, link, stages, longest)
        build = partial(_matrix, graph, same, together)
        connections.append(_connection(graph, same, source, delay - stages * (longest + 1), build))
        if stages:
            late.append(LateHop(link.source, link.target, delay, stages * groups[link.source].size))
    _constant_sources(graph, links, groups, connections)
    return ChipNetwork(
        groups,
        tuple(connections),
        latency=max((retiming.offsets.get(name, 0) for name in graph.populations), default=0),
        late=tuple(late),
        short=retiming.short,
        stray=_stray(graph, links),
        nonlinear=links.nonlinear,
    )


def _parallel(links: Sequence[Link]) -> dict[int, list[Link]]:
    """Paths between the same ends of equal delay, by the index of their first: they share their synapses."""
    first: dict[tuple[str, str, int], int] = {}
    found: dict[int, list[Link]] = {}
    for index, link in enumerate(links):
        home = first.setdefault((link.source, link.target, link.delay), index)
        found.setdefault(home, []).append(link)
    return found


def _relay(
    groups: dict[str, Group], connections: list[Connection], link: Link, stages: int, max_delay: int
) -> str:
    """Add `stages` relay groups of `max_delay` + 1 steps behind the source of a hop; the last one's name."""
    source = link.source
    for stage in range(stages):
        name = f"{link.source}>{link.target}/relay{link.delay}.{stage}"
        groups[name] = Group(name, groups[link.source].shape, "relay", link.source)
        size = groups[name].size
        one_to_one = partial(csr_matrix, identity(size))
        connections.append(Connection(source, name, (size, size), one_to_one, delay=max_delay))
        source = name
    return source


def _connection(
    graph: SpikingGraph, links: list[Link], source: str, delay: int, build: Callable[[], csr_matrix]
) -> Connection:
    """The synapses of parallel paths, which add up."""
    link = links[0]
    nodes = weights_of(graph, link) if len(links) == 1 else ()
    alone = nodes[0] if len(nodes) == 1 and isinstance(nodes[0], nir.Conv1d | nir.Conv2d) else None
    return Connection(
        source,
        link.target,
        (prod(graph.shapes[link.target]), prod(graph.shapes[link.source])),
        build,
        shared=any(not isinstance(node, nir.Flatten) for node in nodes)
        and all(isinstance(node, _SHARED) for node in nodes),
        full=_is_full(nodes),
        convolution=alone,
        delay=delay,
    )


def _is_full(nodes: tuple[nir.NIRNode, ...]) -> bool:
    """One dense layer without a zero weight, as targets read it (float32)."""
    weights = [node.weight for node in nodes if isinstance(node, nir.Affine | nir.Linear)]
    if len(weights) != 1 or not all(isinstance(node, _DENSE) for node in nodes):
        return False
    return bool(np.asarray(weights[0], dtype=np.float32).all())


def _matrix(graph: SpikingGraph, links: list[Link], together: bool) -> csr_matrix:
    """The matrix of parallel paths, from the graph folded `together` or of these paths alone."""
    link = links[0]
    if together:
        return next(
            hop.matrix
            for hop in fold_graph(graph).hops
            if (hop.source, hop.target, hop.delay) == (link.source, link.target, link.delay)
        )
    total = csr_matrix(sum(_fold_path(graph, path) for path in links))
    total.eliminate_zeros()
    total.sort_indices()
    return total


def _fold_path(graph: SpikingGraph, link: Link) -> csr_matrix:
    matrix = csr_matrix(identity(prod(graph.shapes[link.source])))
    for name in link.path:
        if not isinstance(graph.nodes[name], nir.Delay):
            matrix = fold(graph.nodes[name], graph.input_shape(name))[0] @ matrix
    return csr_matrix(matrix)


def _synapses(graph: SpikingGraph) -> int:
    """At most so many synapses have the nodes of a graph."""
    total = 0
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Conv1d | nir.Conv2d):
            total += prod(graph.shapes[name]) * prod(node.weight.shape[1:])
        elif isinstance(node, nir.Affine | nir.Linear):
            total += node.weight.size
    return total


def _constant_sources(
    graph: SpikingGraph, links: Links, groups: dict[str, Group], connections: list[Connection]
) -> None:
    total: dict[tuple[str, int], NDArray[np.float64]] = {}
    for link in links.biases:
        if isinstance(graph.nodes[link.target], nir.CubaLIF | nir.CubaLI):
            key = (link.target, link.delay)
            total[key] = total.get(key, 0.0) + _bias_value(graph, link)
    for (name, onset), value in sorted(total.items()):
        source = f"{name}/constant{onset}"
        groups[source] = Group(source, (1,), "constant", name, onset)
        column = csr_matrix(value.reshape(-1, 1))
        column.eliminate_zeros()
        connections.append(Connection(source, name, column.shape, partial(csr_matrix, column)))


def _bias_value(graph: SpikingGraph, link: Link) -> NDArray[np.float64]:
    """What an affine node adds to each neuron of a population in every step."""
    head, rest = link.path[0], link.path[1:]
    bias = np.asarray(graph.nodes[head].bias, dtype=np.float32).astype(np.float64)
    pixels = graph.shapes[head][1:] if isinstance(graph.nodes[head], nir.Conv1d | nir.Conv2d) else ()
    value = np.repeat(bias, prod(pixels))
    for name in rest:
        if not isinstance(graph.nodes[name], nir.Delay):
            value = fold(graph.nodes[name], graph.input_shape(name))[0] @ value
    return np.asarray(value, dtype=np.float64).reshape(-1)


def _stray(graph: SpikingGraph, links: Links) -> tuple[tuple[str, str], ...]:
    paths = Counter(link.target for link in links.readouts)

    def is_plain(link: Link) -> bool:
        reads = isinstance(graph.nodes[link.source], POPULATION) and paths[link.target] == 1
        return reads and all(isinstance(node, nir.Flatten) for node in weights_of(graph, link))

    return tuple(dict.fromkeys((link.target, link.source) for link in links.readouts if not is_plain(link)))
