"""Fit on Loihi: capacities, splits, placement, and every rule broken once."""

from __future__ import annotations

import json
from importlib.resources import files

import nir
import numpy as np
import pytest

import cost_models
from targets.errors import ConfigError, DoesNotFitError, GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph
from targets.loihi.align import align
from targets.run import Run


def run_of(graph: SpikingGraph, count: int = 1, steps: int = 10) -> Run:
    names = (*graph.inputs, *graph.populations)
    counts = {name: np.full(graph.shapes[name], count, np.int64) for name in names}
    return Run({}, counts, {}, "by hand", 0.0, steps, 1)


def broken(graph: SpikingGraph, device: str = "loihi1", **options) -> dict[str, tuple[str, int, int]]:
    report = cost_models.check(graph, device, **options)
    assert not report.fits
    assert report.binding == report.broken[0].rule
    assert all(b.hint and b.demands for b in report.broken)
    return {b.rule: (b.node, b.found, b.allowed) for b in report.broken}


def smaller(tmp_path, key: str, before: str, after: str):
    """Loihi 1 with another limit."""
    text = files("cost_models").joinpath("devices/loihi1.toml").read_text()
    head, tail = text.split(f"[constants.{key}]")
    path = tmp_path / "small.toml"
    path.write_text(head + f"[constants.{key}]" + tail.replace(f"value = {before}", f"value = {after}", 1))
    return path


def test_loihi2_convolution_states_what_it_cannot_check(convnet):
    report = cost_models.check(convnet((2, 32, 32), (8, 3, 1, 1)), "loihi2")
    assert report.population_cores == {"layer0": 4}
    assert report.use["layer0"]["synapse_words"].most == 2 * 9 * 1
    assert any("'layer0'" in text for text in report.unchecked)
    assert {part.neurons for part in report.placement} == {2048}


@pytest.mark.parametrize(
    ("sizes", "share", "cores"), [((390, 256), 0.857, 1), ((784, 128), 0.861, 1), ((784, 256), None, 2)]
)
def test_loihi1_synapse_memory_shares(mlp, sizes, share, cores):
    """Shares by nengo-loihi's format: 2,304 bits an axon of 256 weights of 8 bits."""
    report = cost_models.check(mlp(*sizes), "loihi1")
    assert report.cores == cores
    assert (report.binding, report.binding_node) == ("synapse_bits", "layer0")
    if share is not None:
        assert report.use["layer0"]["synapse_bits"].share == pytest.approx(share, abs=5e-4)


def test_fewer_weight_bits_take_fewer_cores(mlp):
    graph = mlp(784, 1000)
    wide, narrow = (cost_models.check(graph, "loihi1", weight_bits=b).cores for b in (8, 4))
    assert narrow < wide


def test_weight_bits_of_each_population(mlp):
    graph = mlp(784, 1000, 10)
    report = cost_models.check(graph, "loihi1", {"layer0": 4, "layer1": 8})
    assert (
        report.population_cores["layer0"] == cost_models.check(graph, "loihi1", 4).population_cores["layer0"]
    )
    with pytest.raises(ConfigError, match="layer1 missing or no population, allowed layer0, layer1"):
        cost_models.check(graph, "loihi1", {"layer0": 4})


def test_compartments_split_in_order_and_tiles_follow_cores(mlp):
    report = cost_models.check(mlp(4, 5000), "loihi1-sanafe")
    assert report.cores == 5
    assert [part.region for part in report.placement] == [((i * 1000, (i + 1) * 1000),) for i in range(5)]
    assert [part.tile for part in report.placement] == [(0, 0)] * 4 + [(0, 1)]
    assert report.binding == "compartments"


def test_out_axons_split_a_population(mlp, tmp_path):
    # 30 neurons that each reach 2 cores need 60 out-axons.
    graph = mlp(2, 30, 1100)
    assert cost_models.check(graph, "loihi1").population_cores == {"layer0": 1, "layer1": 2}
    report = cost_models.check(graph, smaller(tmp_path, "out_axons", "4096", "40"))
    assert report.population_cores == {"layer0": 2, "layer1": 2}
    assert report.use["layer0"]["out_axons"] == cost_models.Use(30, 40)
    assert report.fits


def test_fan_out_that_splitting_cannot_reduce(mlp, tmp_path):
    report = cost_models.check(mlp(2, 3, 1100), smaller(tmp_path, "out_axons", "4096", "1"))
    assert [(b.rule, b.node, b.found, b.allowed) for b in report.broken] == [("fan_out", "layer0", 2, 1)]
    assert report.placement == ()


