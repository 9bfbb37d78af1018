"""Energy models against published logs, peers' figures and hand counts."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

import cost_models
from cost_models.energy.estimate import MODELS
from cost_models.energy.plan import KINDS
from cost_models.fit.xylo import Size, cycles_per_step
from targets.errors import ConfigError, DataError, DoesNotFitError, GraphError
from targets.graph.graph import SpikingGraph
from targets.run import Run


def neuron(kind, size):
    one = np.ones(size, np.float32)
    rest = {"v_leak": one * 0, "tau": one * 0.01} if kind is nir.LIF else {}
    return kind(r=one, v_threshold=one, v_reset=one * 0, **rest)


def mlp(*sizes, kind=nir.LIF, bias=()):
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([sizes[0]]))}
    for i, (before, after) in enumerate(pairwise(sizes)):
        weight = np.ones((after, before), np.float32)
        biased = nir.Affine(weight, np.full(after, 0.01, np.float32))
        nodes[f"w{i}"] = biased if i in bias else nir.Linear(weight)
        nodes[f"layer{i}"] = neuron(kind, after)
    nodes["output"] = nir.Output(np.array([sizes[-1]]))
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def run_of(graph, steps, samples=1, **counts):
    names = (*graph.inputs, *graph.populations)
    found = {n: np.broadcast_to(counts.get(n, 0), graph.shapes[n]).astype(np.int64) for n in names}
    return Run({}, found, {}, "by hand", 0.0, steps, samples)


# abr/power_benchmarks, dynamic uJ of an inference of 10 steps: copies of 10 layers of 256 neurons.
BOARD_DYNAMIC_UJ = {1: 681.6, 2: 703.7, 4: 733.5, 6: 767.9, 8: 802.4, 10: 835.8}
BOARD_TOTAL_UJ = {1: 940.9, 2: 961.7, 4: 993.0, 6: 1026.1, 8: 1060.8, 10: 1094.9}
INFERENCE_STEPS = 10


def copy_uj_an_inference(device, firing):
    """Event energy that one 10 x 256 copy adds to 10 steps, at a firing probability of every neuron."""
    graph = mlp(*[256] * 11)
    steps = 990  # with the 10 steps of depth, 1,000 on the chip: a stream, as on the board
    spikes = {name: round(firing * 1000) for name in graph.populations}
    found = cost_models.estimate(graph, run_of(graph, steps, **spikes), device, inputs="injected")
    assert found.steps == 1000
    return found.by_kind["event"] / 1000 * INFERENCE_STEPS * 1e6


@pytest.mark.parametrize("device", ["loihi1-sanafe", "loihi1-davies2018", "loihi1-board"])
def test_event_energy_brackets_the_measured_slope(device):
    slope, _ = np.polyfit(list(BOARD_DYNAMIC_UJ), list(BOARD_DYNAMIC_UJ.values()), 1)
    assert slope == pytest.approx(17.1, abs=0.2)
    assert copy_uj_an_inference(device, 0.05) < slope < copy_uj_an_inference(device, 0.12)


def test_the_fixed_term_is_the_measured_intercept():
    _, intercept = np.polyfit(list(BOARD_DYNAMIC_UJ), list(BOARD_DYNAMIC_UJ.values()), 1)
    graph = mlp(4, 4)
    found = cost_models.estimate(graph, run_of(graph, 9), "loihi1-board")
    assert found.steps == INFERENCE_STEPS
    assert found.by_kind["fixed"] * 1e6 == pytest.approx(intercept, rel=0.02)
    assert found.terms["step"] / found.steps == pytest.approx(66e-6)
    assert found.by_kind["io"] is None


@pytest.mark.parametrize(
    ("total_uj", "seconds"), [(371.7, 1 / 296.5), (854.3, 1 / 125.8), (940.9, 1 / 114.7), (1094.9, 1 / 114.0)]
)
def test_every_run_of_the_logs_lies_in_the_band_of_the_board(total_uj, seconds):
    graph = mlp(4, 4)
    found = cost_models.estimate(graph, run_of(graph, 9), "loihi1-board")
    low, high = found.energy_band_j
    assert low * 1e6 <= total_uj <= high * 1e6
    low, high = found.latency_band_s
    assert low <= seconds <= high


def stateless_mlp():
    """The multilayer perceptron of the logs; a step function stands for its activation."""
    sizes = (390, 256, 256, 29)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([390]))}
    for i, (before, after) in enumerate(pairwise(sizes)):
        weight = np.ones((after, before), np.float32)
        nodes[f"w{i}"] = nir.Affine(weight, np.ones(after, np.float32))
        nodes[f"a{i}"] = nir.Threshold(np.ones(after, np.float32))
    nodes["output"] = nir.Output(np.array([29]))
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


@pytest.mark.parametrize(
    ("batch", "per_second", "watts"), [(1, 770.0, 37.84), (64, 36_150.0, 41.2)], ids=["one", "batch"]
)
def test_gpu_model_holds_the_measured_k4000_in_its_band(batch, per_second, watts):
    graph = stateless_mlp()
    records = {f"a{i}": np.zeros((1, 1, n)) for i, n in enumerate((256, 256, 29))}
    run = Run({}, {"input": np.zeros(390, np.int64)}, records, "by hand", 0.0, 1, 1)
    found = cost_models.estimate(graph, run, "gpu-k4000", batch=batch)
    low, high = found.energy_band_j
    assert low <= watts / per_second <= high
    low, high = found.latency_band_s
    assert low <= batch / per_second <= high


# Inferences a second of the same logs: copies of 10 layers, one sample at a time.
K4000_COPIES = {2: 267.0, 4: 178.0, 6: 134.0, 8: 109.0, 10: 93.0}


@pytest.mark.parametrize("copies", K4000_COPIES)
def test_gpu_time_grows_with_layers_and_copies_as_measured(copies):
    """Launches bind at a batch of one, so the layers here are narrower than the 256 of the logs."""
    width = 4
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    edges, records = [], {}
    for copy in range(copies):
        before = "input"
        for i in range(10):
            layer, step = f"w{copy}_{i}", f"a{copy}_{i}"
            nodes[layer] = nir.Affine(np.ones((width, width), np.float32), np.ones(width, np.float32))
            nodes[step] = nir.Threshold(np.ones(width, np.float32))
            records[step] = np.zeros((1, 1, width))
            edges += [(before, layer), (layer, step)]
            before = step
        nodes[f"out{copy}"] = nir.Output(np.array([width]))
        edges.append((before, f"out{copy}"))
    graph = SpikingGraph.build(nodes, edges, {"dt": 1e-3})
    run = Run({}, {"input": np.zeros(width, np.int64)}, records, "by hand", 0.0, 1, 1)
    found = cost_models.estimate(graph, run, "gpu-k4000")
    assert found.latency_band_s[0] <= 1 / K4000_COPIES[copies] <= found.latency_band_s[1]
    assert found.latency_s == pytest.approx(1 / K4000_COPIES[copies], rel=0.35)


def test_gpu_counts_the_nodes_of_the_onnx_graph_and_shares_a_batch():
    from cost_models.energy.gpu import launches
    from targets.onnx.float_form import float_model

    graph = mlp(64, 64, 10)
    counted = launches(float_model(graph))
    one, many = (cost_models.estimate(graph, run_of(graph, 50), "gpu-h100", batch=b) for b in (1, 64))
    assert one.figures["launches"] == counted.once + 50 * counted.step
    deeper = launches(float_model(mlp(64, 64, 64, 10)))
    assert deeper.step > counted.step
    assert many.energy_j < one.energy_j / 30
    assert many.latency_s < 2 * one.latency_s
    device = cost_models.load_device("gpu-h100")
    assert one.by_kind["static"] == pytest.approx(device["power_idle"] * one.latency_s)


# SpikingJelly 2.0.0, LemaireEnergyProfiler: Linear(20, 12) with bias, neuron, Linear(12, 5), neuron;
# 10 steps.
SPIKES_IN = [3, 4, 4, 1, 5, 1, 1, 0, 4, 2, 3, 4, 1, 1, 2, 5, 1, 2, 2, 5]
LEMAIRE = {
    nir.LIF: (
        [6, 3, 6, 6, 5, 6, 6, 6, 5, 6, 6, 5],
        [6, 5, 6, 6, 7],
        {"operations": 659.8, "addressing": 94.2, "events": 1040.0390625, "weights": 997.3828125},
        2895.7578125,
    ),
    nir.IF: (
        [9, 8, 9, 9, 9, 10, 9, 8, 9, 9, 9, 9],
        [9, 10, 10, 9, 10],
        {"operations": 142.2, "addressing": 114.7, "events": 1528.3203125, "weights": 1057.44140625},
        2957.007421875,
    ),
}


@pytest.mark.parametrize("kind", [nir.LIF, nir.IF])
def test_lemaire_equals_spikingjelly(kind):
    hidden, last, terms, total = LEMAIRE[kind]
    graph = mlp(20, 12, 5, kind=kind, bias=(0,))
    run = run_of(graph, 10, input=SPIKES_IN, layer0=hidden, layer1=last)
    found = cost_models.estimate(graph, run, "lemaire2022")
    assert found.energy_j * 1e12 == pytest.approx(total, rel=1e-9)
    for name, picojoules in terms.items():
        assert found.terms[name] * 1e12 == pytest.approx(picojoules, rel=1e-9)


def test_xylo_cycles_equal_the_published_formula():
    """Rockpool's `cycles_model` of SYNS61201, written out for one network without aliases."""
    device = cost_models.load_device("xylo-a2")
    inputs, hidden, outputs, fan_out, p_in, p_hid = 16, 60, 8, 23.5, 0.1, 0.05
    expected = (
        inputs * (p_in * hidden * 3.5 + 1)
        + hidden * (fan_out * 7 * p_hid + 3)
        + hidden * p_hid * (1 + 8 * outputs)
        + hidden * (19 + 3 * p_hid)
        + 12 * outputs
    )
    size = Size(inputs, hidden, outputs, round(fan_out * hidden))
    assert cycles_per_step(size, device, p_in, p_hid) == pytest.approx(expected, rel=1e-12)


