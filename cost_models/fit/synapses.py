"""Synapse memory of one slice of one connection, in the formats that the chips have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cost_models.device import Device
from targets.errors import ConfigError

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Lists:
    """The synapse lists that a core holds for a slice of a population, one a source neuron.

    Attributes:
        rows: neurons of the slice.
        counts: synapses of each list; lists without one are left out.
        spans: neurons from the first to the last target of each list.
        axons: source neurons with a synapse onto the slice.
        times: how many source neurons have each list.
    """

    rows: int
    counts: Integers
    spans: Integers
    axons: int
    times: int = 1

    @classmethod
    def full(cls, rows: int, sources: int) -> Lists:
        """Every one of `sources` neurons reaches every one of `rows`."""
        one = np.array([rows], dtype=np.int64)
        return cls(rows, one, one, sources, sources)


class Synapses:
    """A matrix [neurons, sources] of synapses, asked for the lists of many slices of its neurons.

    `shared` lists that differ only by an offset of their targets are stored once.
    """

    def __init__(self, matrix: csr_matrix, shared: bool) -> None:
        self._matrix, self._shared = matrix, shared

    def lists(self, start: int, stop: int) -> Lists:
        """Lists of the neurons from `start` to `stop`."""
        rows, sources = self._matrix.shape
        first, last = self._matrix.indptr[start], self._matrix.indptr[stop]
        # A bisection of every list costs about as much as sorting this many synapses.
        if last - first < 8 * sources and stop - start < rows:
            return self._sorted(start, stop)
        begins, ends = self._by_source.place(start), self._by_source.place(stop)
        used = ends > begins
        begins, ends = begins[used], ends[used]
        targets = self._by_source.targets
        hashes = self._by_source.hashes(begins, ends) if self._shared else None
        return _lists(stop - start, ends - begins, targets[begins], targets[ends - 1], hashes)

    @cached_property
    def _by_source(self) -> _BySource:
        return _BySource(self._matrix, self._shared)

    def _sorted(self, start: int, stop: int) -> Lists:
        """The lists of a slice with few synapses, from these alone."""
        pointers = self._matrix.indptr[start : stop + 1]
        entries = slice(pointers[0], pointers[-1])
        sources = self._matrix.indices[entries]
        small = self._matrix.shape[1] < 2**16
        order = np.argsort(sources.astype(np.uint16) if small else sources, kind="stable")
        targets = np.repeat(np.arange(stop - start), np.diff(pointers))[order]
        sources = sources[order]
        begins = np.flatnonzero(np.diff(sources, prepend=-1))
        counts = np.diff(begins, append=sources.size)
        first = targets[begins]
        hashes = None
        if self._shared and sources.size:
            terms = _mix(self._matrix.data[entries][order]) * _powers(_BASE, stop - start)[targets]
            hashes = np.add.reduceat(terms, begins) * _powers(_INVERSE, stop - start)[first]
        return _lists(stop - start, counts, first, targets[begins + counts - 1], hashes)


class _BySource:
    """Synapses in order of their sources, with what makes a part of a list known in one step.

    A list is hashed as a polynomial in the places of its targets, modulo 2^64 (Karp and Rabin, IBM J.
    Res. Dev. 31, 1987): a part of it is a difference of running sums, and an offset of all targets a factor.
    """

    def __init__(self, matrix: csr_matrix, shared: bool) -> None:
        by_source = matrix.tocsc()
        self._neurons, self._sources = matrix.shape
        self._pointers: Integers = by_source.indptr
        self.targets: Integers = by_source.indices
        self._places: dict[int, Integers] = {}
        if shared:
            terms = _mix(by_source.data) * _powers(_BASE, self._neurons)[by_source.indices]
            self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms)])

    @cached_property
    def _keys(self) -> Integers:
        """Source and target of each synapse as one ascending number."""
        sources = np.arange(self._sources, dtype=np.int64) * self._neurons
        return self.targets + np.repeat(sources, np.diff(self._pointers))

    def place(self, neuron: int) -> Integers:
        """Where in each list the targets from `neuron` on begin; the last few answers are kept."""
        if neuron in (0, self._neurons):
            return self._pointers[1:] if neuron else self._pointers[:-1]
        if neuron not in self._places:
            if len(self._places) == 8:
                self._places.pop(next(iter(self._places)))
            keys = np.arange(self._sources, dtype=np.int64) * self._neurons + neuron
            self._places[neuron] = np.searchsorted(self._keys, keys)
        return self._places[neuron]

    def hashes(self, begins: Integers, ends: Integers) -> Hashes:
        """Of parts of lists, alike for lists that differ by an offset."""
        whole = self._sums[ends] - self._sums[begins]
        return whole * _powers(_INVERSE, self._neurons)[self.targets[begins]]


def _lists(rows: int, counts: Integers, first: Integers, last: Integers, hashes: Hashes | None) -> Lists:
    spans, axons = last.astype(np.int64) - first + 1, counts.size
    if hashes is not None:
        once = np.unique(hashes + counts.astype(np.uint64), return_index=True)[1]
        counts, spans = counts[once], spans[once]
    return Lists(rows, counts, spans, axons)


_BASE = 0x9E3779B97F4A7C15  # any odd number
_INVERSE = pow(_BASE, -1, 2**64)


@lru_cache(maxsize=64)
def _powers(base: int, count: int) -> Hashes:
    """base^0, base^1, ... modulo 2^64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _mix(weights: NDArray[np.float64]) -> Hashes:
    """Whole numbers of weights that use all their bits."""
    bits = weights.astype(np.float64, copy=False).view(np.uint64)
    mixed: Hashes = (bits ^ (bits >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed


def loihi1_formats(lists: Lists, weight_bits: int, device: Device, delay: int = 0) -> dict[str, int]:
    """Synapse bits on a Loihi 1 core as `dense` and as `sparse` lists.

    A list is cut into blocks of at most 64 weights, each with a header and rounded up to a whole word.
    Dense lists run from the first to the last target, sparse ones carry an index with each weight. A
    weight on a path with axonal delay carries that too. Source: nengo-loihi's synapse format.
    """
    weight = _at_least(device, "weight_bits", weight_bits) + _at_least(
        device, "delay_bits", delay.bit_length()
    )
    index = _at_least(device, "index_bits", max(lists.rows - 1, 1).bit_length())
    return {
        "dense": lists.times * _blocks(lists.spans, weight, device),
        "sparse": lists.times * _blocks(lists.counts, weight + index, device),
    }


def loihi2_dense_words(lists: Lists, weight_bits: int, device: Device) -> int:
    """Synapse words on a Loihi 2 core as dense rows, one an in-axon.

    ceil((span x weight bits + header) / word). No printout of the compiler shows a fully connected
    layer stored so; sparse rows are what it takes.
    """
    return lists.times * _row_words(lists.spans * weight_bits, device)


def loihi2_sparse_words(lists: Lists, weight_bits: int, device: Device) -> int:
    """Synapse words on a Loihi 2 core as sparse rows, one an in-axon.

    ceil((synapses x (weight + index bits) + header) / word). Source: Intel compiler printouts (dense layers).
    """
    return lists.times * _row_words(lists.counts * (weight_bits + device.integer("index_bits")), device)


def loihi2_convolution_words(positions: int, channels: int, weight_bits: int, device: Device) -> int:
    """Synapse words of a convolution tile on a Loihi 2 core.

    For each of `positions` = input channels x kernel rows x kernel columns:
    ceil(channels x weight bits / word), and one more above 64 channels. Source: Intel compiler
    printouts (all ten YOLO-KP layers, the five convolutions of PilotNet).
    """
    words = -(-channels * weight_bits // device.integer("word_bits"))
    return positions * (words + int(channels > device.integer("shared_free_channels")))


def _row_words(bits: Integers, device: Device) -> int:
    bits = bits + device.integer("row_header_bits")
    return int((-(-bits // device.integer("word_bits"))).sum())


@lru_cache(maxsize=256)
def _at_least(device: Device, key: str, needed: int) -> int:
    widths = [int(width) for width in device.series(key) if width >= needed]
    if not widths:
        raise ConfigError(f"{device.file}: constants.{key}: none of {device.series(key)} holds {needed} bits")
    return min(widths)


@lru_cache(maxsize=256)
def _block_bits(device: Device, bits: int) -> Integers:
    """Bits of a block of 0, 1, ... weights."""
    weights, word = np.arange(device.integer("block_weights") + 1), device.integer("word_bits")
    size = -(-(weights * bits + device.integer("block_header_bits")) // word) * word
    return np.where(weights > 0, size, 0)


def _blocks(weights: Integers, bits: int, device: Device) -> int:
    """Bits of lists with so many weights each."""
    size = _block_bits(device, bits)
    full, rest = np.divmod(weights, size.size - 1)
    return int(full.sum() * size[-1] + size[rest].sum())
