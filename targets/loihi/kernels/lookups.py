"""Tables of sums by lookup, as `lookups.c` reads them.

What reaches a pixel of the target (all neurons where there are no pixels) lies in a few stretches of a mask.
They are cut into windows of a few bits, and each window has a table with the sums for all that it may hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from targets.loihi.kernels.pack import SHORT_MAX, Entries, Layout, Synapses, places
from targets.loihi.program import FixedHop

# Bits of a run, as one word of a mask holds them, shifted to the size of a row.
_RUN_BITS = 48
# Bits of a window, and the largest tables for them, in bytes: many bits pay while the tables stay near.
_WINDOWS = {8: 1 << 19, 4: 1 << 26, 1: math.inf}
_STRIPS = (32, 16, 8)
_LANES = 16
# Bytes of a line of the cache.
_LINE = 64
# Most bits of a window where steps are taken one by one, which leaves tables no time to come near.
_ONCE = 4
# Runs whose sums are kept in registers, at most.
_RUNS = 8
# Cycles to read a window of a mask, and to begin with a run.
_WINDOW, _RUN = 1, 2


class _Kind(NamedTuple):
    """Pixels of the target with the same synapses: `bits` counted from the first one's, int16 `weights`."""

    bits: NDArray[np.int64]
    weights: NDArray[np.int16]
    pixels: list[int]


@dataclass
class _Store:
    """Weights int16 [windows, bits, width] of all runs, equal ones once."""

    size: int
    weights: bytearray = field(default_factory=bytearray)
    known: dict[bytes, int] = field(default_factory=dict)

    def place(self, run: NDArray[np.int16]) -> int:
        """The window at which `run` begins."""
        content = run.tobytes()
        if content not in self.known:
            found = self.weights.find(content)
            while found > 0 and found % self.size:
                found = self.weights.find(content, found + 1)
            if found < 0:
                found = len(self.weights)
                self.weights += content
            self.known[content] = found // self.size
        return self.known[content]


def lookups(
    hop: FixedHop, source: Layout, target: Layout, into_narrow: bool, once: bool
) -> tuple[float, Callable[[], Synapses]]:
    """About how many cycles a step takes, and what makes the tables; `once`: steps are taken one by one."""
    entries = Entries.of(hop, source, target, into_narrow)
    # Neighbours that fit one strip may share their windows.
    widths = {target.width, _STRIPS[0] if _STRIPS[0] % target.width == 0 else target.width}
    return min(
        (_looked_up(entries, width, hop.exponent, into_narrow, once) for width in sorted(widths)),
        key=lambda found: found[0],
    )