def test_xylo_figures_follow_the_run_and_time_is_real():
    graph = mlp(16, 60, 30, 8)
    quiet, busy = (
        cost_models.estimate(graph, run_of(graph, 20, input=n, layer0=n, layer1=n), "xylo-a2")
        for n in (0, 20)
    )
    assert quiet.latency_s == pytest.approx((20 + 3) * 1e-3)
    assert busy.figures["cycles_per_step"] == pytest.approx(busy.figures["worst_cycles_per_step"])
    device = cost_models.load_device("xylo-a2")
    idle = cycles_per_step(Size(16, 90, 8, 60 * 30), device, 0.0, 0.0)
    assert quiet.figures["cycles_per_step"] == pytest.approx(idle)
    assert busy.figures["clock_hz"] == pytest.approx(1.2 * busy.figures["worst_cycles_per_step"] / 1e-3)
    assert quiet.by_kind["event"] is None


def test_counted_models_by_hand():
    graph = mlp(3, 4, 2, bias=(1,))
    run = run_of(graph, 10, samples=2, input=[1, 2, 3], layer0=[5, 0, 1, 0])
    synops, biases, aligned = (6 * 4 + 6 * 2) / 2, 2 * 10, 10 + 2
    cost = {name: cost_models.estimate(graph, run, name) for name in cost_models.energy_devices()}
    assert cost["truenorth"].energy_j == pytest.approx(synops * 26e-12)
    assert cost["truenorth"].latency_s == pytest.approx(aligned * 1e-3)
    assert cost["spinnaker2"].energy_j == pytest.approx(synops * 450e-12 + aligned * 6 * 2.19e-9)
    assert cost["spinnaker2"].latency_s is None
    assert cost["cmos45-fp32"].terms["ac"] == pytest.approx(synops * 0.9e-12)
    assert cost["cmos45-fp32"].terms["bias"] == pytest.approx(biases * 0.9e-12)
    assert cost["cmos45-fp32"].terms["neuron"] == pytest.approx(10 * 6 * (3.7 + 2 * 0.9) * 1e-12)
    assert cost["cmos45-int8"].terms["mac"] == 0
    assert cost["loihi2-empirical"].terms["synop"] == pytest.approx(synops * 135e-12)
    assert cost["loihi2-empirical"].terms["static"] == pytest.approx(0.257 * aligned * 153e-6)
    for name, found in cost.items():
        assert sum(found.terms.values()) == pytest.approx(found.energy_j), name
        assert sum(v for v in found.by_kind.values() if v is not None) == pytest.approx(found.energy_j), name
        assert found.energy_band_j[0] <= found.energy_j <= found.energy_band_j[1], name
        assert found.omitted
        assert found.sources


