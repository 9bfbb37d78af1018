"""Splitting populations over cores: the fewest slices, or Loihi 2's convolution tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import prod

import numpy as np
from numpy.typing import NDArray

from cost_models.fit.report import Region

Load = Callable[[int, int], float]
Fits = Callable[[int, int], bool]


def flat(size: int, parts: int) -> tuple[Region, ...]:
    """`parts` nearly equal runs of `size` flattened neurons, in order."""
    edges = [(size * part) // parts for part in range(parts + 1)]
    return tuple(((start, stop),) for start, stop in pairwise(edges))


def fewest_flat(size: int, longest: int, load: Load, units: Sequence[int] = (1,)) -> tuple[Region, ...]:
    """The fewest slices of at most `longest` neurons with a load of at most 1; a neuron must fit alone.

    A slice's load must not shrink when it grows by a unit. Then filling one core after the other takes
    the fewest, and no more neurons or synapses can take fewer. Where as many equal slices fit, they are
    taken, since they balance the work.

    Args:
        units: sizes of what is better not cut, the last 1: slices of whole channels share kernels that
            others cut apart. Equal slices that cut the first are taken where they are fewer.
    """
    units = [unit for unit in units if unit == 1 or (unit <= longest and load(0, unit) <= 1)]

    def equal(unit: int, parts: int) -> tuple[Region, ...]:
        regions = _times(flat(size // unit, parts), unit)
        within = all(stop - start <= longest for ((start, stop),) in regions)
        return regions if within and all(load(*region[0]) <= 1 for region in regions) else ()

    def fill(unit: int) -> tuple[Region, ...]:
        found = _fill(size // unit, longest // unit, lambda start, stop: load(start * unit, stop * unit))
        return equal(unit, len(found)) or _times(found, unit)

    least = -(-size // longest)
    best = next((regions for unit in units if (regions := equal(unit, least))), ()) or fill(units[0])
    for parts in range(least + 1, len(best)):
        for unit in units[1:]:
            if regions := equal(unit, parts):
                return regions
    return best


def _times(regions: tuple[Region, ...], unit: int) -> tuple[Region, ...]:
    return tuple(((start * unit, stop * unit),) for ((start, stop),) in regions)


def _fill(size: int, longest: int, load: Load) -> tuple[Region, ...]:
    """Slices in order, each as long as it can be; the last length is the first guess for the next."""
    regions: list[Region] = []
    start, guess = 0, longest
    while start < size:
        most = min(longest, size - start)
        guess = _longest_that_fits(start, min(guess, most), most, load)
        regions.append(((start, start + guess),))
        start += guess
    return tuple(regions)


def _longest_that_fits(start: int, guess: int, most: int, load: Load) -> int:
    """The longest slice from `start` on: steps that double up to a bracket, then interpolation and
    bisection in turns."""
    low, high, step, by_load = (1, 0.0), (most + 1, math.inf), 1, False
    while high[0] - low[0] > 1:
        found = load(start, start + guess)
        if found > 1:
            high = (guess, found)
        else:
            low = (guess, found)
        if math.isinf(high[1]):
            guess, step = min(low[0] + step, most), 2 * step
            continue
        by_load = not by_load
        part = (1 - low[1]) / (high[1] - low[1]) if by_load else 0.5
        guess = min(max(low[0] + int(part * (high[0] - low[0])), low[0] + 1), high[0] - 1)
    return low[0]


def fewest_tiles(
    shape: Sequence[int], neurons: int, fits: Fits, least: int = 1, whole: bool = False
) -> tuple[Region, ...] | None:
    """The fewest tiles, `least` or more, of a convolution population [channels, (rows,) columns], or None.

    A tile has fewer than `neurons` neurons; `fits(channels, neurons)` decides on its synapse memory.
    Columns are cut into runs of a power of two, rows and channels into 2^j and 2^k nearly equal parts;
    the older compiler keeps rows and channels `whole`. Ties keep channels together, then rows. The rule
    reproduces the cores of all convolutions in Intel's compiler printouts (YOLO-KP; PilotNet: the older).
    """
    *outer, columns = shape
    best: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    for cuts in product(*((1,) if whole else _powers(size) for size in outer)):
        for width in _widths(columns):
            tile = [-(-size // cut) for size, cut in zip(outer, cuts, strict=True)] + [width]
            count = prod(cuts) * -(-columns // width)
            rank = (count, *cuts)
            if count < least or (best is not None and best[0] <= rank):
                continue
            if prod(tile) < neurons and fits(tile[0], prod(tile)):
                best = (rank, (*cuts, width))
    return None if best is None else tuple(_regions(shape, best[1]))


def members(shape: tuple[int, ...], region: Region) -> NDArray[np.int64]:
    """Flattened indices of the neurons of a region."""
    if len(region) == 1:
        return np.arange(*region[0], dtype=np.int64)
    grid = np.arange(prod(shape), dtype=np.int64).reshape(shape)
    return grid[tuple(slice(*axis) for axis in region)].reshape(-1)


def part_of(values: NDArray[np.int64], shape: tuple[int, ...], region: Region) -> NDArray[np.int64]:
    """Values of the neurons of a region, of values [neurons]."""
    if len(region) == 1:
        return values[slice(*region[0])]
    return values.reshape(shape)[tuple(slice(*axis) for axis in region)]


def _powers(size: int) -> Iterator[int]:
    """Numbers of parts: powers of two below `size`, and `size`."""
    power = 1
    while power < size:
        yield power
        power *= 2
    yield size


def _widths(size: int) -> Iterator[int]:
    """Powers of two up to the first that spans `size`."""
    width = 1
    while width < size:
        yield width
        width *= 2
    yield width


def _regions(shape: Sequence[int], cuts: Sequence[int]) -> Iterator[Region]:
    *outer, columns = shape
    *parts, width = cuts
    axes = [[region[0] for region in flat(*axis)] for axis in zip(outer, parts, strict=True)]
    axes.append([(start, min(start + width, columns)) for start in range(0, columns, width)])
    yield from product(*axes)
