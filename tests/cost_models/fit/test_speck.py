"""Speck 2f against sinabs, and every rule broken once.

Oracle: memory_summary and get_valid_mapping of sinabs 3.1, run without the chip's library; the worked
example of its documentation.
"""

from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest

import cost_models
from cost_models.fit.links import find_links
from cost_models.fit.speck_layers import layer_of
from targets.graph.graph import SpikingGraph

KI = 1024
# Input channels, output channels, kernel, stride, padding, rows, columns -> kernel, neuron words (sinabs).
MEMORY = [
    ((16, 32, 3, 1, 1, 64, 64), 8192, 131072),
    ((2, 8, 3, 1, 1, 64, 64), 256, 32768),
    ((8, 16, 5, 2, 0, 60, 34), 4096, 8192),
    ((1, 1, 1, 1, 0, 1, 1), 1, 1),
    ((24, 100, 7, 1, 3, 10, 12), 196608, 25600),
    ((16, 10, 4, 1, 0, 4, 4), 4096, 10),
]


def conv(inside, outside, kernel, stride, padding, rows, columns):
    weight = np.ones((outside, inside, kernel, kernel), np.float32)
    return nir.Conv2d((rows, columns), weight, stride, padding, 1, 1, np.zeros(outside, np.float32))


def rules(graph: SpikingGraph) -> dict[str, tuple[str, int, int]]:
    report = cost_models.check(graph, "speck2f")
    assert report.fits == (not report.broken)
    return {b.rule: (b.node, b.found, b.allowed) for b in report.broken}


@pytest.mark.parametrize(("layer", "kernel", "neurons"), MEMORY)
def test_memories_are_those_of_sinabs(convnet, layer, kernel, neurons):
    inside, outside, size, stride, padding, rows, columns = layer
    graph = convnet((inside, rows, columns), (outside, size, stride, padding), model="if")
    found = layer_of(graph, find_links(graph), "layer0")
    assert found is not None
    assert (found.kernel_words, found.neuron_words) == (kernel, neurons)


def test_the_worked_example_of_the_documentation_is_refused(convnet):
    report = cost_models.check(convnet((16, 64, 64), (32, 3, 1, 1), model="if"), "speck2f")
    assert [(b.rule, b.node, b.found, b.allowed) for b in report.broken] == [
        ("neuron_memory", "layer0", 128 * KI, 64 * KI)
    ]
    assert report.use["layer0"]["kernel_words"].most == 8 * KI
    assert report.placement == ()


def test_a_network_that_sinabs_maps_gets_a_core_for_each_layer(convnet):
    graph = convnet((2, 64, 64), (16, 3, 1, 1), (16, 3, 2, 1), (32, 3, 2, 1), (128, 3, 2, 1), model="if")
    report = cost_models.check(graph, "speck2f")
    assert report.fits
    assert report.cores == 4
    cores = {part.population: part.core for part in report.placement}
    assert len(set(cores.values())) == 4
    assert cores["layer0"] in (0, 1, 2)  # 64 Ki neurons
    assert cores["layer3"] in (5, 6)  # 64 Ki kernel words


