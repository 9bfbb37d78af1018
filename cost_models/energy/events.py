"""Events of a placed, aligned network: what an event-based energy model multiplies.

Everything that does not depend on the spikes is computed once for a graph and a placement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cost_models.fit.network import ChipNetwork, Connection, Group
from cost_models.fit.report import Slice

Counts = NDArray[np.int64]
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


@dataclass(frozen=True, eq=False)
class Wiring:
    """A placed network, ready to count events for any spike counts.

    Attributes:
        parts: slices of each group in order, as `(core index, start, stop)`.
        axons: `[(source group, core index, neurons with an axon to that core)]`.
        fan_out: `[(source group, core index, format, synapses of each neuron in that core)]`.
    """

    cores: tuple[int, ...]
    tiles: NDArray[np.int64]
    groups: Mapping[str, Group]
    parts: Mapping[str, tuple[tuple[int, int, int], ...]]
    axons: tuple[tuple[str, int, Counts], ...]
    fan_out: tuple[tuple[str, int, str, Counts], ...]

    def events(self, counts: Mapping[str, Counts], steps: int, idle: frozenset[str]) -> Events:
        """Events for `{group: spikes of each neuron}` over `steps`; groups in `idle` have no soma."""
        size = len(self.cores)
        soma, fired = np.zeros(size, np.int64), np.zeros(size, np.int64)
        for name, parts in self.parts.items():
            if name in idle:
                continue
            for core, start, stop in parts:
                soma[core] += (stop - start) * steps
                fired[core] += counts[name][start:stop].sum()
        packets = np.zeros((size, size), np.int64)
        for source, core, mask in self.axons:
            sent = counts[source] * mask
            for home, start, stop in self.parts[source]:
                packets[home, core] += sent[start:stop].sum()
        synapse = {name: np.zeros(size, np.int64) for name in FORMATS}
        for source, core, kind, fan_out in self.fan_out:
            synapse[kind][core] += counts[source] @ fan_out
        return Events(self.cores, self.tiles, soma, fired, packets, synapse)


def wire(network: ChipNetwork, placement: Sequence[Slice]) -> Wiring:
    """Index a placement of flat slices: which neuron reaches which core with how many synapses."""
    cores = tuple(sorted({part.core for part in placement}))
    index = {core: i for i, core in enumerate(cores)}
    tiles = {part.core: part.tile or (0, 0) for part in placement}
    parts: dict[str, list[tuple[int, int, int]]] = {}
    axons: dict[tuple[str, int], NDArray[np.bool_]] = {}
    fan_out: dict[tuple[str, int, str], Counts] = {}
    for part in placement:
        ((start, stop),), core = part.region, index[part.core]
        parts.setdefault(part.population, []).append((core, start, stop))
        for source, mask in network.reached(part.population, part.region).items():
            axons[source, core] = axons.get((source, core), np.zeros_like(mask)) | mask
        for connection in network.into(part.population):
            key = (connection.source, core, synapse_format(connection))
            matrix = connection.matrix
            entries = matrix.indices[matrix.indptr[start] : matrix.indptr[stop]]
            found = np.bincount(entries, minlength=matrix.shape[1])
            fan_out[key] = fan_out.get(key, np.zeros_like(found)) + found
    return Wiring(
        cores=cores,
        tiles=np.array([tiles[core] for core in cores], dtype=np.int64).reshape(-1, 2),
        groups=network.groups,
        parts={name: tuple(found) for name, found in parts.items()},
        axons=tuple((name, core, mask.astype(np.int64)) for (name, core), mask in axons.items()),
        fan_out=tuple((*key, found) for key, found in fan_out.items()),
    )


def synapse_format(connection: Connection) -> str:
    """Shared where a kernel repeats, dense where at least half of the weights exist, else sparse.

    At a half, the index field (8 to 9 bits for a full core) makes a sparse list of 8-bit weights as
    long as the dense one.
    """
    if connection.shared:
        return "shared"
    rows, columns = connection.matrix.shape
    return "dense" if 2 * connection.matrix.nnz >= rows * columns else "sparse"
