"""Fit against what compilers printed, and every rule broken once."""

from __future__ import annotations

import itertools
from importlib.resources import files

import nir
import numpy as np
import pytest
from scipy.sparse import csr_matrix

import cost_models
from cost_models.fit.split import fewest_flat, fewest_tiles, members
from cost_models.fit.synapses import loihi1_bits, loihi2_convolution_words, loihi2_sparse_words
from targets.errors import ConfigError, DoesNotFitError, GraphError
from targets.graph.graph import SpikingGraph
from targets.run import Run

LOIHI1, LOIHI2 = cost_models.load_device("loihi1"), cost_models.load_device("loihi2")


def lif(shape):
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)


def cuba(shape):
    one = np.ones(shape, np.float32)
    return nir.CubaLIF(
        tau_syn=one * 0.005, tau_mem=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0
    )


def chain(nodes, **profile):
    names = list(nodes)
    return SpikingGraph.build(nodes, list(itertools.pairwise(names)), {"dt": 1e-3, **profile})


def mlp(*sizes: int, neuron=lif) -> SpikingGraph:
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([sizes[0]]))}
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        nodes[f"w{i}"] = nir.Linear(np.ones((after, before), np.float32))
        nodes[f"layer{i}"] = neuron((after,))
    nodes["output"] = nir.Output(np.array([sizes[-1]]))
    return chain(nodes)


def run_of(graph: SpikingGraph, count: int = 1, steps: int = 10) -> Run:
    names = (*graph.inputs, *graph.populations)
    counts = {name: np.full(graph.shapes[name], count, np.int64) for name in names}
    return Run({}, counts, {}, "by hand", 0.0, steps, 1)


def test_mnist_mlp_takes_the_printed_cores():
    report = cost_models.check(mlp(784, 128, 64, 10, neuron=cuba), "loihi2")
    assert report.population_cores == {"layer0": 3, "layer1": 1, "layer2": 1}
    assert report.cores == 5
    assert report.fits


@pytest.mark.parametrize(("outputs", "words"), [(10, 4), (50, 16), (64, 21)])
def test_dense_row_words_are_the_printed_ones(outputs, words):
    assert loihi2_sparse_words(csr_matrix(np.ones((outputs, 1))), False, 8, LOIHI2) == words


# Channels in, kernel, output shape, weight bits, cores, words a kernel position. Shapes: lava-dl's yolo_kp.py
# on 448 x 448 pixels; the head's 48 channels are 3 anchors x (5 + 11 classes), and 41 to 48 take 6 words.
YOLO_KP = [
    (3, 3, (16, 224, 224), 8, 224, 2),
    (16, 3, (32, 112, 112), 8, 112, 4),
    (32, 3, (64, 56, 56), 6, 56, 6),
    (64, 3, (128, 28, 28), 5, 28, 11),
    (128, 3, (256, 28, 28), 5, 56, 11),
    (256, 3, (256, 14, 14), 5, 16, 5),
    (256, 3, (512, 14, 14), 6, 32, 6),
    (512, 1, (256, 14, 14), 5, 14, 21),
    (256, 3, (512, 14, 14), 6, 32, 6),
    (512, 1, (48, 14, 14), 8, 4, 6),
]


@pytest.mark.parametrize("layer", range(10))
def test_yolo_kp_layers_take_the_printed_cores_and_words(layer):
    inside, kernel, shape, bits, cores, words = YOLO_KP[layer]
    positions = inside * kernel * kernel

    def fits(channels: int, _: int) -> bool:
        return loihi2_convolution_words(positions, channels, bits, LOIHI2) <= 16_000

    tiles = fewest_tiles(shape, 4096, fits)
    assert tiles is not None
    assert len(tiles) == cores
    (first, last), *_ = tiles[0]
    assert loihi2_convolution_words(positions, last - first, bits, LOIHI2) == positions * words


def test_tiles_cover_a_population_once():
    shape = (6, 5, 7)
    tiles = fewest_tiles(shape, 40, lambda channels, neurons: channels <= 3)
    assert tiles is not None
    found = np.concatenate([members(shape, tile) for tile in tiles])
    assert sorted(found.tolist()) == list(range(6 * 5 * 7))


