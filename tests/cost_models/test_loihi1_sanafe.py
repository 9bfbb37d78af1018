"""Energy and simple latency against SANA-FE itself, on its own recorded spikes."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import nir
import numpy as np
import pytest

import cost_models
from targets.graph.graph import SpikingGraph
from targets.run import Run

sanafe = pytest.importorskip("sanafe", reason="the peer SANA-FE is not installed")

STEPS = 30


@pytest.fixture(scope="module")
def architecture(tmp_path_factory):
    """SANA-FE's packaged Loihi file with 1 instead of 1024 input units a core, which take seconds to load."""
    text = files("sanafe").joinpath("examples/loihi.yaml").read_text()
    assert "loihi_inputs[0..1023]" in text
    path = tmp_path_factory.mktemp("sanafe") / "loihi.yaml"
    path.write_text(text.replace("loihi_inputs[0..1023]", "loihi_inputs[0..0]"))
    return sanafe.load_arch(path)


def lif(shape):
    one = np.ones(shape, np.float32)
    return nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)


@dataclass(frozen=True)
class Net:
    """A graph, and its synapses as (source, target, format, [(i, j, weight)]) counted by hand."""

    graph: SpikingGraph
    synapses: list[tuple[str, str, str, list[tuple[int, int, float]]]]


def chain(nodes):
    names = list(nodes)
    return SpikingGraph.build(nodes, list(itertools.pairwise(names)), {"dt": 1e-3})


def dense(rng, rows, columns):
    weight = rng.uniform(0.05, 0.3, (rows, columns)).astype(np.float32)
    return weight, [(i, j, float(weight[j, i])) for j in range(rows) for i in range(columns)]


def mlp():
    rng = np.random.default_rng(1)
    first, first_pairs = dense(rng, 12, 20)
    second, second_pairs = dense(rng, 5, 12)
    graph = chain(
        {
            "input": nir.Input(np.array([20])),
            "w1": nir.Linear(first),
            "hidden": lif((12,)),
            "w2": nir.Linear(second),
            "last": lif((5,)),
            "output": nir.Output(np.array([5])),
        }
    )
    return Net(graph, [("input", "hidden", "dense", first_pairs), ("hidden", "last", "dense", second_pairs)])


def convolution_pairs(weight, rows, columns, stride, padding):
    out_rows = (rows + 2 * padding - weight.shape[2]) // stride + 1
    out_columns = (columns + 2 * padding - weight.shape[3]) // stride + 1
    pairs = []
    for (o, i, dy, dx), value in np.ndenumerate(weight):
        for y in range(out_rows):
            for x in range(out_columns):
                in_y, in_x = y * stride + dy - padding, x * stride + dx - padding
                if 0 <= in_y < rows and 0 <= in_x < columns and value:
                    source = (i * rows + in_y) * columns + in_x
                    pairs.append((source, (o * out_rows + y) * out_columns + x, float(value)))
    return pairs


def convolution():
    rng = np.random.default_rng(2)
    kernel = rng.uniform(0.1, 0.4, (3, 2, 3, 3)).astype(np.float32)
    kernel[1, 0, 1, 1] = 0.0
    weight, pairs = dense(rng, 4, 27)
    graph = chain(
        {
            "input": nir.Input(np.array([2, 6, 6])),
            "conv": nir.Conv2d((6, 6), kernel, 2, 1, 1, 1, np.zeros(3, np.float32)),
            "hidden": lif((3, 3, 3)),
            "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
            "w": nir.Linear(weight),
            "last": lif((4,)),
            "output": nir.Output(np.array([4])),
        }
    )
    return Net(
        graph,
        [
            ("input", "hidden", "conv", convolution_pairs(kernel, 6, 6, 2, 1)),
            ("hidden", "last", "dense", pairs),
        ],
    )


def simulate(
    architecture: Any, net: Net, cores: dict[str, list[int]], input_soma: str
) -> tuple[dict[str, Any], Run]:
    """SANA-FE's result on this placement, and its spikes as a Run of the graph."""
    network = sanafe.Network()
    graph, groups, places = net.graph, {}, architecture.cores()
    formats = {target: f"loihi_{kind}_synapse" for _, target, kind, _ in net.synapses}
    for name in (*graph.inputs, *graph.populations):
        size = int(np.prod(graph.shapes[name]))
        soma = input_soma if name in graph.inputs else "loihi_lif"
        synapse = formats.get(name, "loihi_dense_synapse")
        groups[name] = network.create_neuron_group(
            name, size, {}, default_synapse_hw_name=synapse, soma_hw_name=soma
        )
        for n, neuron in enumerate(groups[name].neurons):
            neuron.set_attributes(log_spikes=True, model_attributes=attributes(name, n, soma))
        edges = np.linspace(0, size, len(cores[name]) + 1).astype(int)
        for core, start, stop in zip(cores[name], edges, edges[1:], strict=False):
            for n in range(start, stop):
                groups[name].neurons[n].map_to_core(places[core])
    for source, target, _, pairs in net.synapses:
        groups[source].connect_neurons_sparse(
            groups[target], {"weight": [w for _, _, w in pairs]}, [(i, j) for i, j, _ in pairs]
        )
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    result = chip.sim(STEPS, timing_model="simple", spike_trace=True)
    fired = Counter(str(spike) for step in result["spike_trace"] for spike in step)
    counts = {
        name: np.array([fired[f"{name}.{n}"] for n in range(int(np.prod(graph.shapes[name])))])
        for name in groups
    }
    return result, Run({}, counts, {}, "SANA-FE", 0.0, STEPS - 2, 1)


