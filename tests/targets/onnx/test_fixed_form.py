"""The fixed form against a numpy int64 loop on hand-built programs, and against the Loihi simulator."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.sparse import csr_matrix

import targets
from targets.errors import DataError, GraphError, UnsupportedNodeError
from targets.graph.fold import fold
from targets.graph.graph import SpikingGraph
from targets.loihi.program import FixedHop, FixedPopulation, Program
from targets.onnx.fixed_form import fixed_model, input_limit
from targets.onnx.target import OnnxOptions, OnnxTarget

DT = 1e-3


def lif(*shape: int) -> nir.LIF:
    ones = np.ones(shape)
    return nir.LIF(tau=ones * 4 * DT, r=ones * 4, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0)


def hop(
    source: str, target: str, matrix: np.ndarray, exponent: int = 0, delay: int = 0, **more: Any
) -> FixedHop:
    return FixedHop(source, target, csr_matrix(matrix.astype(np.int32)), exponent, delay, 0, "mixed", **more)


def population(name: str, *shape: int, **fields: Any) -> FixedPopulation:
    size = int(np.prod(shape))
    none = np.zeros((1, size), np.int64)
    values = {"du": 4095, "dv": 0, "vth": 100, "bias_u": none, "bias_v": none, "offset": 0} | fields
    return FixedPopulation(name, shape, **values)


def program(
    populations: list[FixedPopulation], hops: list[FixedHop], neurons: int, out: str = "a"
) -> Program:
    """The graph behind a hand-built program only lends its shapes."""
    shapes = {p.name: p.shape for p in populations}
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input({"input": np.array([neurons])})}
    edges = []
    for name, shape in shapes.items():
        nodes[name] = lif(*shape)
        nodes[f"to {name}"] = nir.Linear(np.zeros((shape[0], neurons)))
        edges += [("in", f"to {name}"), (f"to {name}", name)]
    nodes["out"] = nir.Output({"output": np.array(shapes[out])})
    graph = SpikingGraph.build(nodes, [*edges, (out, "out")], {"dt": DT})
    return Program(graph, tuple(populations), tuple(hops), {"in": (neurons,)}, {"out": out}, 0, ())


def truncated(value: np.ndarray, factor: int) -> np.ndarray:
    return np.sign(value) * ((np.abs(value) * factor) >> 12)


def wrapped(u: np.ndarray) -> np.ndarray:
    """As Lava's bit-accurate LIF does it, as often as it takes."""
    while (u > 2**23).any() or (u <= -(2**23)).any():
        u = np.where(u > 2**23, u - 2**24, u)
        u = np.where(u <= -(2**23), u + 2**24, u)
    return u


