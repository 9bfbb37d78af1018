"""A convolution over one axis shares its kernel, like one over two."""

from __future__ import annotations

import itertools

import nir
import numpy as np

from cost_models.fit.network import chip_network
from targets import SpikingGraph


def test_one_axis_is_held_like_two() -> None:
    weight = np.random.default_rng(0).integers(1, 9, (6, 4, 3)) / 8
    found = []
    for shape, conv in (
        ((4, 60), nir.Conv1d(None, weight, 1, "same", 1, 1, np.zeros(6))),
        ((4, 1, 60), nir.Conv2d(None, weight[:, :, None], 1, "same", 1, 1, np.zeros(6))),
    ):
        one = np.ones((6, *shape[1:]))
        nodes = {
            "in": nir.Input(np.array(shape)),
            "c": conv,
            "if": nir.IF(one * 1e3, one),
            "out": nir.Output(np.array([1])),
        }
        graph = SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": 1e-3})
        (connection,) = chip_network(graph, None).connections
        found.append((connection.shared, connection.matrix))
    (line_shared, line), (plane_shared, plane) = found
    assert line_shared
    assert plane_shared
    assert (line != plane).nnz == 0