def test_biases_of_a_synaptic_current_are_events_of_constant_sources():
    one = np.ones(4, np.float32)
    rest = dict.fromkeys(("v_leak", "v_reset"), one * 0) | dict.fromkeys(("r", "v_threshold"), one)
    graph = mlp(3, 4, bias=(0,))
    cuba = nir.CubaLIF(tau_syn=one * 0.01, tau_mem=one * 0.01, **rest)
    graph = graph.replace(nodes={**graph.nodes, "layer0": cuba})
    run = run_of(graph, 10, input=1)
    for name, per_event in (
        ("truenorth", 26e-12),
        ("loihi2-empirical", 135e-12),
        ("loihi1-davies2018", 23.6e-12),
    ):
        term = next(iter(cost_models.estimate(graph, run, name).terms.values()))
        assert term == pytest.approx((3 * 4 + 10 * 4) * per_event), name


def test_weights_in_front_of_an_output_count_and_take_memory():
    graph = mlp(3, 4)
    nodes = dict(list(graph.nodes.items())[:-1])
    nodes |= {"w": nir.Linear(np.ones((2, 4), np.float32)), "output": nir.Output(np.array([2]))}
    behind = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})
    plain, more = (
        cost_models.estimate(g, run_of(g, 10, input=1, layer0=5), "lemaire2022") for g in (graph, behind)
    )
    assert more.synops - plain.synops == 5 * 4 * 2
    assert all(more.terms[name] > plain.terms[name] for name in ("operations", "weights", "potentials"))