def test_loihi2_convolution_states_what_it_cannot_check():
    kernel = np.ones((8, 2, 3, 3), np.float32)
    graph = chain(
        {
            "input": nir.Input(np.array([2, 32, 32])),
            "conv": nir.Conv2d((32, 32), kernel, 1, 1, 1, 1, np.zeros(8, np.float32)),
            "lif": lif((8, 32, 32)),
            "output": nir.Output(np.array([8, 32, 32])),
        }
    )
    report = cost_models.check(graph, "loihi2")
    assert report.population_cores == {"lif": 4}
    assert report.use["lif"]["synapse_words"].most == 2 * 9 * 1
    assert any("'lif'" in text for text in report.unchecked)
    assert {part.neurons for part in report.placement} == {2048}


def test_loihi1_dense_axon_is_2304_bits():
    assert loihi1_bits(csr_matrix(np.ones((256, 1))), False, 8, LOIHI1) == 2304


@pytest.mark.parametrize(
    ("sizes", "share", "cores"), [((390, 256), 0.857, 1), ((784, 128), 0.861, 1), ((784, 256), None, 2)]
)
def test_loihi1_synapse_memory_shares(sizes, share, cores):
    report = cost_models.check(mlp(*sizes), "loihi1")
    assert report.cores == cores
    assert report.binding == "synapse_bits"
    if share is not None:
        assert report.use["layer0"]["synapse_bits"].share == pytest.approx(share, abs=5e-4)


def test_loihi1_sparse_lists_carry_an_index():
    rows = np.zeros((500, 1))
    rows[::50] = 1.0
    # 10 weights x (8 + 9 bits) + 10 bits of header = 180, in words of 64.
    assert loihi1_bits(csr_matrix(rows), False, 8, LOIHI1) == 192


def test_shared_lists_are_stored_once():
    band = csr_matrix(np.eye(40) + np.eye(40, k=1))
    alone = loihi1_bits(csr_matrix(band[:, 1]), True, 8, LOIHI1)
    # Column 0 lost a weight at the border: two distinct lists.
    assert loihi1_bits(band, True, 8, LOIHI1) == alone + loihi1_bits(csr_matrix(band[:, 0]), True, 8, LOIHI1)
    assert loihi1_bits(band, False, 8, LOIHI1) == 39 * alone + loihi1_bits(
        csr_matrix(band[:, 0]), False, 8, LOIHI1
    )


def test_fewer_weight_bits_take_fewer_cores():
    wide, narrow = (cost_models.check(mlp(784, 1000), "loihi1", weight_bits=b).cores for b in (8, 4))
    assert narrow < wide


def test_compartments_split_in_order_and_tiles_follow_cores():
    report = cost_models.check(mlp(4, 5000), "loihi1-sanafe")
    assert report.cores == 5
    assert [part.region for part in report.placement] == [((i * 1000, (i + 1) * 1000),) for i in range(5)]
    assert [part.tile for part in report.placement] == [(0, 0)] * 4 + [(0, 1)]
    assert report.binding == "compartments"


def test_out_axons_split_a_population(tmp_path):
    text = files("cost_models").joinpath("devices/loihi1.toml").read_text()
    before, after = text.split("[constants.out_axons]")
    small = tmp_path / "small.toml"
    small.write_text(before + "[constants.out_axons]" + after.replace("value = 4096", "value = 40", 1))
    # 30 neurons that each reach 2 cores need 60 out-axons.
    graph = mlp(2, 30, 1100)
    assert cost_models.check(graph, "loihi1").population_cores == {"layer0": 1, "layer1": 2}
    report = cost_models.check(graph, small)
    assert report.population_cores == {"layer0": 2, "layer1": 2}
    assert report.use["layer0"]["out_axons"] == cost_models.Use(30, 40)
    assert report.fits


