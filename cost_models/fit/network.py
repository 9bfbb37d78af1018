"""The network as a chip holds it: neuron groups and the synapses between them.

To the graph's populations come what alignment asks for: a constant source for each population whose
bias acts on the synaptic current, and relay neurons where an axonal delay exceeds the chip's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import nir
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity

from cost_models.fit.report import Region
from cost_models.fit.split import members
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Folding, Hop, fold_graph
from targets.graph.kinds import POPULATION
from targets.loihi.align import align

Mask = NDArray[np.bool_]
# These fold to a matrix that repeats one small kernel, which a core can store once.
_SHARED = (nir.Conv2d, nir.SumPool2d, nir.AvgPool2d, nir.Flatten)


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
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from one group to another.

    Attributes:
        matrix: [target neurons, source neurons], no stored zeros.
        shared: a core can store repeated kernels once.
        convolution: the only Conv2d node of the hop, where the hop is that node alone, else None.
    """

    source: str
    target: str
    matrix: csr_matrix
    shared: bool
    convolution: nir.Conv2d | None = None


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
        stray: Outputs that do not read a population directly, with what they read.
    """

    groups: dict[str, Group]
    connections: tuple[Connection, ...]
    latency: int
    late: tuple[LateHop, ...]
    stray: tuple[tuple[str, str], ...]
    _reached: dict[tuple[str, Region], dict[str, Mask]] = field(default_factory=dict, repr=False)

    def placed(self, role: str) -> list[Group]:
        """Groups of one role, in execution order."""
        return [group for group in self.groups.values() if group.role == role]

    def into(self, group: str) -> list[Connection]:
        """Connections that end in a group."""
        return [connection for connection in self.connections if connection.target == group]

    def reached(self, target: str, region: Region) -> dict[str, Mask]:
        """`{source group: which of its neurons have a synapse onto the region}`; kept once computed."""
        if (target, region) not in self._reached:
            masks: dict[str, Mask] = {}
            for connection in self.into(target):
                matrix = connection.matrix
                mask = masks.setdefault(connection.source, np.zeros(matrix.shape[1], dtype=bool))
                mask[self._columns(matrix, target, region)] = True
            self._reached[target, region] = masks
        return self._reached[target, region]

    def _columns(self, matrix: csr_matrix, target: str, region: Region) -> NDArray[np.int32]:
        """Columns of the entries in the rows of a region; no copy where it is one run."""
        if len(region) == 1:
            start, stop = region[0]
            return matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
        return matrix[members(self.groups[target].shape, region)].indices


@lru_cache(maxsize=8)
def chip_network(graph: SpikingGraph, max_delay: int | None) -> ChipNetwork:
    """The aligned network of `graph`; `max_delay` in steps, None where the chip's is not known.

    Raises:
        GraphError: a cycle holds fewer delays than hops.
    """
    folding = fold_graph(graph)
    alignment = align(folding, graph.inputs)
    groups = {name: Group(name, graph.shapes[name], "input", name) for name in graph.inputs}
    groups |= {name: Group(name, graph.shapes[name], "population", name) for name in graph.populations}
    connections: list[Connection] = []
    late: list[LateHop] = []
    for hop, delay in zip(folding.hops, alignment.axonal_delays, strict=True):
        stages = 0 if max_delay is None else max(0, -(-(delay - max_delay) // (max_delay + 1)))
        source = _relay(groups, connections, hop, stages)
        connections.append(_connection(graph, hop, source))
        if stages:
            late.append(LateHop(hop.source, hop.target, delay, stages * hop.matrix.shape[1]))
    _constant_sources(graph, folding, groups, connections)
    latency = max((alignment.offsets.get(name, 0) for name in graph.populations), default=0)
    return ChipNetwork(groups, tuple(connections), latency, tuple(late), _stray(graph, folding))


def _relay(groups: dict[str, Group], connections: list[Connection], hop: Hop, stages: int) -> str:
    """Add `stages` relay groups behind the source of a hop; the name of the last one."""
    source = hop.source
    for stage in range(stages):
        name = f"{hop.source}>{hop.target}/relay{hop.delay}.{stage}"
        groups[name] = Group(name, groups[hop.source].shape, "relay", hop.source)
        connections.append(Connection(source, name, csr_matrix(identity(groups[name].size)), shared=False))
        source = name
    return source


def _connection(graph: SpikingGraph, hop: Hop, source: str) -> Connection:
    kinds = [graph.nodes[name] for name in hop.path if not isinstance(graph.nodes[name], nir.Delay)]
    shared = bool(kinds) and all(isinstance(node, _SHARED) for node in kinds)
    shared = shared and not all(isinstance(node, nir.Flatten) for node in kinds)
    alone = kinds[0] if len(kinds) == 1 and isinstance(kinds[0], nir.Conv2d) else None
    return Connection(source, hop.target, hop.matrix, shared, alone)


def _constant_sources(
    graph: SpikingGraph, folding: Folding, groups: dict[str, Group], connections: list[Connection]
) -> None:
    for name, biases in folding.biases.items():
        if name not in graph.populations or not isinstance(graph.nodes[name], nir.CubaLIF | nir.CubaLI):
            continue
        for bias in biases:
            source = f"{name}/constant{bias.onset}"
            groups[source] = Group(source, (1,), "constant", name, bias.onset)
            column = csr_matrix(bias.value.reshape(-1, 1))
            column.eliminate_zeros()
            connections.append(Connection(source, name, column, shared=False))


def _stray(graph: SpikingGraph, folding: Folding) -> tuple[tuple[str, str], ...]:
    def is_plain(hop: Hop) -> bool:
        reads = isinstance(graph.nodes[hop.source], POPULATION)
        return (
            reads
            and all(isinstance(graph.nodes[name], nir.Flatten | nir.Delay) for name in hop.path)
            and bool(hop.path or graph.predecessors[hop.target] == (hop.source,))
        )

    return tuple((hop.target, hop.source) for hop in folding.readouts if not is_plain(hop))