def test_fan_in_that_splitting_cannot_reduce(mlp):
    graph = mlp(4097, 3)
    assert broken(graph) == {"fan_in": ("layer0", 4097, 4096)}
    with pytest.raises(DoesNotFitError, match="fan_in: found 4097, allowed 4096"):
        cost_models.estimate(graph, run_of(graph), "loihi1-sanafe")


def test_synapses_of_one_neuron_that_splitting_cannot_reduce(mlp, tmp_path):
    # One weight of 8 bits and a header of 10 take a word of 64 bits: 20 axons take 1,280.
    path = smaller(tmp_path, "synapse_bits", "1048576", "1024")
    report = cost_models.check(mlp(20, 3), path)
    found = [(b.rule, b.node, b.found, b.allowed) for b in report.broken]
    assert found == [("synapse_memory", "layer0", 1280, 1024)]


def test_constant_sources_that_leave_no_room_for_a_neuron(chain, neuron, tmp_path):
    graph = biased(chain, neuron, "cuba")
    report = cost_models.check(graph, smaller(tmp_path, "compartments", "1024", "1"))
    assert [(b.rule, b.node, b.found) for b in report.broken] == [("compartments", "neuron", 1)]


def test_too_many_cores_are_reported_and_still_costed(mlp):
    graph = mlp(2, 132_000)
    assert broken(graph) == {"cores": ("layer0", 129, 128)}
    assert cost_models.estimate(graph, run_of(graph), "loihi1-sanafe").cores == 129


def delayed(chain, neuron, steps: int) -> SpikingGraph:
    return chain(
        {
            "input": nir.Input({"input": np.array([3])}),
            "delay": nir.Delay(np.full(3, steps * 1e-3)),
            "w": nir.Linear(np.ones((2, 3), np.float32)),
            "lif": neuron("lif", (2,)),
            "output": nir.Output({"output": np.array([2])}),
        }
    )


def test_axonal_delay_over_the_range_is_reported_and_relays_are_charged(chain, neuron):
    assert cost_models.check(delayed(chain, neuron, 63), "loihi1").fits
    late = delayed(chain, neuron, 64)
    # A hop takes one step, so 64 steps leave 63 of axonal delay.
    assert broken(late) == {"axonal_delay": ("lif", 63, 62)}
    graphs = delayed(chain, neuron, 63), late
    near, far = (cost_models.estimate(g, run_of(g), "loihi1-sanafe") for g in graphs)
    assert far.terms["axon_out"] == pytest.approx(2 * near.terms["axon_out"])
    assert far.terms["soma_access"] == pytest.approx(near.terms["soma_access"] * (3 + 2 + 3) / (3 + 2))


def test_axonal_delay_takes_a_field_of_each_synapse(chain, neuron):
    """Three axons of two weights: with 6 bits of delay 2 (8 + 6) + 10 = 38 bits, still one word each."""
    near, far = (
        cost_models.check(delayed(chain, neuron, steps), "loihi1", 8).use["lif"]["synapse_bits"].most
        for steps in (1, 63)
    )
    assert near == far == 3 * 64
    wide = chain(
        {
            "input": nir.Input({"input": np.array([1])}),
            "delay": nir.Delay(np.full(1, 63e-3)),
            "w": nir.Linear(np.ones((64, 1), np.float32)),
            "lif": neuron("lif", (64,)),
            "output": nir.Output({"output": np.array([64])}),
        }
    )
    # 64 (8 + 6) + 10 = 906 bits, in words of 64.
    assert cost_models.check(wide, "loihi1").use["lif"]["synapse_bits"].most == 960


def test_an_output_behind_weights_is_reported_with_every_other_rule(chain, neuron):
    graph = chain(
        {
            "input": nir.Input({"input": np.array([5000])}),
            "w": nir.Linear(np.ones((2, 5000), np.float32)),
            "lif": neuron("lif", (2,)),
            "readout": nir.Linear(np.ones((2, 2), np.float32)),
            "output": nir.Output({"output": np.array([2])}),
        }
    )
    assert set(broken(graph)) == {"fan_in", "readout"}


def test_a_threshold_between_populations_is_reported_and_never_costed(chain, neuron):
    graph = chain(
        {
            "input": nir.Input({"input": np.array([2])}),
            "w": nir.Linear(np.ones((2, 2), np.float32)),
            "a": neuron("lif", (2,)),
            "gate": nir.Threshold(np.ones(2)),
            "v": nir.Linear(np.ones((2, 2), np.float32)),
            "b": neuron("lif", (2,)),
            "output": nir.Output({"output": np.array([2])}),
        }
    )
    assert broken(graph) == {"linear": ("gate", 1, 0)}
    with pytest.raises((DoesNotFitError, GraphError), match="gate"):
        cost_models.estimate(graph, run_of(graph), "loihi1-sanafe")