def attributes(name: str, n: int, soma: str) -> dict[str, Any]:
    if soma.startswith("loihi_inputs"):
        return {"spikes": [(step * (n + 3)) % 7 < 2 for step in range(STEPS)]}
    drive = {"bias": 0.11 + 0.017 * (n % 23)} if name == "input" else {"leak_decay": 0.9}
    return {"threshold": 1.0, "force_update": True, **drive}


PLACEMENTS = {
    "one tile": {"input": [0], "hidden": [1], "last": [2]},
    "one core": {"input": [0], "hidden": [0], "last": [0]},
    "north-south": {"input": [0], "hidden": [4], "last": [9]},
    "east-west": {"input": [0], "hidden": [16], "last": [50]},
    "both ways, split": {"input": [0, 17], "hidden": [5, 38, 63], "last": [127]},
}


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("make", [mlp, convolution])
def test_energy_equals_sanafe(architecture, make, placement):
    net, cores = make(), PLACEMENTS[placement]
    result, run = simulate(architecture, net, cores, "loihi_lif")
    cost = cost_models.estimate(net.graph, run, "loihi1-sanafe", cores=cores)
    assert min(count.sum() for count in run.spike_counts.values()) > 0
    assert cost.steps == STEPS
    assert cost.synops == result["spikes"]
    assert cost.spikes == result["neurons_fired"]
    packets = cost.terms["axon_out"] / cost_models.load_device("loihi1-sanafe")["energy_axon_out"]
    assert round(packets) == result["packets_sent"]
    energy, terms = result["energy"], cost.terms
    assert terms["synapse"] == pytest.approx(energy["synapse"], rel=1e-9)
    soma = terms["soma_access"] + terms["soma_update"] + terms["soma_spike"]
    assert soma == pytest.approx(energy["soma"], rel=1e-9)
    network = terms["axon_out"] + terms["hop_ew"] + terms["hop_ns"]
    assert network == pytest.approx(energy["network"], rel=1e-9)
    assert cost.energy_j == pytest.approx(energy["total"], rel=1e-9)


def test_hop_terms_follow_the_direction(architecture):
    net = mlp()
    _, run = simulate(architecture, net, PLACEMENTS["one tile"], "loihi_lif")
    vertical = cost_models.estimate(net.graph, run, "loihi1-sanafe", cores=PLACEMENTS["north-south"]).terms
    horizontal = cost_models.estimate(net.graph, run, "loihi1-sanafe", cores=PLACEMENTS["east-west"]).terms
    assert vertical["hop_ns"] > 0 == vertical["hop_ew"]
    assert horizontal["hop_ew"] > 0 == horizontal["hop_ns"]


def test_energy_equals_sanafe_on_the_default_placement(architecture):
    net = convolution()
    result, run = simulate(architecture, net, {"hidden": [0], "last": [1], "input": [2]}, "loihi_lif")
    cost = cost_models.estimate(net.graph, run, "loihi1-sanafe")
    assert {part.population: part.core for part in cost.placement} == {"hidden": 0, "last": 1, "input": 2}
    assert cost.energy_j == pytest.approx(result["energy"]["total"], rel=1e-9)


def test_injected_inputs_equal_sanafe_input_units(architecture):
    net, cores = mlp(), PLACEMENTS["both ways, split"]
    result, run = simulate(architecture, net, cores, "loihi_inputs[0]")
    cost = cost_models.estimate(net.graph, run, "loihi1-sanafe", inputs="injected", cores=cores)
    assert cost.energy_j == pytest.approx(result["energy"]["total"], rel=1e-9)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_latency_bounds_sanafe_simple_from_below(architecture, placement):
    net, cores = convolution(), PLACEMENTS[placement]
    result, run = simulate(architecture, net, cores, "loihi_lif")
    cost = cost_models.estimate(net.graph, run, "loihi1-sanafe", cores=cores)
    assert 0.75 * result["sim_time"] <= cost.latency_s <= result["sim_time"] * (1 + 1e-9)


@pytest.mark.parametrize("placement", ["one core", "one tile", "north-south"])
def test_latency_equals_sanafe_where_one_core_is_always_slowest(architecture, placement):
    net, cores = mlp(), PLACEMENTS[placement]
    quiet = replace(net, synapses=[(s, t, k, pairs[:1]) for s, t, k, pairs in net.synapses])
    nodes = dict(net.graph.nodes)
    nodes["w1"] = nir.Linear(np.eye(12, 20, dtype=np.float32) * (np.arange(20) == 0))
    nodes["w2"] = nir.Linear(np.eye(5, 12, dtype=np.float32) * (np.arange(12) == 0))
    quiet = Net(net.graph.replace(nodes=nodes), quiet.synapses)
    result, run = simulate(architecture, quiet, cores, "loihi_lif")
    cost = cost_models.estimate(quiet.graph, run, "loihi1-sanafe", cores=cores)
    assert cost.latency_s == pytest.approx(result["sim_time"], rel=1e-9)
