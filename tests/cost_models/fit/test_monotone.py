"""More neurons, synapses or bits never need fewer cores."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cost_models
from cost_models.fit.split import fewest_tiles

MESH = pytest.mark.parametrize("device", ["loihi1", "loihi2", "loihi2-2022"])
FEW = settings(max_examples=15, deadline=None)


@MESH
@FEW
@given(data=st.data())
def test_wider_dense_layers(mlp, device, data):
    sizes = data.draw(st.lists(st.integers(1, 3000), min_size=2, max_size=4))
    more = [size + data.draw(st.integers(0, 500)) for size in sizes]
    bits = data.draw(st.integers(1, 8))
    wider = data.draw(st.integers(bits, 8))
    small, large = (cost_models.check(mlp(*s), device, b) for s, b in ((sizes, bits), (more, wider)))
    assert small.cores <= large.cores
    assert not (large.fits and not small.fits)


@MESH
@FEW
@given(data=st.data())
def test_more_synapses_and_bits(mlp, device, data):
    """Random synapses in a pruned layer; the larger network keeps them all and has some more."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sources, neurons = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 1500))
    density = data.draw(st.floats(0, 1))
    few = rng.random((neurons, sources)) < density
    many = few | (rng.random((neurons, sources)) < data.draw(st.floats(0, 0.5)))
    bits = data.draw(st.integers(1, 8))
    wider = data.draw(st.integers(bits, 8))
    template = mlp(sources, neurons)
    graphs = [
        template.replace(nodes={**template.nodes, "w0": nir.Linear(m.astype(np.float32))})
        for m in (few, many)
    ]
    small, large = (cost_models.check(g, device, b) for g, b in zip(graphs, (bits, wider), strict=True))
    assert small.cores <= large.cores


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_larger_maps_take_no_fewer_tiles(data):
    shape = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70)))
    more = tuple(size + data.draw(st.integers(0, 10)) for size in shape)
    neurons, channels = data.draw(st.integers(2, 4096)), data.draw(st.integers(1, 70))
    whole = data.draw(st.booleans())

    def fits(found: int, _: int) -> bool:
        return found <= channels

    small, large = (fewest_tiles(s, neurons, fits, whole=whole) for s in (shape, more))
    if large is not None:
        assert small is not None
        assert len(small) <= len(large)


@FEW
@given(data=st.data())
def test_wider_convolutions_on_loihi(convnet, data):
    channels, size = data.draw(st.integers(1, 40)), data.draw(st.integers(3, 24))
    more = channels + data.draw(st.integers(0, 8))
    bits = data.draw(st.integers(1, 8))
    wider = data.draw(st.integers(bits, 8))
    small, large = convnet((2, size, size), (channels, 3, 1, 1)), convnet((2, size, size), (more, 3, 1, 1))
    for device in ("loihi1", "loihi2"):
        counts = [cost_models.check(g, device, b).cores for g, b in ((small, bits), (large, wider))]
        assert counts[0] <= counts[1]