def looped(neuron, *delays: int) -> SpikingGraph:
    """A loop of as many populations as delays; the delay of the hop out of each."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([2])})}
    edges = [("input", "p0")]
    for i, steps in enumerate(delays):
        following = f"p{(i + 1) % len(delays)}"
        nodes |= {f"p{i}": neuron("lif", (2,)), f"w{i}": nir.Linear(np.ones((2, 2), np.float32))}
        nodes[f"d{i}"] = nir.Delay(np.full(2, steps * 1e-3))
        edges += [(f"p{i}", f"w{i}"), (f"w{i}", f"d{i}"), (f"d{i}", following)]
    nodes["output"] = nir.Output({"output": np.array([2])})
    edges.append(("p0", "output"))
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


def test_a_cycle_with_too_few_delays_is_a_row(neuron):
    graph = looped(neuron, 0, 1, 0)
    for device in ("loihi1", "loihi2", "xylo-a2"):
        rows = [b for b in cost_models.check(graph, device).broken if b.rule == "cycle"]
        assert [(b.found, b.allowed) for b in rows] == [(1, 3)]
        assert sorted(rows[0].node.split(" -> ")[:-1]) == ["p0", "p1", "p2"]
        assert "add 2 steps of Delay" in rows[0].hint
    report = cost_models.check(graph, "loihi1")
    assert report.cores == 3
    assert report.placement == ()
    with pytest.raises((DoesNotFitError, GraphError), match="cycle"):
        cost_models.estimate(graph, run_of(graph), "loihi1-sanafe")
    by_hand = {name: [i] for i, name in enumerate(("input", *graph.populations))}
    with pytest.raises((DoesNotFitError, GraphError), match="cycle"):
        cost_models.estimate(graph, run_of(graph), "loihi1-sanafe", cores=by_hand)


def test_every_short_cycle_is_a_row(neuron):
    """Two self loops and a loop of two hops, all without a delay."""
    one = np.ones((2, 2), np.float32)
    nodes = {"input": nir.Input({"input": np.array([2])}), "a": neuron("lif", (2,)), "b": neuron("lif", (2,))}
    nodes |= {name: nir.Linear(one) for name in ("aa", "ab", "ba", "bb")}
    nodes["output"] = nir.Output({"output": np.array([2])})
    edges = [("input", "a"), ("b", "output")]
    edges += [edge for name in ("aa", "ab", "ba", "bb") for edge in ((name[0], name), (name, name[1]))]
    report = cost_models.check(SpikingGraph.build(nodes, edges, {"dt": 1e-3}), "loihi1")
    cycles = {frozenset(b.node.split(" -> ")) for b in report.broken if b.rule == "cycle"}
    assert cycles == {frozenset("a"), frozenset("b"), frozenset("ab")}


@pytest.mark.parametrize("seed", range(5))
def test_offsets_are_those_of_the_loihi_target(recurrent_graph, seed):
    from cost_models.fit.links import find_links
    from cost_models.fit.retime import retime

    graph = recurrent_graph(seed)
    expected = align(fold_graph(graph), graph.inputs)
    links = find_links(graph).hops
    found = retime(links)
    assert found.short == ()
    assert found.offsets == {name: expected.offsets[name] for name in found.offsets}
    delays = [found.axonal_delay(i, link) for i, link in enumerate(links)]
    assert sorted(delays) == sorted(expected.axonal_delays)


def test_connections_are_those_of_the_folded_graph(recurrent_graph):
    from cost_models.fit.network import chip_network

    graph = recurrent_graph()
    network = chip_network(graph, 62)
    hops = {(hop.source, hop.target, hop.delay): hop.matrix for hop in fold_graph(graph).hops}
    connections = [c for c in network.connections if network.groups[c.source].role != "constant"]
    assert len(connections) == len(hops)
    for connection in connections:
        same = [
            m
            for (source, target, _), m in hops.items()
            if (source, target) == (connection.source, connection.target)
        ]
        assert any((connection.matrix != matrix).nnz == 0 for matrix in same)
    constants = {g.follows for g in network.placed("constant")}
    assert constants == {
        name for name in fold_graph(graph).biases if isinstance(graph.nodes[name], nir.CubaLIF)
    }


def test_graded_spikes_do_not_fit_loihi1(mlp):
    assert broken(mlp(3, 2), graded=True) == {"graded_input": ("input", 1, 0)}
    assert cost_models.check(mlp(3, 2), "loihi2", graded=True).fits


def biased(chain, neuron, model) -> SpikingGraph:
    bias = np.array([1.0, 0.0, 2.0], np.float32)
    return chain(
        {
            "input": nir.Input({"input": np.array([2])}),
            "w": nir.Affine(np.ones((3, 2), np.float32), bias),
            "neuron": neuron(model, (3,)),
            "output": nir.Output({"output": np.array([3])}),
        }
    )


def test_a_bias_on_the_synaptic_current_costs_a_constant_source(chain, neuron):
    graphs = [biased(chain, neuron, model) for model in ("lif", "cuba")]
    runs = [(g, run_of(g, count=0, steps=10)) for g in graphs]
    plain, current = (cost_models.estimate(g, run, "loihi1-sanafe").terms for g, run in runs)
    assert plain["synapse"] == plain["soma_spike"] == plain["axon_out"] == 0
    # One neuron, ten spikes, one packet each, two nonzero biases; 11 aligned steps.
    assert current["synapse"] == pytest.approx(10 * 2 * 35.5e-12)
    assert current["soma_spike"] == pytest.approx(10 * 69.3e-12)
    assert current["axon_out"] == pytest.approx(10 * 111e-12)
    assert current["soma_access"] - plain["soma_access"] == pytest.approx(11 * 51.2e-12)


@pytest.mark.parametrize(("model", "neurons", "allowed"), [("lif", 40, 32), ("cuba", 32, 31)])
def test_more_decays_than_a_core_has_profiles(chain, neuron, model, neurons, allowed):
    """Each neuron has a time constant of its own; constant sources, here of `cuba`, take one profile."""
    one = np.ones(neurons, np.float32)
    node = neuron(model, (neurons,))
    setattr(node, "tau" if model == "lif" else "tau_mem", np.linspace(2e-3, 9e-3, neurons, dtype=np.float32))
    graph = chain(
        {
            "input": nir.Input({"input": np.array([2])}),
            "w": nir.Affine(np.ones((neurons, 2), np.float32), one),
            "neuron": node,
            "output": nir.Output({"output": np.array([neurons])}),
        }
    )
    assert broken(graph)["profiles"] == ("neuron", neurons, allowed)
    assert cost_models.check(graph, "loihi2").fits
    getattr(node, "tau" if model == "lif" else "tau_mem")[: neurons - allowed + 1] = 5e-2
    assert cost_models.check(chain(graph.nodes), "loihi1").fits


def test_json_has_the_documented_keys_and_the_placement(mlp):
    report = cost_models.check(mlp(5000, 2), "loihi1-sanafe").as_json()
    assert {"device", "fits", "cores", "binding", "broken"} <= set(report)
    assert {"rule", "node", "found", "allowed", "hint"} <= set(report["broken"][0])
    assert report["device"] == "loihi1-sanafe"
    fits = json.loads(json.dumps(cost_models.check(mlp(784, 256, 10), "loihi1").as_json()))
    assert fits["placement"] == [
        {"population": "layer0", "region": [[0, 128]], "neurons": 128, "core": 0, "tile": [0, 0]},
        {"population": "layer0", "region": [[128, 256]], "neurons": 128, "core": 1, "tile": [0, 0]},
        {"population": "layer1", "region": [[0, 10]], "neurons": 10, "core": 2, "tile": [0, 0]},
    ]
    assert [(s["source"], s["form"]) for s in fits["synapses"]] == [("input", "dense"), ("layer0", "dense")]
    assert fits["chip"]["cores"] == [3, 128]


@pytest.mark.parametrize("bits", [0, 9, 7.5])
def test_weight_bits_outside_the_range_are_refused(mlp, bits):
    with pytest.raises(ConfigError, match="weight_bits"):
        cost_models.check(mlp(2, 2), "loihi1", weight_bits=bits)


def test_a_device_without_rules_is_refused(mlp):
    with pytest.raises(ConfigError, match="did you mean 'loihi2'"):
        cost_models.check(mlp(2, 2), "loihi22")


@pytest.mark.parametrize(
    ("key", "before"), [("cores", "128"), ("compartments", "1024"), ("synapse_bits", "1048576")]
)
def test_a_chip_without_a_resource_is_refused(mlp, tmp_path, key, before):
    with pytest.raises(ConfigError, match=f"{key}: found 0, allowed at least 1"):
        cost_models.check(mlp(2, 2), smaller(tmp_path, key, before, "0"))