def parallel(neuron, layer, count) -> SpikingGraph:
    """`count` like layers, each with an Input of its own."""
    inside, outside, kernel, stride, padding, rows, columns = layer
    size = tuple((n + 2 * padding - kernel) // stride + 1 for n in (rows, columns))
    nodes, edges = {}, []
    for i in range(count):
        nodes[f"input{i}"] = nir.Input({"input": np.array([inside, rows, columns])})
        nodes[f"c{i}"], nodes[f"layer{i}"] = conv(*layer), neuron("if", (outside, *size))
        nodes[f"output{i}"] = nir.Output({"output": np.array([outside, *size])})
        edges += list(itertools.pairwise((f"input{i}", f"c{i}", f"layer{i}", f"output{i}")))
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


@pytest.mark.parametrize(
    ("layer", "most"), [((2, 16, 3, 1, 1, 64, 64), 3), ((32, 128, 3, 1, 1, 8, 8), 2)]
)  # sinabs maps so many of them and refuses one more
def test_layers_that_compete_for_cores(neuron, layer, most):
    assert cost_models.check(parallel(neuron, layer, most), "speck2f").fits
    report = cost_models.check(parallel(neuron, layer, most + 1), "speck2f")
    assert [(b.rule, b.found, b.allowed) for b in report.broken] == [("assignment", most + 1, most)]
    assert all(f"layer{i}" in report.broken[0].hint for i in range(most + 1))
    assert report.placement == ()


def test_more_layers_than_cores(neuron):
    graph = parallel(neuron, (1, 1, 1, 1, 0, 4, 4), 10)
    assert rules(graph)["cores"] == ("layer9", 10, 9)


def one_layer(chain, neuron, node, before, after, model="if", pool=None) -> SpikingGraph:
    nodes = {"input": nir.Input({"input": np.array(before)})}
    if pool is not None:
        nodes["pool"] = nir.SumPool2d(*(np.array([n, n]) for n in pool))
    return chain(
        {
            **nodes,
            "w": node,
            "lif": neuron(model, after),
            "output": nir.Output({"output": np.array(after)}),
        }
    )


@pytest.mark.parametrize(
    ("node", "before", "after", "expected"),
    [
        (conv(1, 1, 17, 1, 0, 20, 20), (1, 20, 20), (1, 4, 4), {"kernel_size": ("lif", 17, 16)}),
        (conv(1, 1, 3, 3, 0, 9, 9), (1, 9, 9), (1, 3, 3), {"stride": ("lif", 3, 2)}),
        (conv(1, 1, 16, 8, 8, 9, 9), (1, 9, 9), (1, 2, 2), {"padding": ("lif", 8, 7)}),
        (conv(1, 1, 2, 8, 0, 136, 8), (1, 136, 8), (1, 17, 1), {"input_map": ("lif", 136, 128)}),
        (conv(1, 1, 1, 1, 0, 65, 4), (1, 65, 4), (1, 65, 4), {"output_map": ("lif", 65, 64)}),
        (conv(1, 1025, 1, 1, 0, 1, 1), (1, 1, 1), (1025, 1, 1), {"channels": ("lif", 1025, 1024)}),
        (
            nir.Conv2d((4, 4), np.ones((2, 1, 3, 3), np.float32), 1, 1, 1, 2, np.zeros(2, np.float32)),
            (2, 4, 4),
            (2, 4, 4),
            {"dense_kernel": ("lif", 2, 1)},
        ),
        (
            nir.Conv2d((4, 4), np.ones((1, 1, 3, 1), np.float32), 1, (1, 0), 1, 1, np.zeros(1, np.float32)),
            (1, 4, 4),
            (1, 4, 4),
            {"kernel_size": ("lif", 3, 1)},
        ),
    ],
)
def test_every_limit_of_a_layer(chain, neuron, node, before, after, expected):
    assert rules(one_layer(chain, neuron, node, before, after)) == expected


def test_kernels_too_large_for_any_core(convnet):
    graph = convnet((128, 8, 8), (128, 3, 1, 1), model="if")
    assert rules(graph) == {"kernel_memory": ("layer0", 256 * KI, 64 * KI)}


def test_kernel_and_neurons_that_fit_different_cores_only(convnet):
    """64 Ki kernel words are on cores with 16 Ki neuron words."""
    graph = convnet((128, 16, 16), (128, 2, 1, 0), model="if")
    assert rules(graph) == {"core_memory": ("layer0", 32 * KI, 16 * KI)}


def test_neurons_that_leak_and_pools_of_three(chain, neuron):
    node = conv(1, 1, 1, 1, 0, 3, 3)
    graph = one_layer(chain, neuron, node, (1, 9, 9), (1, 3, 3), model="lif", pool=(3, 3, 0))
    assert rules(graph) == {"neuron": ("lif", 1, 0), "pooling": ("lif", 3, 2)}
    overlapping = one_layer(chain, neuron, conv(1, 1, 1, 1, 0, 8, 8), (1, 9, 9), (1, 8, 8), pool=(2, 1, 0))
    assert rules(overlapping) == {"pooling": ("lif", 1, 2)}


def test_a_dense_layer_is_a_kernel_of_its_input(chain, neuron):
    nodes = {
        "input": nir.Input({"input": np.array([2, 8, 8])}),
        "pool": nir.AvgPool2d(*(np.array([n, n]) for n in (2, 2, 0))),
        "flatten": nir.Flatten({"input": np.array([2, 4, 4])}, 0, -1),
        "w": nir.Affine(np.ones((10, 32), np.float32), np.ones(10, np.float32)),
        "lif": neuron("if", (10,)),
        "output": nir.Output({"output": np.array([10])}),
    }
    report = cost_models.check(chain(nodes), "speck2f")
    assert report.fits
    # 2 x 2^(4 + 4), ten neurons of one pixel, ten biases.
    use = {key: value.most for key, value in report.use["lif"].items()}
    assert use == {"kernel_words": 512, "neuron_words": 10, "biases": 10}


def test_wiring_that_the_chip_does_not_have(neuron):
    def dense(n):
        return nir.Linear(np.ones((n, n), np.float32))

    nodes = {"input": nir.Input({"input": np.array([2])})}
    names = ("a", "b", "c", "d")
    nodes |= {name: neuron("if", (2,)) for name in names}
    nodes |= {f"w{name}": dense(2) for name in (*names, "second", "loop")}
    nodes["delay"] = nir.Delay(np.full(2, 1e-3))
    nodes["output"] = nir.Output({"output": np.array([2])})
    edges = [
        ("input", "wa"),
        ("wa", "a"),
        ("a", "wb"),
        ("wb", "b"),
        ("a", "wc"),
        ("wc", "c"),
        ("a", "wd"),
        ("wd", "d"),
    ]
    edges += [
        ("b", "wsecond"),
        ("wsecond", "c"),
        ("d", "wloop"),
        ("wloop", "delay"),
        ("delay", "d"),
        ("d", "output"),
    ]
    found = rules(SpikingGraph.build(nodes, edges, {"dt": 1e-3}))
    assert found["layer"][0] in ("c", "d")
    assert found["recurrence"] == ("d", 1, 0)
    assert found["delay"] == ("d", 1, 0)
    assert found["destinations"] == ("a", 3, 2)