def test_fan_out_that_splitting_cannot_reduce(tmp_path):
    text = files("cost_models").joinpath("devices/loihi1.toml").read_text()
    before, after = text.split("[constants.out_axons]")
    small = tmp_path / "small.toml"
    small.write_text(before + "[constants.out_axons]" + after.replace("value = 4096", "value = 1", 1))
    report = cost_models.check(mlp(2, 3, 1100), small)
    assert [(b.rule, b.node, b.found, b.allowed) for b in report.broken] == [("fan_out", "layer0", 2, 1)]
    assert report.placement == ()


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_fewest_flat_is_the_fewest(limit):
    def fits(start: int, stop: int) -> bool:
        return stop - start <= limit

    assert len(fewest_flat(50, 1, fits)) == -(-50 // limit)


def broken(graph: SpikingGraph, device: str = "loihi1") -> dict[str, tuple[str, int, int]]:
    report = cost_models.check(graph, device)
    assert not report.fits
    assert report.binding == report.broken[0].rule
    return {b.rule: (b.node, b.found, b.allowed) for b in report.broken}


def test_fan_in_that_splitting_cannot_reduce():
    graph = mlp(4097, 3)
    assert broken(graph) == {"fan_in": ("layer0", 4097, 4096)}
    with pytest.raises(DoesNotFitError, match="fan_in: found 4097, allowed 4096"):
        cost_models.estimate(graph, run_of(graph), "loihi1-sanafe")


def test_too_many_cores_are_reported_and_still_costed():
    graph = mlp(2, 132_000)
    assert broken(graph) == {"cores": ("layer0", 129, 128)}
    assert cost_models.estimate(graph, run_of(graph), "loihi1-sanafe").cores == 129


def delayed(steps: int, neuron=lif) -> SpikingGraph:
    nodes = {
        "input": nir.Input(np.array([3])),
        "delay": nir.Delay(np.full(3, steps * 1e-3)),
        "w": nir.Linear(np.ones((2, 3), np.float32)),
        "lif": neuron((2,)),
        "output": nir.Output(np.array([2])),
    }
    return chain(nodes)


def test_axonal_delay_over_the_range_is_reported_and_relays_are_charged():
    assert cost_models.check(delayed(63), "loihi1").fits
    late = delayed(64)
    # A hop takes one step, so 64 steps leave 63 of axonal delay.
    assert broken(late) == {"axonal_delay": ("lif", 63, 62)}
    near, far = (cost_models.estimate(g, run_of(g), "loihi1-sanafe") for g in (delayed(63), late))
    assert far.terms["axon_out"] == pytest.approx(2 * near.terms["axon_out"])
    assert far.terms["soma_access"] == pytest.approx(near.terms["soma_access"] * (3 + 2 + 3) / (3 + 2))


def test_an_output_behind_weights_is_reported_with_every_other_rule():
    graph = chain(
        {
            "input": nir.Input(np.array([5000])),
            "w": nir.Linear(np.ones((2, 5000), np.float32)),
            "lif": lif((2,)),
            "readout": nir.Linear(np.ones((2, 2), np.float32)),
            "output": nir.Output(np.array([2])),
        }
    )
    assert set(broken(graph)) == {"fan_in", "readout"}


def test_a_cycle_without_enough_delay_is_an_error():
    nodes = {
        "input": nir.Input(np.array([2])),
        "lif": lif((2,)),
        "back": nir.Linear(np.ones((2, 2), np.float32)),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")]
    with pytest.raises(GraphError, match="cycle"):
        cost_models.check(SpikingGraph.build(nodes, edges, {"dt": 1e-3}), "loihi1")


def biased(neuron) -> SpikingGraph:
    bias = np.array([1.0, 0.0, 2.0], np.float32)
    return chain(
        {
            "input": nir.Input(np.array([2])),
            "w": nir.Affine(np.ones((3, 2), np.float32), bias),
            "neuron": neuron((3,)),
            "output": nir.Output(np.array([3])),
        }
    )


def test_a_bias_on_the_synaptic_current_costs_a_constant_source():
    runs = [(g, run_of(g, count=0, steps=10)) for g in (biased(lif), biased(cuba))]
    plain, current = (cost_models.estimate(g, run, "loihi1-sanafe").terms for g, run in runs)
    assert plain["synapse"] == plain["soma_spike"] == plain["axon_out"] == 0
    # One neuron, ten spikes, one packet each, two nonzero biases; 11 aligned steps.
    assert current["synapse"] == pytest.approx(10 * 2 * 35.5e-12)
    assert current["soma_spike"] == pytest.approx(10 * 69.3e-12)
    assert current["axon_out"] == pytest.approx(10 * 111e-12)
    assert current["soma_access"] - plain["soma_access"] == pytest.approx(11 * 51.2e-12)


def test_json_has_the_documented_keys():
    report = cost_models.check(mlp(5000, 2), "loihi1-sanafe").as_json()
    assert {"device", "fits", "cores", "binding", "broken"} <= set(report)
    assert set(report["broken"][0]) == {"rule", "node", "found", "allowed", "hint"}
    assert report["device"] == "loihi1-sanafe"


@pytest.mark.parametrize("bits", [0, 9, 7.5])
def test_weight_bits_outside_the_range_are_refused(bits):
    with pytest.raises(ConfigError, match="weight_bits"):
        cost_models.check(mlp(2, 2), "loihi1", weight_bits=bits)


def test_a_device_without_rules_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'loihi2'"):
        cost_models.check(mlp(2, 2), "loihi22")
