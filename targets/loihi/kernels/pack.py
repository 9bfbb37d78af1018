"""A lowered program as the tables that `kernels.c` reads.

Neurons of [channels, ...] lie with their channels side by side, so that one active input of a convolution
adds a row of weights for each pixel it reaches. The rows of all channels of a source pixel lie together, and
are kept once where they are equal. Rows are padded to whole vectors with neurons that never fire.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from targets.loihi import limits
from targets.loihi.program import FixedHop, FixedPopulation, Program

LANES = 8
_DENSE_LANES = 16
# Neurons that are updated together; as GROUP in kernels.c.
GROUP = 32
_SHORT_MAX = 2**15 - 1
# Largest table of dense rows, in bytes.
_DENSE_BYTES = 1 << 26
# A bias that keeps padding below any threshold; beyond it a membrane is clipped all the same.
_BIAS_LIMIT = 2**26


@dataclass(frozen=True)
class Layout:
    """Where the neurons of a population lie.

    Attributes:
        place: int32 [padded]: the neuron in C order at each position, -1 for padding.
        position: int64 [neurons]: the position of each neuron.
        block: neurons side by side that a convolution reaches together.
        width: neurons of a pixel, or all of them where there are no pixels, with padding.
    """

    place: NDArray[np.int32]
    position: NDArray[np.int64]
    block: int
    width: int

    @classmethod
    def of(cls, shape: tuple[int, ...], reached: NDArray[np.int64] | None = None) -> Layout:
        """Channels last where there are pixels, these in the order of `reached`; in C order otherwise."""
        neurons = int(np.prod(shape))
        channels = shape[0] if len(shape) > 1 else neurons
        block = padded(channels, LANES) if len(shape) > 1 else LANES
        rows = np.arange(neurons).reshape(channels, -1).T
        if reached is not None:
            rows = rows[np.argsort(reached, kind="stable")]
        width = padded(channels, LANES)
        place = np.full((rows.shape[0], width), -1, dtype=np.int32)
        place[:, :channels] = rows
        flat = np.append(place.ravel(), np.full(-place.size % GROUP, -1, dtype=np.int32))
        return cls(flat, _inverse(flat, neurons), block, width)

    def spread(self, table: NDArray[np.int64], absent: int) -> NDArray[np.int32]:
        """`table` [K, neurons] in this layout, modulo 2^32."""
        out = np.full((len(table), self.place.size), absent, dtype=np.int64)
        out[:, self.position] = table
        return np.ascontiguousarray(out.astype(np.uint32)).view(np.int32)


def layouts(program: Program, by_reach: bool) -> dict[str, Layout]:
    """Layouts of the populations; `by_reach`: pixels that reach equally many pixels lie together.

    A processor then foresees where the runs of an event end.
    """
    shapes = {p.name: p.shape for p in program.populations}
    return {
        name: Layout.of(shape, _reach(program, name, shapes) if by_reach and len(shape) > 1 else None)
        for name, shape in shapes.items()
    }


def _reach(program: Program, name: str, shapes: Mapping[str, tuple[int, ...]]) -> NDArray[np.int64]:
    """Pixels, or single neurons, that each pixel of a population reaches over all hops."""
    pixels = math.prod(shapes[name][1:])
    reached = np.zeros(pixels, dtype=np.int64)
    for hop in program.hops:
        if hop.source == name and hop.matrix.nnz:
            coo, count = hop.matrix.tocoo(), math.prod(shapes[hop.target][1:])
            keys = coo.col.astype(np.int64) % pixels * count + coo.row % count
            reached += np.bincount(places(keys, pixels * count)[0] // count, minlength=pixels)
    return reached


@dataclass(frozen=True)
class Synapses:
    """Weights of one hop for events, as `hop` in kernels.c; of `dense` and `first` one is None."""

    dense: NDArray[np.int16] | None = None
    most: int = 1
    exponent: int = 0
    first: NDArray[np.int32] | None = None
    runs: NDArray[np.int32] | None = None
    rows: NDArray[Any] | None = None
    width: int = LANES
    divisor: int = 1
    shift: int = 0
    planar: int = 0


def membrane_bias(population: FixedPopulation, layout: Layout) -> NDArray[np.int32]:
    """Biases of the membrane, cut where they clip it anyway; [K, tile] where every pixel has the same."""
    table = layout.spread(np.clip(population.bias_v, -_BIAS_LIMIT, _BIAS_LIMIT), -_BIAS_LIMIT)
    tile = math.lcm(layout.block, GROUP)
    if table.shape[1] % tile:
        return table
    first = np.ascontiguousarray(table[:, :tile])
    return first if (table == np.tile(first, table.shape[1] // tile)).all() else table


def current_bias(population: FixedPopulation, layout: Layout) -> NDArray[np.int32] | None:
    """Biases of the current in units of u, modulo 2^32; None where there are none."""
    return layout.spread(population.bias_u << limits.STATE_SHIFT, 0) if population.bias_u.any() else None


def narrow(hops: Sequence[FixedHop]) -> bool:
    """Whether no sum into a population leaves 16 bits before one shift serves all hops."""
    total = sum(_row_sums(hop) for hop in hops)
    return len({hop.exponent for hop in hops}) <= 1 and int(np.max(total, initial=0)) <= _SHORT_MAX


def wraps(population: FixedPopulation, hops: Sequence[FixedHop]) -> bool:
    """Whether a current could leave 24 bits."""
    total = np.abs(population.bias_u).max(axis=0) + sum(_row_sums(hop) << hop.exponent for hop in hops)
    lost = (np.asarray(population.du) + 1) / limits.DECAY_ONE
    return bool((total / lost).max(initial=0) > limits.SUM_MAX)


def _row_sums(hop: FixedHop) -> NDArray[np.int64]:
    return np.asarray(abs(hop.matrix.astype(np.int64)).sum(axis=1)).ravel()


def synapses(
    hop: FixedHop, source: Layout | None, target: Layout, shape: tuple[int, ...], into_narrow: bool
) -> Synapses:
    """The cheaper of dense rows and runs; `source` is None for an input of `shape`, kept in C order."""
    coo = hop.matrix.tocoo()
    sources = coo.col.astype(np.int64) if source is None else source.position[coo.col]
    size = hop.matrix.shape[1] if source is None else source.place.size
    targets, data = target.position[coo.row], coo.data.astype(np.int64)
    largest = int(abs(data).max(initial=1))
    # A core has 32-bit sums, taken modulo 2^24 in the end.
    kept = data.astype(np.int16) if into_narrow else (data << hop.exponent).astype(np.uint32).view(np.int32)
    cost, packed = min(
        (
            _runs(_Entries(sources, targets, kept), _split(source, shape, size), width)
            for width in {LANES, target.block}
        ),
        key=lambda found: found[0],
    )
    width = padded(int(targets.max(initial=0)) + 1, _DENSE_LANES)
    area = size * width
    if largest <= _SHORT_MAX and 2 * area <= _DENSE_BYTES and area / _DENSE_LANES <= cost:
        dense = np.zeros((size, width), dtype=np.int16)
        dense[sources, targets] = data
        return Synapses(dense=dense, most=_SHORT_MAX // largest, exponent=hop.exponent, width=width)
    return packed


class _Entries(NamedTuple):
    """Weights by position of source and target."""

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    data: NDArray[Any]


class _Split(NamedTuple):
    """How a source's position is split into pixel and channel; see `hop` in kernels.c."""

    pixels: int
    channels: int
    divisor: int
    planar: int


