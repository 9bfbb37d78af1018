"""Splitting populations over cores: the fewest equal slices, or Loihi 2's convolution tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from cost_models.fit.report import Region


def flat(size: int, parts: int) -> tuple[Region, ...]:
    """`parts` nearly equal runs of `size` flattened neurons, in order."""
    edges = [(size * part) // parts for part in range(parts + 1)]
    return tuple(((start, stop),) for start, stop in pairwise(edges))


def fewest_flat(size: int, least: int, fits: Callable[[int, int], bool]) -> tuple[Region, ...]:
    """The fewest equal slices, `least` or more, of which each fits; one neuron must fit alone.

    Doubling, then bisection: what a slice uses never grows when it shrinks.
    """

    def good(parts: int) -> bool:
        return all(fits(*region[0]) for region in flat(size, parts))

    low, high = least - 1, least
    while high < size and not good(high):
        low, high = high, min(2 * high, size)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return flat(size, high)


def fewest_tiles(
    shape: tuple[int, int, int], neurons: int, fits: Callable[[int, int], bool]
) -> tuple[Region, ...] | None:
    """The fewest tiles of a convolution population [channels, rows, columns], or None where none fits.

    A tile is channels / 2^k x ceil(rows / 2^j) x a power of two columns, with fewer than `neurons`
    neurons; `fits(channels, neurons)` decides on its synapse memory. Ties keep channels together,
    then rows. The rule reproduces all ten YOLO-KP layers of Intel's compiler printout.
    """
    best: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    for tile in product(_halves(shape[0]), _halves(shape[1]), _powers(shape[2])):
        if int(np.prod(tile)) >= neurons or not fits(tile[0], int(np.prod(tile))):
            continue
        cuts = [-(-whole // part) for whole, part in zip(shape, tile, strict=True)]
        rank = (int(np.prod(cuts)), cuts[0], cuts[1])
        if best is None or rank < best[0]:
            best = (rank, tile)
    return None if best is None else tuple(_regions(shape, best[1]))


def members(shape: tuple[int, ...], region: Region) -> NDArray[np.int64]:
    """Flattened indices of the neurons of a region."""
    if len(region) == 1:
        return np.arange(*region[0], dtype=np.int64)
    grid = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    return grid[tuple(slice(*axis) for axis in region)].reshape(-1)


def _halves(size: int) -> Iterator[int]:
    part = 0
    while (size + (1 << part) - 1) >> part > 1:
        yield (size + (1 << part) - 1) >> part
        part += 1
    yield 1


def _powers(size: int) -> Iterator[int]:
    power = 1
    while power < size:
        yield power
        power *= 2
    yield power


def _regions(shape: tuple[int, int, int], tile: tuple[int, int, int]) -> Iterator[Region]:
    axes = [
        [(start, min(start + part, whole)) for start in range(0, whole, part)]
        for whole, part in zip(shape, tile, strict=True)
    ]
    yield from product(*axes)