def test_davies_by_hand():
    graph = mlp(3, 4, 2)
    run = run_of(graph, 10, input=[1, 2, 3], layer0=[5, 0, 1, 0])
    found = cost_models.estimate(
        graph, run, "loihi1-davies2018", cores={"input": [0], "layer0": [4], "layer1": [20]}
    )
    assert found.terms["synapse"] == pytest.approx((6 * 4 + 6 * 2) * 23.6e-12)
    assert found.terms["neuron"] == pytest.approx(12 * 9 * 81e-12)
    assert found.terms["tile"] == pytest.approx(12 * 1.7e-12)
    assert (found.terms["hop_ns"], found.terms["hop_ew"]) == pytest.approx((6 * 4e-12, 6 * 3e-12))
    busiest = max(36 * 0 + 24 * 3.5e-9, 12 * 4 * 8.4e-9 + 6 * 2.1e-9)
    assert found.latency_s == pytest.approx(12 * 465e-9 + busiest)


def test_graded_input_multiplies_and_loihi1_refuses_it():
    graph = mlp(3, 4)
    values = np.zeros((10, 1, 3), np.float32)
    values[:, 0] = [1.0, 0.5, 0.0]
    run = run_of(graph, 10, input=[10, 10, 0])
    recorded = Run({}, run.spike_counts, {"input": values}, "by hand", 0.0, 10, 1)
    spikes, graded = (cost_models.estimate(graph, r, "cmos45-int8") for r in (run, recorded))
    assert graded.terms["mac"] == pytest.approx(10 * 4 * 0.23e-12)
    assert graded.terms["ac"] == pytest.approx(10 * 4 * 0.03e-12)
    assert any("'input'" in text for text in spikes.omitted)
    assert not any("'input'" in text for text in graded.omitted)
    with pytest.raises(DataError, match=r"'input'.*graded"):
        cost_models.estimate(graph, recorded, "loihi1-sanafe")


def test_every_model_has_a_device_and_every_term_a_kind():
    found = {name: device.model for name, device in cost_models.devices().items()}
    assert set(MODELS) <= set(found.values())
    assert set(cost_models.energy_devices()) == {name for name, model in found.items() if model in MODELS}
    graph = mlp(3, 4, 2)
    for name in cost_models.energy_devices():
        estimate = cost_models.estimate(graph, run_of(graph, 5, input=1), name)
        assert set(estimate.terms) == set(MODELS[found[name]].kinds)
        assert set(estimate.kinds.values()) <= set(KINDS)


