"""Tables of the synapses of sources that spike, as `events.c` reads them: dense rows, or runs.

The rows of all channels of a source pixel lie together, and are kept once where they are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.loihi.kernels.pack import LANES, SHORT_MAX, Entries, Layout, Synapses, distinct, padded, places
from targets.loihi.program import FixedHop

_DENSE_LANES = 16
# Largest table of dense rows, in bytes.
_DENSE_BYTES = 1 << 26
# Cycles to find a spike among sources, to begin with one, whose end no processor foresees, and with a run.
_FIND, _BEGIN, _RUN = 0.4, 20, 2
# For a neuron whose currents are those of all neurons of one step, not of a few in many steps.
_WHOLE = 0.5
# Of all sources, those that are taken to spike in a step.
_SHARE = 1 / 20


def events(
    hop: FixedHop, source: Layout, target: Layout, into_narrow: bool, once: bool
) -> tuple[float, Callable[[], Synapses]]:
    """About how many cycles a step takes with the cheaper of dense rows and runs, and what makes these."""
    entries = Entries.of(hop, source, target, into_narrow)
    # A core has 32-bit sums, taken modulo 2^24 in the end.
    shifted = (entries.weight << hop.exponent).astype(np.uint32).view(np.int32)
    kept = entries.weight.astype(np.int16) if into_narrow else shifted
    cycles, packed = min(
        (_runs(entries, kept, source.channels, width) for width in {LANES, target.block}),
        key=lambda found: found[0],
    )
    cycles += 0 if once else _WHOLE * entries.targets
    largest = int(abs(entries.weight).max(initial=1))
    width = padded(int(entries.target.max(initial=0)) + 1, _DENSE_LANES)
    dense_cycles = entries.sources * (_FIND + _SHARE * (_RUN + width / _DENSE_LANES))
    if largest <= SHORT_MAX and 2 * entries.sources * width <= _DENSE_BYTES and dense_cycles <= cycles:
        dense = np.zeros((entries.sources, width), dtype=np.int16)
        dense[entries.source, entries.target] = entries.weight
        most = SHORT_MAX // largest
        packed = Synapses(dense=dense, most=most, exponent=hop.exponent, width=width)
        cycles = dense_cycles
    return cycles, lambda: packed


def _runs(entries: Entries, kept: NDArray[Any], channels: int, width: int) -> tuple[float, Synapses]:
    """Runs of `width` neurons with weights `kept`, and about how many cycles a step takes."""
    pixel, channel = np.divmod(entries.source, channels)
    block, lane = np.divmod(entries.target, width)
    pixels, blocks = -(-entries.sources // channels), -(-entries.targets // width)
    key, which = places(pixel * blocks + block, pixels * blocks)
    values = np.zeros((len(key), channels, width), dtype=kept.dtype)
    values[which, channel, lane] = kept
    rows, place = distinct(values.reshape(len(key), -1))
    first, runs = _shared(key // blocks, key % blocks * width, place * rows.shape[1], pixels)
    vectors = max(1, width * kept.itemsize / (4 * LANES))
    spikes = _SHARE * (_BEGIN * entries.sources + len(key) * channels * (_RUN + 2 * vectors))
    power = channels.bit_length() - 1
    return _FIND * entries.sources + spikes, Synapses(
        first=first,
        runs=runs,
        rows=rows,
        width=width,
        divisor=channels,
        shift=power if 1 << power == channels else -1,
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
