"""Synapse formats against nengo-loihi's and by hand, and the splits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

import cost_models
from cost_models.fit.split import fewest_flat, fewest_tiles, members
from cost_models.fit.synapses import (
    Lists,
    Synapses,
    loihi1_formats,
    loihi2_convolution_words,
    loihi2_dense_words,
    loihi2_sparse_words,
)

LOIHI1, LOIHI2 = cost_models.load_device("loihi1"), cost_models.load_device("loihi2")


def lists(rows, shared=False) -> Lists:
    matrix = csr_matrix(rows)
    return Synapses(matrix, shared).lists(0, matrix.shape[0])


def test_loihi1_dense_axon_is_2304_bits():
    assert loihi1_formats(Lists.full(256, 1), 8, LOIHI1)["dense"] == 2304


def test_loihi1_sparse_lists_carry_an_index():
    rows = np.zeros((500, 1))
    rows[::50] = 1.0
    # 10 weights x (8 + 9 bits) + 10 bits of header = 180, in words of 64; dense they span 451 weights.
    assert loihi1_formats(lists(rows), 8, LOIHI1) == {"dense": 7 * 576 + 64, "sparse": 192}


def test_shared_lists_are_stored_once():
    band = csr_matrix(np.eye(40) + np.eye(40, k=1))
    alone, border = (loihi1_formats(lists(band[:, c]), 8, LOIHI1)["dense"] for c in (1, 0))
    # Column 0 lost a weight at the border: two distinct lists.
    assert loihi1_formats(lists(band, shared=True), 8, LOIHI1)["dense"] == alone + border
    assert loihi1_formats(lists(band), 8, LOIHI1)["dense"] == 39 * alone + border


@pytest.mark.parametrize("density", [0.02, 0.4])
@pytest.mark.parametrize("window", [(7, 31), (0, 40), (39, 40)])
def test_lists_of_a_slice_are_those_counted_by_hand(density, window):
    """Few synapses a source are sorted, many are found by bisection."""
    rng = np.random.default_rng(int(100 * density))
    matrix = csr_matrix(random(40, 200, density, random_state=rng))
    dense = matrix[slice(*window)].toarray()
    found = Synapses(matrix, shared=False).lists(*window)
    columns = [np.flatnonzero(column) for column in dense.T if column.any()]
    assert found.rows == window[1] - window[0]
    assert found.axons == len(columns)
    assert found.counts.tolist() == [c.size for c in columns]
    assert found.spans.tolist() == [c[-1] - c[0] + 1 for c in columns]


@pytest.mark.parametrize("density", [0.1, 0.5])
@pytest.mark.parametrize("window", [(0, 30), (11, 23), (2, 29)])
def test_repeated_lists_are_found_whatever_their_offset(density, window):
    rng = np.random.default_rng(int(10 * density))
    weights = rng.choice([0.5, -0.25, 0.125], size=(30, 400)) * (rng.random((30, 400)) < density)
    dense = np.where(np.arange(400) % 2, weights, np.roll(weights, (1, 1), axis=(0, 1)))
    lists = [np.trim_zeros(column) for column in dense[slice(*window)].T if column.any()]
    found = Synapses(csr_matrix(dense), shared=True).lists(*window)
    assert found.axons == len(lists)
    assert found.counts.size == len({tuple(one) for one in lists})


def test_a_full_connection_is_counted_as_its_matrix():
    full, matrix = Lists.full(30, 7), lists(np.ones((30, 7)))
    assert loihi1_formats(full, 5, LOIHI1) == loihi1_formats(matrix, 5, LOIHI1)
    assert loihi2_sparse_words(full, 5, LOIHI2) == loihi2_sparse_words(matrix, 5, LOIHI2)
    assert loihi2_dense_words(full, 5, LOIHI2) == loihi2_dense_words(matrix, 5, LOIHI2)


def test_loihi2_formats_by_hand():
    rows = np.zeros((100, 2))
    rows[[3, 7, 90], 0] = 1.0
    rows[5, 1] = 1.0
    # 3 x 20 + 24 = 84 bits and 20 + 24 = 44 bits; dense 88 x 8 + 24 = 728 and 8 + 24 = 32 bits.
    assert loihi2_sparse_words(lists(rows), 8, LOIHI2) == 2 + 1
    assert loihi2_dense_words(lists(rows), 8, LOIHI2) == 12 + 1
    assert loihi2_convolution_words(9, 64, 8, LOIHI2) == 9 * 8
    assert loihi2_convolution_words(9, 65, 8, LOIHI2) == 9 * (9 + 1)


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_fewest_flat_is_the_fewest(limit):
    regions = fewest_flat(50, 50, lambda start, stop: (stop - start) / limit)
    assert len(regions) == -(-50 // limit)
    assert [start for ((start, _),) in regions[1:]] == [stop for ((_, stop),) in regions[:-1]]


@pytest.mark.parametrize("seed", range(5))
def test_fewest_flat_beats_every_number_of_cuts(seed):
    """Fewest contiguous slices of unlike neurons under a sum: dynamic programming is the oracle."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 20, size=40)
    total = np.concatenate([[0], np.cumsum(weight)])
    best = [0]
    for stop in range(1, 41):
        fits = [start for start in range(stop) if total[stop] - total[start] <= 30 and stop - start <= 9]
        best.append(1 + min(best[start] for start in fits))
    assert len(fewest_flat(40, 9, lambda start, stop: (total[stop] - total[start]) / 30)) == best[-1]


def test_tiles_cover_a_population_once():
    shape = (6, 5, 7)
    tiles = fewest_tiles(shape, 40, lambda channels, neurons: channels <= 3)
    assert tiles is not None
    found = np.concatenate([members(shape, tile) for tile in tiles])
    assert sorted(found.tolist()) == list(range(6 * 5 * 7))
    more = fewest_tiles(shape, 40, lambda channels, neurons: channels <= 3, least=len(tiles) + 1)
    assert more is not None
    assert len(more) > len(tiles)