def _looked_up(
    entries: Entries, width: int, exponent: int, into_narrow: bool, once: bool
) -> tuple[float, Callable[[], Synapses]]:
    origin, kinds = _kinds(entries, width)
    # No sum into a narrow current leaves 16 bits.
    largest = 1 if into_narrow else int(abs(entries.weight).max(initial=1))
    for bits, most in _WINDOWS.items():
        if once and bits > _ONCE:
            continue
        store = _Store(2 * bits * width)
        longest = max(1, min(_RUN_BITS, SHORT_MAX // largest) // bits)
        cut = [_cut(kind.bits, bits, longest) for kind in kinds]
        runs = [_placed(kind, found, bits, store) for kind, found in zip(kinds, cut, strict=True)]
        windows = len(store.weights) // store.size
        if 2 * windows * width << bits <= most:
            break
    first = np.zeros((len(origin), 3), dtype=np.int32)
    ends = itertools.accumulate(len(found) for found in runs)
    cycles, strips = 0.0, len(_strips(width))
    for kind, found, end in zip(kinds, runs, ends, strict=True):
        first[kind.pixels] = [(origin[i], end - len(found), end) for i in kind.pixels]
        each = sum(count for _, count, _ in found)
        cycles += len(kind.pixels) * (strips * (_RUN * len(found) + _WINDOW * each) + each * width / _LANES)
    made = Synapses(
        most=max(1, min(_RUNS, SHORT_MAX // (longest * bits * largest))),
        exponent=exponent,
        first=first,
        runs=np.asarray([run for found in runs for run in found], dtype=np.int32).reshape(-1, 3),
        width=width,
        bits=bits,
        windows=windows,
    )
    weights = np.frombuffer(store.weights, np.int16).reshape(windows, bits, width)
    return cycles, lambda: replace(made, rows=_tables(weights))


def _kinds(entries: Entries, width: int) -> tuple[NDArray[np.int64], list[_Kind]]:
    """The first bit that reaches each pixel, and the kinds of pixels, those with the most synapses first."""
    pixels = entries.targets // width
    pixel, lane = np.divmod(entries.target, width)
    key, which = places(pixel * entries.sources + entries.source, pixels * entries.sources)
    weights = np.zeros((len(key), width), dtype=np.int16)
    weights[which, lane] = entries.weight
    pixel, bit = np.divmod(key, entries.sources)
    origin = np.zeros(pixels, dtype=np.int64)
    kinds: dict[tuple[bytes, bytes], _Kind] = {}
    for i, (a, b) in enumerate(itertools.pairwise(np.searchsorted(pixel, np.arange(pixels + 1)))):
        if a == b:
            continue
        origin[i] = bit[a]
        held = bit[a:b] - bit[a]
        kind = kinds.setdefault((held.tobytes(), weights[a:b].tobytes()), _Kind(held, weights[a:b], []))
        kind.pixels.append(i)
    return origin, sorted(kinds.values(), key=lambda kind: len(kind.bits), reverse=True)


def _cut(held: NDArray[np.int64], bits: int, longest: int) -> list[tuple[int, int]]:
    """Runs of windows that cover the bits `held`: the first bit, and up to `longest` windows side by side."""
    runs: list[tuple[int, int]] = []
    i = 0
    while i < len(held):
        start, count = runs[-1] if runs else (0, longest)
        if count < longest and held[i] < start + (count + 1) * bits:
            runs[-1] = start, count + 1
        else:
            runs.append((int(held[i]), 1))
        i = int(np.searchsorted(held, runs[-1][0] + runs[-1][1] * bits))
    return runs


def _placed(kind: _Kind, cut: list[tuple[int, int]], bits: int, store: _Store) -> list[tuple[int, int, int]]:
    """The runs of a kind as `runs` of lookups.c: first bit, windows, first table."""
    starts = np.concatenate([start + bits * np.arange(count) for start, count in cut])
    window = np.searchsorted(starts, kind.bits, side="right") - 1
    weights = np.zeros((len(starts), bits, kind.weights.shape[1]), dtype=np.int16)
    weights[window, kind.bits - starts[window]] = kind.weights
    ends = itertools.accumulate(count for _, count in cut)
    return [
        (start, count, store.place(weights[end - count : end]))
        for (start, count), end in zip(cut, ends, strict=True)
    ]


def _tables(weights: NDArray[np.int16]) -> NDArray[np.int16]:
    """Sums of `weights` [windows, bits, width] for all that a window may hold, strip by strip.

    A row more a window spreads what is read most over the cache, and no row of 32 crosses its lines.
    """
    windows, bits, width = weights.shape
    states = (1 << bits) + 1
    room = np.zeros(windows * states * width + _LINE // 2, dtype=np.int16)
    tables = room[-room.ctypes.data % _LINE // 2 :][: windows * states * width]
    for at, strip in _strips(width):
        part = tables[windows * states * at :][: windows * states * strip].reshape(windows, states, strip)
        for bit in range(bits):
            one = 1 << bit
            part[:, one : 2 * one] = part[:, :one] + weights[:, bit, None, at : at + strip]
    return tables


def _strips(width: int) -> list[tuple[int, int]]:
    """Where the strips of `width` neurons begin, and their lengths."""
    found, at = [], 0
    for strip in _STRIPS:
        while at + strip <= width:
            found.append((at, strip))
            at += strip
    return found
