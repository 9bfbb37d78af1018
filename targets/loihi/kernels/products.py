"""Tables of products that skip no source, as `hop` in kernels.c reads them.

A target's neurons side by side, those of a pixel or all of them, are a row; what one source pixel gives
them is a block of weights. Rows of the same blocks are multiplied together, so each weight is read once for
several of them. Where a row lacks a block, as at the edge of a picture, it reads zeros instead.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.loihi.kernels.pack import Layout, distinct, padded, places
from targets.loihi.program import FixedHop

# As in products.c.
_STRIP = 16
_VALUES = 16
# Kinds of rows that others are tried to join, and blocks that a row may be short of, of those it has.
_KINDS = 16
_SHORT = 1.7


@dataclass(frozen=True)
class Products:
    """Weights of one hop, as `hop` in kernels.c."""

    weights: NDArray[np.int16]
    blocks: NDArray[np.int32]
    table: NDArray[np.int32]
    kinds: NDArray[np.int64]
    kind_count: int
    pairs: int
    size: int
    exponent: int
    width: int
    divisor: int
    planar: int


@dataclass(frozen=True)
class _Source:
    """Where the values of a source lie: channel c of pixel p at p * channels + c, zeros from `zeros` on."""

    pixels: int
    channels: int
    divisor: int
    planar: bool
    zeros: int

    @classmethod
    def of(cls, source: Layout | None, shape: tuple[int, ...]) -> _Source:
        neurons = int(np.prod(shape))
        size = neurons if source is None else source.place.size
        if len(shape) == 1:
            return cls(1, padded(size, 2), padded(size, 2), False, padded(size, _VALUES))
        if source is None:
            channels, pixels = padded(shape[0], 2), neurons // shape[0]
            return cls(pixels, channels, pixels, True, padded(pixels * channels, _VALUES))
        return cls(size // source.block, source.block, source.block, False, size)

    def split(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pixel and channel of positions in the masks."""
        whole, rest = np.divmod(positions, self.divisor)
        return (rest, whole) if self.planar else (whole, rest)


def products(hop: FixedHop, source: Layout | None, target: Layout, shape: tuple[int, ...]) -> Products:
    """Tables of `hop`; `source` is None for an input of `shape`, kept in C order."""
    values, coo = _Source.of(source, shape), hop.matrix.tocoo()
    pixel, channel = values.split(coo.col.astype(np.int64) if source is None else source.position[coo.col])
    width = target.width
    row, lane = np.divmod(target.position[coo.row], width)
    rows = int(row.max(initial=0)) + 1
    key, which = places(row * values.pixels + pixel, rows * values.pixels)
    blocks = np.zeros((len(key), values.channels // 2, width, 2), dtype=np.int16)
    blocks[which, channel // 2, lane, channel % 2] = coo.data
    weights, place = distinct(_strips(blocks))
    row, pixel = np.divmod(key, values.pixels)
    start = np.searchsorted(row, np.arange(rows + 1))
    members = [
        sorted(zip(place[a:b].tolist(), (pixel[a:b] * values.channels).tolist(), strict=True))
        for a, b in itertools.pairwise(start)
    ]
    kinds, used, table = _table(members, width, values.zeros)
    return Products(
        weights=weights,
        blocks=np.asarray(used, dtype=np.int64).astype(np.int32) * np.int32(weights.shape[1]),
        table=np.asarray(table, dtype=np.int32),
        kinds=np.asarray(kinds, dtype=np.int64).reshape(-1, 4),
        kind_count=len(kinds),
        pairs=values.channels // 2,
        size=values.zeros + padded(values.channels, _VALUES),
        exponent=hop.exponent,
        width=width,
        divisor=values.divisor,
        planar=int(values.planar),
    )


def _strips(blocks: NDArray[np.int16]) -> NDArray[np.int16]:
    """Blocks [K, pairs, width, 2] as [K, the weights of each strip one after the other]."""
    parts = np.split(blocks, range(_STRIP, blocks.shape[2], _STRIP), axis=2)
    return np.concatenate([part.reshape(len(blocks), -1) for part in parts], axis=1)


def _table(
    members: list[list[tuple[int, int]]], width: int, zeros: int
) -> tuple[list[tuple[int, int, int, int]], list[int], list[int]]:
    """`kinds`, `blocks` by number, and `table`, of rows given as their (block, source values) in order."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for number, found in enumerate(members):
        if found:
            rows.setdefault(tuple(block for block, _ in found), []).append(number)
    joined: dict[tuple[int, ...], list[int]] = {}
    for blocks in sorted(rows, key=len, reverse=True):
        home = next((k for k in list(joined)[:_KINDS] if _joins(blocks, k)), blocks)
        joined.setdefault(home, []).extend(rows[blocks])
    kinds: list[tuple[int, int, int, int]] = []
    used: list[int] = []
    table: list[int] = []
    for blocks, numbers in joined.items():
        kinds.append((len(table), len(numbers), len(used), len(blocks)))
        used += blocks
        for number in sorted(numbers):
            table += [number * width, *_sources(members[number], blocks, zeros)]
    return kinds, used, table


def _joins(blocks: tuple[int, ...], kind: tuple[int, ...]) -> bool:
    """Whether a row of these blocks may be multiplied as one of `kind`."""
    return len(kind) <= _SHORT * len(blocks) and Counter(blocks) <= Counter(kind)


def _sources(members: list[tuple[int, int]], blocks: tuple[int, ...], zeros: int) -> list[int]:
    """For each of `blocks` where its values lie."""
    left, found = list(members), []
    for block in blocks:
        found.append(left.pop(0)[1] if left and left[0][0] == block else zeros)
    return found
