"""A lowered program as the tables that `kernels.c` reads.

Neurons of [channels, ...] lie with their channels side by side, so that one active input of a convolution
adds a row of weights for each pixel it reaches. Rows are padded to whole vectors with neurons that nothing
reaches: they stay at 0, which is above no threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from targets.loihi import limits
from targets.loihi.program import FixedHop, FixedPopulation

LANES = 8
# Neurons that are updated together; as GROUP in kernels.c.
GROUP = 32
SHORT_MAX = 2**15 - 1
# Largest exponent of a narrow current: a factor of 16 bits takes it to units of u.
_SHIFT_MAX = 14 - limits.STATE_SHIFT
# A bias beyond which a membrane is clipped all the same.
_BIAS_LIMIT = 2**26


@dataclass(frozen=True)
class Layout:
    """Where the neurons of a population lie.

    Attributes:
        place: int32 [padded]: the neuron in C order at each position, -1 for padding.
        position: int64 [neurons]: the position of each neuron.
        block: neurons side by side that a convolution reaches together.
        width: neurons of a pixel, or all of them where there are no pixels, with padding.
        channels: neurons of a pixel with padding, 1 where there are no pixels.
    """

    place: NDArray[np.int32]
    position: NDArray[np.int64]
    block: int
    width: int
    channels: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Layout:
        """Of a population: channels last where there are pixels, in C order otherwise."""
        neurons = int(np.prod(shape))
        channels = shape[0] if len(shape) > 1 else neurons
        width = padded(channels, LANES)
        place = np.full((neurons // channels, width), -1, dtype=np.int32)
        place[:, :channels] = np.arange(neurons).reshape(channels, -1).T
        flat = np.append(place.ravel(), np.full(-place.size % GROUP, -1, dtype=np.int32))
        block, held = (width, width) if len(shape) > 1 else (LANES, 1)
        return cls(flat, _inverse(flat, neurons), block, width, held)

    @classmethod
    def of_input(cls, shape: tuple[int, ...]) -> Layout:
        """Of an Input: as a population, without padding."""
        neurons, channels = int(np.prod(shape)), shape[0] if len(shape) > 1 else 1
        place = np.arange(neurons, dtype=np.int32).reshape(channels, -1).T.ravel()
        return cls(place, _inverse(place, neurons), channels, channels, channels)

    def spread(self, table: NDArray[np.int64], absent: int) -> NDArray[np.int32]:
        """`table` [K, neurons] in this layout, modulo 2^32."""
        out = np.full((len(table), self.place.size), absent, dtype=np.int64)
        out[:, self.position] = table
        return np.ascontiguousarray(out.astype(np.uint32)).view(np.int32)


@dataclass(frozen=True)
class Synapses:
    """Weights of one hop, as `hop` in kernels.c; of `dense` and `first` one is None."""

    dense: NDArray[np.int16] | None = None
    most: int = 1
    exponent: int = 0
    first: NDArray[np.int32] | None = None
    runs: NDArray[np.int32] | None = None
    rows: NDArray[Any] | None = None
    width: int = LANES
    divisor: int = 1
    shift: int = 0
    bits: int = 0
    windows: int = 0


def membrane_bias(population: FixedPopulation, layout: Layout) -> NDArray[np.int32]:
    """Biases of the membrane, cut where they clip it anyway; [K, tile] where every pixel has the same."""
    table = layout.spread(np.clip(population.bias_v, -_BIAS_LIMIT, _BIAS_LIMIT), 0)
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
    exponents = {hop.exponent for hop in hops}
    return (
        len(exponents) <= 1
        and max(exponents, default=0) <= _SHIFT_MAX
        and int(np.max(total, initial=0)) <= SHORT_MAX
    )


def wraps(population: FixedPopulation, hops: Sequence[FixedHop]) -> bool:
    """Whether a current could leave 24 bits."""
    return bool(_currents(population, hops).max(initial=0) > limits.SUM_MAX)


def clips(population: FixedPopulation, hops: Sequence[FixedHop]) -> bool:
    """Whether a membrane could leave 24 bits, where no current does and a spike resets to 0."""
    most = (_currents(population, hops) + 1) * 2.0**limits.STATE_SHIFT + abs(population.bias_v).max(axis=0)
    return bool((most * limits.DECAY_ONE > np.asarray(population.dv) * float(limits.STATE_MAX)).any())


def _currents(population: FixedPopulation, hops: Sequence[FixedHop]) -> NDArray[np.float64]:
    """The largest current of each neuron, in units of weights."""
    total = np.abs(population.bias_u).max(axis=0) + sum(_row_sums(hop) << hop.exponent for hop in hops)
    return np.asarray(total / ((np.asarray(population.du) + 1) / limits.DECAY_ONE))


def _row_sums(hop: FixedHop) -> NDArray[np.int64]:
    return np.asarray(abs(hop.matrix.astype(np.int64)).sum(axis=1)).ravel()


class Entries(NamedTuple):
    """Weights of a hop by position of source and target, for `sources` and `targets` positions in all."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.int64]
    sources: int
    targets: int

    @classmethod
    def of(cls, hop: FixedHop, source: Layout, target: Layout, into_narrow: bool) -> Entries:
        """In the layouts of both ends; a narrow current holds neurons 0, 4, 1, 5, 2, 6, 3 and 7 of each 8."""
        coo = hop.matrix.tocoo()
        at = target.position[coo.row]
        if into_narrow:
            at = at & ~7 | (at & 3) << 1 | at >> 2 & 1
        return cls(
            source.position[coo.col],
            at,
            coo.data.astype(np.int64),
            source.place.size,
            target.place.size,
        )


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