def integer_run(
    low: Program, x: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Populations in their given order, which must suit the hops without delay."""
    steps, samples = x.shape[:2]
    sent = {"in": x.reshape(steps, samples, -1).astype(np.int64)}
    states: dict[str, dict[str, np.ndarray]] = {}
    for p in low.populations:
        size = int(np.prod(p.shape))
        sent[p.name] = np.zeros((steps, samples, size), np.int64)
        states[p.name] = {key: np.zeros((steps, samples, size), np.int64) for key in "uv"}
    for t in range(steps):
        for p in low.populations:
            own = states[p.name]
            a = p.bias_u[min(t, len(p.bias_u) - 1)] + np.zeros_like(own["u"][t])
            for h in low.hops:
                if h.target == p.name and t >= h.delay:
                    a = a + (
                        (sent[h.source][t - h.delay] @ h.matrix.toarray().T.astype(np.int64)) << h.exponent
                    )
            before = {key: own[key][t - 1] if t else np.zeros_like(a) for key in "uv"}
            u = wrapped(truncated(before["u"], 4096 - (p.du + 1)) + (a << 6))
            v = truncated(before["v"], 4096 - p.dv) + u + p.bias_v[min(t, len(p.bias_v) - 1)]
            v = np.clip(v, -(2**23) + 1, 2**23 - 1)
            sent[p.name][t] = v > (p.vth << 6)
            reset = v - (p.vth << 6) if p.subtract else 0
            own["u"][t], own["v"][t] = u, np.where(sent[p.name][t], reset, v)
    return sent, states


def assert_equal(
    low: Program, x: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    executable = OnnxTarget().compile(low.graph, OnnxOptions(arithmetic="fixed", program=low))
    run = executable.run(x, [p.name for p in low.populations], states=True)
    sent, states = integer_run(low, x)
    for p in low.populations:
        shaped = (*x.shape[:2], *p.shape)
        assert np.array_equal(run.spikes[p.name], sent[p.name].reshape(shaped)), p.name
        assert np.array_equal(run.spike_counts[p.name], sent[p.name].sum((0, 1)).reshape(p.shape))
        for key, value in states[p.name].items():
            assert run.states[p.name][key].dtype == np.int64
            assert np.array_equal(run.states[p.name][key], value.reshape(shaped)), (p.name, key)
    assert np.array_equal(run.output, run.spikes[low.outputs["out"]])
    assert np.array_equal(run.spike_counts["in"], (x != 0).sum((0, 1)))
    return sent, states


def events(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.random(shape) < 0.4).astype(np.float32)


def test_int64_division_of_onnxruntime_truncates_toward_zero() -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n"]) for n in ("a", "b")]
    divisor = helper.make_tensor("d", TensorProto.INT64, [], [4096])
    graph = helper.make_graph(
        [helper.make_node("Div", ["a", "d"], ["b"])], "g", values[:1], values[1:], [divisor]
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    a = np.array([-8193, -8192, -4097, -4096, -4095, -1, 0, 1, 4095, 4096, -(2**35) - 1], np.int64)
    assert session.run(["b"], {"a": a})[0].tolist() == [-2, -2, -1, -1, 0, 0, 0, 0, 0, 1, -(2**23)]


@pytest.mark.parametrize("seed", range(4))
def test_random_recurrent_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def weights(rows: int, columns: int) -> np.ndarray:
        return rng.integers(-128, 128, (rows, columns)) * 2

    a = population("a", 6, du=int(rng.integers(0, 4095)), dv=int(rng.integers(0, 4096)), vth=900)
    b = population("b", 5, dv=410, vth=1500, bias_u=rng.integers(-200, 300, (3, 5)), subtract=bool(seed % 2))
    c = population("c", 4, du=2000, vth=3000, bias_v=rng.integers(-9000, 20000, (4, 4)))
    hops = [
        hop("in", "a", weights(6, 7), exponent=1),
        hop("a", "b", weights(5, 6)),
        hop("in", "b", weights(5, 7), delay=2),
        hop("b", "c", weights(4, 5), exponent=3),
        hop("a", "c", weights(4, 6), delay=1),
        hop("a", "a", weights(6, 6), delay=1),
        hop("c", "a", weights(6, 4), delay=3),
        hop("c", "c", weights(4, 4), exponent=2, delay=2),
    ]
    sent, states = assert_equal(program([a, b, c], hops, 7, "c"), events(rng, 40, 5, 7))
    for name in "abc":
        assert 0 < sent[name].mean() < 1
        assert states[name]["v"].min() < 0


def test_decay_of_a_negative_state_truncates() -> None:
    """One inhibitory event, then silence: floor would keep -1 for ever, truncation reaches 0."""
    low = program([population("a", 1, du=2047, dv=2048)], [hop("in", "a", np.array([[-2]]))], 1)
    x = np.zeros((30, 1, 1), np.float32)
    x[0] = 1
    _, states = assert_equal(low, x)
    assert states["a"]["u"][:9, 0, 0].tolist() == [-128, -64, -32, -16, -8, -4, -2, -1, 0]
    assert states["a"]["v"][-1, 0, 0] == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_current_wraps_and_membrane_clips(sign: int) -> None:
    """Weights that drive u exactly to its 24-bit limit, beside it and beyond it, step by step."""
    edge = 2**23 >> 6
    matrix = sign * np.array([[edge, 1, -1, 2 * edge - 1]])
    low = program([population("a", 1, du=1023, vth=131071)], [hop("in", "a", matrix)], 4)
    x = np.zeros((12, 4, 4), np.float32)
    x[0, 0, 0] = 1
    x[0, 1, [0, 1]] = 1
    x[0, 2, [0, 2]] = 1
    x[:, 3, 3] = 1
    _, states = assert_equal(low, x)
    u, v = states["a"]["u"][..., 0], states["a"]["v"][..., 0]
    # The limit itself is positive on either side, as in Lava.
    assert u[0, 0] == 2**23
    assert u[0, 1] == sign * (-(2**23) + 64)
    assert u[0, 2] == sign * (2**23 - 64)
    assert u[0, 3] == -sign * 64
    if sign < 0:
        assert v.min() == -(2**23) + 1


def test_membrane_clips_at_the_top_before_it_fires() -> None:
    bias = np.full((1, 2), 2**23, np.int64)
    low = program([population("a", 2, vth=131071, bias_v=bias)], [hop("in", "a", np.zeros((2, 1)))], 1)
    sent, _ = assert_equal(low, np.zeros((2, 1, 1), np.float32))
    # 2^23 - 1 lies above the largest threshold, 131071 << 6.
    assert sent["a"].all()


def test_bias_tables_hold_their_last_row() -> None:
    table = np.array([[0, 5], [7, 0], [1, 2]])
    a = population("a", 2, bias_u=table, vth=10**5)
    b = population("b", 2, bias_v=table * 64, vth=10**5)
    silent = np.zeros((2, 1))
    low = program([a, b], [hop("in", "a", silent), hop("in", "b", silent)], 1)
    _, states = assert_equal(low, np.zeros((6, 2, 1), np.float32))
    assert states["a"]["v"][:, 0, 1].tolist() == [320, 320, 448, 576, 704, 832]
    assert np.array_equal(states["a"]["v"], states["b"]["v"])


def test_population_without_synapses_keeps_its_batch() -> None:
    low = program([population("a", 2, bias_u=np.array([[3, -3]]), vth=5)], [], 1)
    sent, _ = assert_equal(low, np.zeros((5, 3, 1), np.float32))
    assert sent["a"][..., 0].any()


def convolution_program(rng: np.random.Generator) -> Program:
    kernel = rng.integers(-60, 60, (4, 2, 3, 3)) * 2
    node = nir.Conv2d((7, 6), kernel.astype(float), (2, 1), (1, 2), (1, 2), 2, np.zeros(4))
    nodes = {"in": nir.Input({"input": np.array([4, 7, 6])}), "conv": node}
    nodes["out"] = nir.Output({"output": np.array([1])})
    shape = (4, 4, 6)
    nodes |= {"a": lif(*shape), "out": nir.Output({"output": np.array(shape)})}
    graph = SpikingGraph.build(nodes, [("in", "conv"), ("conv", "a"), ("a", "out")], {"dt": DT})
    matrix = fold(node, (4, 7, 6))[0].toarray()
    hops = [hop("in", "a", matrix, 1, 1, convolution="conv", kernel=kernel)]
    return Program(
        graph,
        (population("a", *shape, dv=300, vth=700),),
        tuple(hops),
        {"in": (4, 7, 6)},
        {"out": "a"},
        0,
        (),
    )


def test_convolution_with_groups_stride_and_dilation() -> None:
    rng = np.random.default_rng(3)
    low = convolution_program(rng)
    sent, _ = assert_equal(low, events(rng, 12, 3, 4, 7, 6))
    assert 0 < sent["a"].mean() < 1
    assert "Conv" in {n.op_type for n in scan_body(fixed_model(low)).node}


def test_model_passes_the_checker() -> None:
    onnx.checker.check_model(
        fixed_model(convolution_program(np.random.default_rng(0)), ["a"], True), full_check=True
    )


def scan_body(model: onnx.ModelProto) -> onnx.GraphProto:
    return next(a.g for n in model.graph.node if n.op_type == "Scan" for a in n.attribute if a.name == "body")


def test_sums_beyond_exact_floats_are_split_in_two_products() -> None:
    rng = np.random.default_rng(5)
    matrix = rng.integers(-(2**24), 2**24 + 1, (3, 8))
    low = program([population("a", 3)], [hop("in", "a", matrix)], 8)
    assert sum(n.op_type == "MatMul" for n in scan_body(fixed_model(low)).node) == 2
    _, states = assert_equal(low, events(rng, 20, 4, 8))
    assert abs(states["a"]["u"]).max() > 2**22


def test_a_split_convolution() -> None:
    rng = np.random.default_rng(6)
    low = convolution_program(rng)
    one = low.hops[0]
    assert one.kernel is not None
    wide = replace(one, kernel=one.kernel << 16, matrix=one.matrix * 2**16)
    both = replace(low, hops=(wide, *low.hops[1:]))
    kinds = [[n.op_type for n in scan_body(fixed_model(p)).node].count("Conv") for p in (low, both)]
    assert kinds[1] == kinds[0] + 1
    assert_equal(both, events(rng, 12, 3, 4, 7, 6))


def test_sums_beyond_two_products_are_refused_by_name() -> None:
    far = FixedHop("in", "a", csr_matrix(np.full((1, 2), 2**52)), 0, 0, 0, "mixed")
    low = program([population("a", 1)], [far], 2)
    with pytest.raises(GraphError, match=r"'in' -> 'a'.*9007199254740992, and in two parts"):
        fixed_model(low)
    low = program([population("a", 1)], [hop("in", "a", np.ones((1, 2)), exponent=-1)], 2)
    with pytest.raises(GraphError, match=r"'in' -> 'a'.*exponent -1"):
        fixed_model(low)


def test_a_matrix_beyond_memory_is_refused_before_it_is_made() -> None:
    low = program([population("a", 2)], [hop("in", "a", np.ones((2, 2)))], 2)
    vast = FixedHop("in", "a", csr_matrix((2**20, 2**20), dtype=np.int32), 0, 0, 0, "mixed")
    with pytest.raises(GraphError, match=r"'in' -> 'a'.*4398046511104 bytes"):
        fixed_model(replace(low, hops=(vast,)))


@pytest.mark.parametrize("field", ["du", "dv"])
def test_decays_of_each_neuron(field: str) -> None:
    rng = np.random.default_rng(7)
    mixed = population("a", 3, **{field: np.array([0, 100, 4095])})
    assert_equal(program([mixed], [hop("in", "a", rng.integers(-40, 90, (3, 5)))], 5), events(rng, 30, 3, 5))


def test_a_loop_without_delay_is_refused() -> None:
    with pytest.raises(GraphError, match="no Delay"):
        fixed_model(program([population("a", 1)], [hop("a", "a", np.ones((1, 1)))], 1))


def test_input_outside_exact_integers_is_refused() -> None:
    low = program([population("a", 1)], [hop("in", "a", np.array([[1000, 24]]))], 2)
    executable = OnnxTarget().compile(low.graph, OnnxOptions(arithmetic="fixed", program=low))
    limit = input_limit(low)
    assert limit == (2**24 - 1) // 1024
    x = np.full((2, 1, 2), limit, np.float64)
    assert_equal(low, x)
    with pytest.raises(DataError, match=rf"holds {limit + 1}, allowed up to {limit}"):
        executable.run(x + 1)
    with pytest.raises(DataError, match="no integers"):
        executable.run(x / 2 + 0.25)
    with pytest.raises(DataError, match="folded into synapses"):
        executable.run(x, ["to a"])


def test_a_network_that_no_chip_holds_is_refused() -> None:
    low = program([population("a", 1)], [hop("in", "a", np.ones((1, 1)))], 1)
    nodes = {**low.graph.nodes, "a": nir.LI(tau=np.full(1, DT * 4), r=np.ones(1), v_leak=np.zeros(1))}
    graph = SpikingGraph.build(nodes, low.graph.edges, low.graph.profile)
    with pytest.raises(UnsupportedNodeError):
        OnnxTarget().compile(graph, OnnxOptions(arithmetic="fixed"))


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_loihi_simulator(seed: int) -> None:
    """A lowered convolution net with feedback and a skip edge: spikes, u and v of every step."""
    rng = np.random.default_rng(seed)
    cuba = nir.CubaLIF(
        tau_syn=np.full(5, 2 * DT),
        tau_mem=np.full(5, 6 * DT),
        r=np.full(5, 6.0),
        v_leak=np.full(5, 0.1),
        v_threshold=np.ones(5),
        v_reset=np.zeros(5),
        w_in=np.full(5, 2.0),
    )
    nodes = {
        "in": nir.Input({"input": np.array([2, 6, 6])}),
        "conv": nir.Conv2d((6, 6), rng.normal(0.1, 0.4, (3, 2, 3, 3)), 2, 1, 1, 1, rng.normal(0, 0.1, 3)),
        "a": lif(3, 3, 3),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "fc": nir.Affine(rng.normal(0.05, 0.3, (5, 27)), rng.normal(0, 0.1, 5)),
        "b": cuba,
        "wait": nir.Delay(np.full(5, 3 * DT)),
        "loop": nir.Linear(rng.normal(0, 0.3, (5, 5))),
        "skip": nir.Linear(rng.normal(0, 0.1, (5, 72))),
        "flat in": nir.Flatten({"input": np.array([2, 6, 6])}, 0, -1),
        "out": nir.Output({"output": np.array([5])}),
    }
    paths = [
        ["in", "conv", "a", "flat", "fc", "b", "out"],
        ["b", "wait", "loop", "b"],
        ["in", "flat in", "skip", "b"],
    ]
    edges = [edge for path in paths for edge in itertools.pairwise(path)]
    graph = SpikingGraph.build(nodes, edges, {"dt": DT})
    x = events(rng, 25, 20, 2, 6, 6)
    ours = targets.compile(graph, "onnx", arithmetic="fixed").run(x, ["a", "b"], states=True)
    theirs = targets.compile(graph, "loihi").run(x, ["a", "b"], states=True)
    for name in ("a", "b"):
        assert 0 < ours.spikes[name].mean() < 1
        assert np.array_equal(ours.spikes[name], theirs.spikes[name])
        assert np.array_equal(ours.spike_counts[name], theirs.spike_counts[name])
        for key, value in theirs.states[name].items():
            assert np.array_equal(ours.states[name][key], value)


def test_programs_differ_only_by_what_they_hold() -> None:
    """The options' program is the one that runs, not a fresh lowering."""
    low = program([population("a", 1, vth=1)], [hop("in", "a", np.array([[2]]))], 1)
    deaf = replace(low, populations=(replace(low.populations[0], vth=3),))
    x = np.ones((1, 1, 1), np.float32)
    runs = [
        OnnxTarget().compile(p.graph, OnnxOptions(arithmetic="fixed", program=p)).run(x) for p in (low, deaf)
    ]
    assert [int(run.output.sum()) for run in runs] == [1, 0]
