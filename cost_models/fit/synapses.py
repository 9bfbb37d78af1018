"""Synapse memory of one slice of one connection, in the formats that the chips have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cost_models.device import Device
from targets.errors import ConfigError

Integers = NDArray[np.int64]


def loihi1_bits(rows: csr_matrix, shared: bool, weight_bits: int, device: Device) -> int:
    """Synapse bits of `rows` [neurons of the slice, sources] on a Loihi 1 core.

    One synapse list an axon, cut into blocks of at most 64 weights, each with a header and rounded
    up to a whole word. Dense lists run from the first to the last target, sparse ones carry an
    index with each weight; the cheaper format is taken for the whole slice. Shared connections
    store equal lists once. Source: nengo-loihi's synapse format.
    """
    columns = _Columns(rows)
    keep = columns.distinct() if shared else slice(None)
    counts, spans = columns.counts[keep], columns.spans[keep]
    weight = _at_least(device, "weight_bits", weight_bits)
    index = _at_least(device, "index_bits", int(np.ceil(np.log2(max(rows.shape[0], 2)))))
    return min(_blocks(spans, weight, device), _blocks(counts, weight + index, device))


def loihi2_sparse_words(rows: csr_matrix, shared: bool, weight_bits: int, device: Device) -> int:
    """Synapse words of `rows` on a Loihi 2 core as sparse rows, one an in-axon.

    words = ceil((synapses x (weight + index bits) + header) / word). Source: Intel compiler
    printouts (dense layers). Shared connections store equal rows once.
    """
    columns = _Columns(rows)
    keep = columns.distinct() if shared else slice(None)
    bits = columns.counts[keep] * (weight_bits + device.integer("index_bits")) + device.integer(
        "row_header_bits"
    )
    return int((-(-bits // device.integer("word_bits"))).sum())


def loihi2_convolution_words(positions: int, channels: int, weight_bits: int, device: Device) -> int:
    """Synapse words of a convolution tile on a Loihi 2 core.

    For each of `positions` = input channels x kernel rows x kernel columns:
    ceil(channels x weight bits / word), and one more above 64 channels. Source: Intel compiler
    printouts (all ten YOLO-KP layers).
    """
    words = -(-channels * weight_bits // device.integer("word_bits"))
    return positions * (words + int(channels > device.integer("shared_free_channels")))


def _at_least(device: Device, key: str, needed: int) -> int:
    widths = [int(width) for width in device.series(key) if width >= needed]
    if not widths:
        raise ConfigError(f"{device.file}: constants.{key}: none of {device.series(key)} holds {needed} bits")
    return min(widths)


def _blocks(weights: Integers, bits: int, device: Device) -> int:
    """Bits of lists with so many weights each."""
    block, header = device.integer("block_weights"), device.integer("block_header_bits")
    word = device.integer("word_bits")

    def rounded(size: Any) -> Any:
        return -(-(size * bits + header) // word) * word

    full, rest = weights // block, weights % block
    return int((full * rounded(block) + np.where(rest > 0, rounded(rest), 0)).sum())


class _Columns:
    """The columns of a slice that hold a synapse: counts, spans, and which repeat another."""

    def __init__(self, rows: csr_matrix) -> None:
        columns = rows.tocsc()
        self._data, self._indices = columns.data, columns.indices.astype(np.int64)
        counts = np.diff(columns.indptr)
        self._starts = columns.indptr[:-1][counts > 0]
        self.counts: Integers = counts[counts > 0].astype(np.int64)
        last = self._indices[self._starts + self.counts - 1] if self.counts.size else self._starts
        self._first = self._indices[self._starts] if self.counts.size else self._starts
        self.spans: Integers = np.asarray(last - self._first + (self.counts > 0), dtype=np.int64)

    def distinct(self) -> Integers:
        """One column of each set that differs only by an offset of its targets (64-bit hash)."""
        if not self.counts.size:
            return np.zeros(0, dtype=np.int64)
        offset = (self._indices - np.repeat(self._first, self.counts)).astype(np.uint64)
        mixed = _mix(self._data.astype(np.float64).view(np.uint64) ^ _mix(offset))
        total = np.add.reduceat(mixed, self._starts) + self.counts.astype(np.uint64)
        return np.unique(total, return_index=True)[1]


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood, OOPSLA 2014), wrapping at 64 bits."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