def _split(source: Layout | None, shape: tuple[int, ...], size: int) -> _Split:
    if len(shape) == 1:
        return _Split(size, 1, 1, 0)
    if source is None:
        return _Split(size // shape[0], shape[0], size // shape[0], 1)
    return _Split(-(-size // source.block), source.block, source.block, 0)


def _runs(entries: _Entries, split: _Split, width: int) -> tuple[float, Synapses]:
    """Runs of `width` neurons, and what all sources together cost in vectors."""
    whole, rest = np.divmod(entries.sources, split.divisor)
    pixel, channel = (rest, whole) if split.planar else (whole, rest)
    block, lane = np.divmod(entries.targets, width)
    blocks = int(block.max(initial=0)) + 1
    key, which = places(pixel * blocks + block, split.pixels * blocks)
    values = np.zeros((len(key), split.channels, width), dtype=entries.data.dtype)
    values[which, channel, lane] = entries.data
    rows, place = distinct(values.reshape(len(key), -1))
    first, runs = _shared(key // blocks, key % blocks * width, place * rows.shape[1], split.pixels)
    lanes = LANES * 4 // values.itemsize
    cost = len(key) * split.channels * (1 + max(1, width / lanes))
    power = split.divisor.bit_length() - 1
    return cost, Synapses(
        first=first,
        runs=runs,
        rows=rows,
        width=width,
        divisor=split.divisor,
        shift=power if 1 << power == split.divisor else -1,
        planar=split.planar,
    )


def _shared(
    pixel: NDArray[np.int64], target: NDArray[np.int64], row: NDArray[np.int64], pixels: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`first` and `runs` of kernels.c: pixels whose runs differ by a shift share them."""
    start = np.searchsorted(pixel, np.arange(pixels + 1))
    counts = np.diff(start)
    origin = (
        target[np.minimum(start[:-1], max(len(target) - 1, 0))] if len(target) else np.zeros(pixels, np.int64)
    )
    table = np.full((pixels, int(counts.max(initial=0)), 2), -1, dtype=np.int64)
    table[pixel, np.arange(len(pixel)) - start[pixel]] = np.stack([target - origin[pixel], row], axis=1)
    kinds, kind = distinct(table.reshape(pixels, -1))
    kinds = kinds.reshape(len(kinds), -1, 2)
    held = kinds[:, :, 1] >= 0
    ends = np.cumsum(held.sum(axis=1))
    first = np.stack([origin, (ends - held.sum(axis=1))[kind], ends[kind]], axis=1).astype(np.int32)
    return np.ascontiguousarray(first), np.ascontiguousarray(kinds[held].astype(np.int32))


def places(keys: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct of `keys` below `count` in order, and which of them each is."""
    if count > 8 * keys.size + 2**16:
        found, which = np.unique(keys, return_inverse=True)
        return found, which
    held = np.zeros(count, dtype=np.int64)
    held[keys] = 1
    return np.flatnonzero(held), (np.cumsum(held) - 1)[keys]


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct rows of `values`, and which of them each row is."""
    kind = np.dtype((np.void, values.shape[1] * values.itemsize))
    raw = np.ascontiguousarray(values).view(kind).ravel()
    _, first, place = np.unique(raw, return_index=True, return_inverse=True)
    return np.ascontiguousarray(values[first]), place.ravel()


def _inverse(place: NDArray[np.int32], neurons: int) -> NDArray[np.int64]:
    position = np.empty(neurons, dtype=np.int64)
    held = np.flatnonzero(place >= 0)
    position[place[held]] = held
    return position


def padded(size: int, lanes: int) -> int:
    """`size` in whole multiples of `lanes`."""
    return size + -size % lanes
