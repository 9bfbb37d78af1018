"""Events of a placed, aligned network: what an event-based energy model multiplies.

Everything that does not depend on the spikes is computed once for a graph and a placement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cost_models.fit.network import ChipNetwork, Connection
from cost_models.fit.report import Slice

# Sums of events, whole numbers; in float64, where too large a sum loses digits and never wraps around.
Counts = NDArray[np.float64]
# Synapse formats; a dense list stores every weight between its ends, a sparse one an index with each.
FORMATS = ("dense", "sparse", "shared")


@dataclass(frozen=True)
class Events:
    """Events summed over all samples; arrays are over `cores`.

    Attributes:
        cores: core numbers in use, ascending; tiles: [cores, 2] column and row of each.
        soma_steps: neurons x aligned steps that a core updates.
        fired: spikes of a core's neurons; packets: [from core, to core].
        synapse: `{format: synaptic events in a core}`.
    """

    cores: tuple[int, ...]
    tiles: NDArray[np.int64]
    soma_steps: Counts
    fired: Counts
    packets: Counts
    synapse: dict[str, Counts]

    def hops(self) -> tuple[float, float]:
        """Tiles that all packets cross, east or west and north or south."""
        columns, rows = (abs(self.tiles[:, None, axis] - self.tiles[None, :, axis]) for axis in (0, 1))
        return float((self.packets * columns).sum()), float((self.packets * rows).sum())

    def tiles_in_use(self) -> int:
        """Tiles with a core in use."""
        return len({tuple(tile) for tile in self.tiles.tolist()})


@dataclass(frozen=True, eq=False)
class Wiring:
    """A placed network, ready to count events for any spike counts.

    Attributes:
        order: groups, as their neurons follow each other in the columns of `counting`.
        neurons: with a soma that is charged, of each core.
        counting: [cores + formats x cores + cores x cores, neurons]: for a spike of a neuron, 1 in the row
            of its core, its synapses in each core by format, and 1 for each pair of cores it crosses.
    """

    cores: tuple[int, ...]
    tiles: NDArray[np.int64]
    order: tuple[str, ...]
    neurons: Counts
    counting: csr_matrix

    def events(self, counts: Mapping[str, Counts], steps: int) -> Events:
        """Events for `{group: spikes of each neuron}` over `steps` aligned steps."""
        size, formats = len(self.cores), len(FORMATS)
        found = self.counting @ np.concatenate([counts[name] for name in self.order])
        lists = found[size : size * (1 + formats)].reshape(formats, size)
        return Events(
            cores=self.cores,
            tiles=self.tiles,
            soma_steps=self.neurons * float(steps),
            fired=found[:size],
            packets=found[size * (1 + formats) :].reshape(size, size),
            synapse=dict(zip(FORMATS, lists, strict=True)),
        )


def wire(network: ChipNetwork, placement: Sequence[Slice], idle: frozenset[str]) -> Wiring:
    """Index a placement of flat slices; groups in `idle` send spikes and have no soma that is charged."""
    cores = tuple(sorted({part.core for part in placement}))
    size, index = len(cores), {core: i for i, core in enumerate(cores)}
    starts = accumulate((group.size for group in network.groups.values()), initial=0)
    first = dict(zip(network.groups, starts, strict=False))
    home = {name: np.zeros(group.size, np.int64) for name, group in network.groups.items()}
    neurons, entries = np.zeros(size), _Entries()
    for part in placement:
        ((start, stop),), core = part.region, index[part.core]
        home[part.population][start:stop] = core
        if part.population not in idle:
            neurons[core] += stop - start
            entries.add(core, first[part.population] + np.arange(start, stop), 1)
    crossed = size * (1 + len(FORMATS))
    for part in placement:
        ((start, stop),), core = part.region, index[part.core]
        for source, reached in network.sources(part.population, part.region).items():
            entries.add(crossed + home[source][reached] * size + core, first[source] + reached, 1)
        for connection in network.into(part.population):
            row = size * (1 + FORMATS.index(synapse_format(connection))) + core
            matrix = connection.matrix
            into = matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
            fan_out = np.bincount(into, minlength=matrix.shape[1])
            reached = np.flatnonzero(fan_out)
            entries.add(row, first[connection.source] + reached, fan_out[reached])
    counting = entries.matrix(crossed + size * size, sum(group.size for group in network.groups.values()))
    # Several populations on one core share the packet.
    counting.data[counting.indptr[crossed] :] = 1.0
    return Wiring(
        cores=cores,
        tiles=_tiles(placement, cores),
        order=tuple(network.groups),
        neurons=neurons,
        counting=counting,
    )


class _Entries:
    """Entries of a sparse matrix, collected."""

    def __init__(self) -> None:
        self._found: list[tuple[NDArray[np.int64], NDArray[np.int64], Counts]] = []

    def add(self, rows: Any, columns: NDArray[np.int64], values: Any) -> None:
        """Entries at `columns`; rows and values are arrays of as many, or one number for all."""
        shape = columns.shape
        self._found.append(
            (
                np.broadcast_to(rows, shape),
                columns,
                np.broadcast_to(np.asarray(values, np.float64), shape),
            )
        )

    def matrix(self, rows: int, columns: int) -> csr_matrix:
        """The matrix; entries that coincide add up."""
        row, column, value = (np.concatenate(part) for part in zip(*self._found, strict=True))
        return csr_matrix((value, (row, column)), shape=(rows, columns))


def _tiles(placement: Sequence[Slice], cores: tuple[int, ...]) -> NDArray[np.int64]:
    tiles = {part.core: part.tile or (0, 0) for part in placement}
    return np.array([tiles[core] for core in cores], dtype=np.int64).reshape(-1, 2)


def synapse_format(connection: Connection) -> str:
    """Shared where a kernel repeats, dense where at least half of the weights exist, else sparse.

    At a half, the index field (8 to 9 bits for a full core) makes a sparse list of 8-bit weights as
    long as the dense one.
    """
    if connection.shared:
        return "shared"
    rows, columns = connection.matrix.shape
    return "dense" if 2 * connection.matrix.nnz >= rows * columns else "sparse"