@pytest.mark.parametrize("device", cost_models.energy_devices())
def test_every_model_takes_an_own_file_and_needs_each_constant(device, tmp_path):
    graph = mlp(3, 4, 2)
    run = run_of(graph, 5, input=1)
    text = cost_models.device.files("cost_models").joinpath(f"devices/{device}.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(f'name = "{device}"', 'name = "mine"'))
    assert cost_models.estimate(graph, run, path).device == "mine"
    blocks = text.split("\n[constants.")
    for i, block in enumerate(blocks[1:], start=1):
        key = block.split("]")[0]
        if cost_models.load_device(device).chip == device and not key.startswith(
            ("energy", "power", "band", "latency")
        ):
            continue
        path.write_text("\n[constants.".join(blocks[:i] + blocks[i + 1 :]))
        with pytest.raises(ConfigError, match=f"constants.{key} is missing"):
            cost_models.estimate(graph, run, path)


@pytest.mark.parametrize("device", cost_models.energy_devices())
@pytest.mark.parametrize(
    "counts", [np.array([-1, 0, 0]), np.array([0.5, 0, 0]), np.array([6, 0, 0]), np.zeros(2, int)]
)
def test_wrong_counts_are_errors_under_every_model(device, counts):
    graph = mlp(3, 4)
    run = Run({}, {"input": counts, "layer0": np.zeros(4, int)}, {}, "by hand", 0.0, 5, 1)
    with pytest.raises(DataError, match="'input'"):
        cost_models.estimate(graph, run, device)


@pytest.mark.parametrize(
    "device", ["loihi1-board", "loihi2-empirical", "truenorth", "cmos45-int8", "lemaire2022"]
)
def test_counts_too_large_for_exact_sums_are_errors(device):
    graph = mlp(3, 4)
    graph = graph.replace(profile=graph.profile.with_values({"spikes_per_step": "many"}))
    counts = {"input": np.full(3, 2**62), "layer0": np.zeros(4, int)}
    with pytest.raises(DataError, match=r"'input'.*sums stay exact"):
        cost_models.estimate(graph, Run({}, counts, {}, "by hand", 0.0, 5, 1), device)


@pytest.mark.parametrize("device", cost_models.energy_devices())
@pytest.mark.parametrize(("steps", "samples"), [(0, 1), (5, 0)])
def test_runs_of_nothing_are_errors(device, steps, samples):
    graph = mlp(3, 4)
    with pytest.raises(DataError, match="at least one of each"):
        cost_models.estimate(graph, run_of(graph, steps, samples), device)


@pytest.mark.parametrize("key", ["flop_rate", "byte_rate"])
def test_a_gpu_that_computes_nothing_is_an_error(tmp_path, key):
    text = cost_models.device.files("cost_models").joinpath("devices/gpu-h100.toml").read_text()
    head, tail = text.split(f"[constants.{key}]")
    _, _, rest = tail.partition("unit")
    path = tmp_path / "mine.toml"
    path.write_text(f"{head}[constants.{key}]\nvalue = 0\nunit{rest}")
    graph = mlp(3, 4)
    with pytest.raises(ConfigError, match=f"constants.{key}: found 0.0, allowed a number > 0"):
        cost_models.estimate(graph, run_of(graph, 5), path)


def test_costs_that_overflow_are_errors(tmp_path):
    text = cost_models.device.files("cost_models").joinpath("devices/truenorth.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("value = 26e-12", "value = 1.7e308"))
    graph = mlp(3, 4)
    with pytest.raises(DataError, match="too large"):
        cost_models.estimate(graph, run_of(graph, 5, input=1), path)


@pytest.mark.parametrize("device", cost_models.energy_devices())
def test_a_batch_of_nothing_is_an_error(device):
    graph = mlp(3, 4)
    with pytest.raises(ConfigError, match="batch"):
        cost_models.estimate(graph, run_of(graph, 5), device, batch=0)


@pytest.mark.parametrize(
    "device", ["loihi1-sanafe", "loihi2-empirical", "truenorth", "spinnaker2", "xylo-a2"]
)
def test_a_cycle_without_enough_delay_is_refused_by_every_chip(device):
    nodes = {
        "input": nir.Input(np.array([2])),
        "a": neuron(nir.LIF, 2),
        "b": neuron(nir.LIF, 2),
        "late": nir.Delay(np.full(2, 1e-3)),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "a"), ("a", "b"), ("b", "late"), ("late", "a"), ("b", "output")]
    graph = SpikingGraph.build(nodes, edges, {"dt": 1e-3})
    with pytest.raises((GraphError, DoesNotFitError), match="cycle"):
        cost_models.estimate(graph, run_of(graph, 5), device)
    assert cost_models.estimate(graph, run_of(graph, 5, input=1), "cmos45-fp32").energy_j > 0
