"""Both engines of the simulator against the documented equations in Python integers, and streaming."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import targets
from targets import ConfigError, DataError, GraphError, SpikingGraph
from targets.loihi.kernels import lookups
from targets.loihi.kernels.engine import NotSpikesError
from targets.loihi.program import FixedHop, FixedPopulation, Program
from targets.loihi.simulator import KERNELS, LoihiExecutable
from targets.reference.kernels.build import kernels

COMPILED = pytest.mark.skipif(kernels("auto", KERNELS).library is None, reason="no C kernels")
ENGINES = [
    pytest.param({"kernels": "c"}, marks=COMPILED, id="events"),
    pytest.param({"kernels": "c", "products": "dense"}, marks=COMPILED, id="dense"),
    pytest.param({"kernels": "torch"}, id="torch"),
]
SHAPES = [(5,), (17,), (130,), (3, 4), (8, 3, 3), (12, 2, 5)]


def lif(shape: tuple[int, ...]) -> nir.LIF:
    one = np.ones(shape)
    return nir.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def random_program(rng: np.random.Generator) -> Program:
    """Three populations, a skip, a delayed self-loop and feedback; fields anywhere in range.

    In half of the programs all hops have one exponent, as sums of 16 bits need.
    """
    exponent = None if rng.integers(2) else int(rng.integers(10))
    shapes = {"in": SHAPES[rng.integers(6)], **{f"p{i}": SHAPES[rng.integers(6)] for i in (1, 2, 3)}}
    size = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    nodes: dict[str, Any] = {"in": nir.Input(np.array(shapes["in"]))}
    edges, before = [], "in"
    for name in ("p1", "p2", "p3"):
        nodes |= {
            f"{name}f": nir.Flatten({"input": np.array(shapes[before])}, 0, -1),
            f"{name}w": nir.Linear(np.ones((size[name], size[before]))),
            f"{name}g": nir.Flatten({"input": np.array((size[name],))}, 0, -1),
            name: lif((size[name],)),
        }
        shapes[name] = (size[name],)
        edges += [
            (before, f"{name}f"),
            (f"{name}f", f"{name}w"),
            (f"{name}w", f"{name}g"),
            (f"{name}g", name),
        ]
        before = name
    nodes["out"] = nir.Output(np.array([size["p3"]]))
    graph = SpikingGraph.build(nodes, [*edges, ("p3", "out")], {"dt": 1e-3})
    layouts = {name: shapes[name] for name in ("p1", "p2", "p3")}
    for name in layouts:
        found = [s for s in SHAPES if int(np.prod(s)) == size[name]]
        layouts[name] = found[rng.integers(len(found))]
    # Offsets 1, 2, 3: delay of the graph = 1 + axonal + phi(source) - phi(target).
    links = [("in", "p1", 0, 0), ("p1", "p2", 0, 0), ("p2", "p3", 0, 0), ("in", "p3", 3, 1)]
    links += [("p2", "p2", 3, 4), ("p3", "p1", 1, 4)]
    return Program(
        graph=graph,
        populations=tuple(_population(rng, n, layouts[n], i) for i, n in enumerate(layouts, start=1)),
        hops=tuple(
            _hop(rng, a, b, (size[b], size[a]), axonal, delay, exponent) for a, b, axonal, delay in links
        ),
        inputs={"in": shapes["in"]},
        outputs={"out": "p3"},
        drain=7,
        table=(),
    )


def _population(rng: np.random.Generator, name: str, shape: tuple[int, ...], offset: int) -> FixedPopulation:
    rows, neurons = rng.integers(1, 4), int(np.prod(shape))
    widest = 4095 << 7
    return FixedPopulation(
        name=name,
        shape=shape,
        du=_decay(rng, neurons, [0, 1, 800, 4094, 4095]),
        dv=_decay(rng, neurons, [0, 1, 500, 4095]),
        vth=int(rng.choice([1, 300, 4096, 2**17 - 1])),
        bias_u=rng.choice([0, -3, 200, 2**17], (rows, neurons)) * rng.integers(0, 2),
        bias_v=rng.choice([0, -widest, 77, widest, 2**40, -(2**40)], (rows, neurons)),
        offset=offset,
        subtract=bool(rng.integers(2)),
    )


def _decay(rng: np.random.Generator, neurons: int, choices: list[int]) -> int | np.ndarray:
    """One field, or in a third of cases one a neuron."""
    return rng.choice(choices, neurons) if rng.integers(3) == 0 else int(rng.choice(choices))


def _hop(
    rng: np.random.Generator,
    source: str,
    target: str,
    shape: tuple[int, int],
    axonal: int,
    delay: int,
    exponent: int | None,
) -> FixedHop:
    matrix = rng.choice([-256, -2, 1, 64, 255], shape) * (rng.random(shape) < rng.choice([0.02, 0.3, 1.0]))
    shift = int(rng.integers(10)) if exponent is None else exponent
    return FixedHop(source, target, csr_matrix(matrix.astype(np.int32)), shift, delay, axonal, "mixed")


def by_the_equations(program: Program, x: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """`{population: {"s" | "u" | "v": [T, B, neurons]}}`; hops read s[t - delay]."""
    steps, batch = x.shape[:2]
    sent = {"in": x.reshape(steps, batch, -1).astype(np.int64)}
    found = {p.name: {kind: np.zeros((steps, batch, p.bias_u.shape[1]), np.int64) for kind in "suv"}
             for p in program.populations}  # fmt: skip
    sent |= {name: kinds["s"] for name, kinds in found.items()}

    def kept(value: np.ndarray, factor: int | np.ndarray) -> np.ndarray:
        return np.sign(value) * (np.abs(value) * factor // 4096)

    for t in range(steps):
        for p in program.populations:
            a = p.bias_u[min(t, len(p.bias_u) - 1)] + np.zeros_like(found[p.name]["u"][t])
            for hop in program.hops:
                if hop.target == p.name and t >= hop.delay:
                    a = a + (
                        (sent[hop.source][t - hop.delay] @ hop.matrix.toarray().T.astype(np.int64))
                        << hop.exponent
                    )
            u, v = (found[p.name][kind][t - 1] if t else 0 for kind in "uv")
            u = kept(u, 4096 - p.du - 1) + (a << 6)
            u = 2**23 - (2**23 - u) % 2**24
            v = kept(v, 4096 - p.dv) + u + p.bias_v[min(t, len(p.bias_v) - 1)]
            v = np.clip(v, 1 - 2**23, 2**23 - 1)
            fired = v > p.vth << 6
            rest = v - (p.vth << 6) if p.subtract else np.zeros_like(v)
            for kind, value in (("s", fired), ("u", u), ("v", np.where(fired, rest, v))):
                found[p.name][kind][t] = value
    return found


def spikes_of(rng: np.random.Generator, steps: int, batch: int, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([0, 0, 0, 1, -1], (steps, batch, *shape)).astype(np.float32)


def assert_equal(run: targets.Run, expected: dict[str, dict[str, np.ndarray]]) -> None:
    for name, kinds in expected.items():
        np.testing.assert_array_equal(run.spikes[name], kinds["s"])
        np.testing.assert_array_equal(run.states[name]["u"], kinds["u"])
        np.testing.assert_array_equal(run.states[name]["v"], kinds["v"])
        np.testing.assert_array_equal(run.spike_counts[name], kinds["s"].sum(axis=(0, 1)))


@pytest.mark.parametrize("chosen", ENGINES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_spike_and_state_at_the_limits(chosen: dict[str, str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    x = spikes_of(rng, 9, 2, program.inputs["in"])
    run = LoihiExecutable(program, **chosen).run(x, record=["p1", "p2", "p3"], states=True)
    assert_equal(run, by_the_equations(program, x))
    np.testing.assert_array_equal(run.spike_counts["in"], (x != 0).sum(axis=(0, 1)))


def pictures(channels: int, signed: bool) -> SpikingGraph:
    """Convolutions of 5 x 5 and, with stride 2, 3 x 3, pooling, and a dense layer beside a skip."""
    rng = np.random.default_rng(channels)

    def conv(size: tuple[int, int], inputs: int, outputs: int, kernel: int, stride: int) -> nir.Conv2d:
        weight = rng.normal(size=(outputs, inputs, kernel, kernel))
        weight = weight if signed else abs(weight)
        return nir.Conv2d(size, weight, stride, kernel // 2, 1, 1, 0.1 * rng.normal(size=outputs))

    nodes: dict[str, Any] = {
        "in": nir.Input(np.array([channels, 9, 7])),
        "c1": conv((9, 7), channels, 12, 5, 1),
        "p1": lif((12, 9, 7)),
        "c2": conv((9, 7), 12, 10, 3, 2),
        "p2": lif((10, 5, 4)),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([10, 2, 2])}, 0, -1),
        "w": nir.Linear(rng.normal(size=(3, 40))),
        "p3": lif((3,)),
        "out": nir.Output(np.array([3])),
    }
    extra = {
        "flat2": nir.Flatten({"input": np.array([12, 9, 7])}, 0, -1),
        "w2": nir.Linear(rng.normal(size=(3, 756)) / 9),
    }
    chain = list(pairwise(nodes))
    skip = [("p1", "flat2"), ("flat2", "w2"), ("w2", "p3")]
    return SpikingGraph.build(nodes | extra, chain + skip, {"dt": 0.5})


@pytest.mark.parametrize("chosen", ENGINES)
@pytest.mark.parametrize(("channels", "signed"), [(1, True), (2, True), (3, False)])
def test_pictures(chosen: dict[str, str], channels: int, signed: bool) -> None:
    """Rows at the edges, and more steps than are taken at once."""
    program = targets.compile(pictures(channels, signed), "loihi").program
    x = spikes_of(np.random.default_rng(1), 37, 2, program.inputs["in"])
    names = [p.name for p in program.populations]
    run = LoihiExecutable(program, **chosen).run(x, record=names, states=True)
    expected = by_the_equations(program, x)
    for name in names:
        assert 0 < expected[name]["s"].mean() < 1
        got = {"s": run.spikes[name], **run.states[name]}
        for kind, values in expected[name].items():
            np.testing.assert_array_equal(got[kind].reshape(values.shape), values)


def reader(shape: tuple[int, ...]) -> Program:
    """An input of whole words of a mask, as far as its pixels fill them, and a dense layer."""
    rng, size = np.random.default_rng(4), int(np.prod(shape))
    nodes = {
        "in": nir.Input(np.array(shape)),
        "flat": nir.Flatten({"input": np.array(shape)}, 0, -1),
        "w": nir.Linear(rng.normal(size=(7, size))),
        "p": lif((7,)),
        "out": nir.Output(np.array([7])),
    }
    return targets.compile(SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 0.5}), "loihi").program


@pytest.mark.parametrize("chosen", ENGINES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 8, 8), (3, 8, 8), (4, 16, 8), (2, 5, 13), (200,)])
def test_inputs_of_any_shape(chosen: dict[str, str], shape: tuple[int, ...]) -> None:
    program = reader(shape)
    x = spikes_of(np.random.default_rng(2), 40, 7, shape)
    x[:, 3:] = abs(x[:, 3:])
    x[x == 0] = -0.0
    run = LoihiExecutable(program, **chosen).run(x, record=["p"], states=True)
    assert_equal(run, by_the_equations(program, x))
    np.testing.assert_array_equal(run.spike_counts["in"], (x != 0).sum(axis=(0, 1)))


@COMPILED
@pytest.mark.parametrize("value", [2.0, -0.5, 1.5, 1 + 2**-23, 1e-40, 2.0**-96, np.inf, np.nan])
@pytest.mark.parametrize("at", [70, 130])
def test_values_that_are_no_spikes_are_found(value: float, at: int) -> None:
    """In a whole word of a mask and behind it; the next run does not know of them."""
    engine = LoihiExecutable(reader((140,)), "c").engine
    x = np.ones((1, 2, 140), np.float32)
    x[0, 1, at] = value
    with pytest.raises(NotSpikesError):
        engine.advance(engine.start(2), {"in": x}, (), ())
    counts = engine.advance(engine.start(2), {"in": np.ones_like(x)}, (), ()).counts["in"]
    np.testing.assert_array_equal(counts, np.full(140, 2))


@pytest.mark.parametrize("chosen", ENGINES)
def test_slow_membranes_over_many_steps(chosen: dict[str, str]) -> None:
    """Nothing clips, and counts and padding last."""
    node = lif((5,))
    nodes = {
        "in": nir.Input(np.array([5])),
        "w": nir.Linear(np.eye(5)),
        "p": nir.LIF(256 * node.tau, 256 * node.r, node.v_leak, 4 * node.v_threshold, node.v_reset),
        "out": nir.Output(np.array([5])),
    }
    program = targets.compile(SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0}), "loihi").program
    x = abs(spikes_of(np.random.default_rng(0), 600, 1, (5,)))
    run = LoihiExecutable(program, **chosen).run(x, record=["p"], states=True)
    expected = by_the_equations(program, x)
    assert expected["p"]["s"].sum() > 100
    assert_equal(run, expected)
    assert LoihiExecutable(program, **chosen).run(x).spike_counts["p"].sum() == expected["p"]["s"].sum()


@COMPILED
@pytest.mark.parametrize("windows", [{8: 1 << 30}, {6: 1 << 30}, {4: 1 << 30}, {1: 1 << 30}])
@pytest.mark.parametrize("seed", range(3))
def test_windows_of_any_bits(monkeypatch: pytest.MonkeyPatch, windows: dict[int, int], seed: int) -> None:
    """Runs of many windows, strips of 8, 16 and 32 neurons, sums of 16 and 32 bits."""
    monkeypatch.setattr(lookups, "_WINDOWS", windows)
    monkeypatch.setattr(lookups, "_ONCE", 8)
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    x = spikes_of(rng, 6, 2, program.inputs["in"])
    run = LoihiExecutable(program, "c", products="dense").run(x, record=["p1", "p2", "p3"], states=True)
    assert_equal(run, by_the_equations(program, x))


@pytest.mark.parametrize("chosen", ENGINES)
def test_the_limits_are_met(chosen: dict[str, str]) -> None:
    found = {"wrapped": 0, "clipped": 0, "subtracted": 0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        program = random_program(rng)
        x = spikes_of(rng, 9, 2, program.inputs["in"])
        run = LoihiExecutable(program, **chosen).run(x, record=["p1", "p2", "p3"], states=True)
        for p in program.populations:
            found["clipped"] += int((abs(run.states[p.name]["v"]) == 2**23 - 1).sum())
            found["wrapped"] += int((abs(run.states[p.name]["u"]) > 2**22).sum())
            found["subtracted"] += int(p.subtract and run.spikes[p.name].sum())
    assert min(found.values()) > 50, found


@pytest.mark.parametrize("chosen", ENGINES)
def test_stretches_and_steps_carry_the_state(
    chosen: dict[str, str], recurrent_graph: Callable[..., SpikingGraph]
) -> None:
    graph = recurrent_graph(5)
    x = (np.random.default_rng(5).random((11, 3, 1, 8, 8)) < 0.3).astype(np.uint8)
    executable = targets.compile(graph, "loihi", **chosen)
    whole = executable.run(x, record=graph.populations, states=True)
    assert whole.spike_counts["l3"].sum() > 0
    for _ in range(2):
        parts = [executable.advance(part, graph.populations, states=True) for part in np.split(x, [1, 3, 10])]
        for name in graph.populations:
            np.testing.assert_array_equal(np.concatenate([p.spikes[name] for p in parts]), whole.spikes[name])
            np.testing.assert_array_equal(sum(p.spike_counts[name] for p in parts), whole.spike_counts[name])
            joined = np.concatenate([p.states[name]["v"] for p in parts])
            np.testing.assert_array_equal(joined, whole.states[name]["v"])
        executable.reset()
    for t in range(11):
        np.testing.assert_array_equal(executable.step(x[t])["output"], whole.output[t])
        if t == 5:
            executable.run(x)


@pytest.mark.parametrize("chosen", ENGINES)
def test_what_a_stream_refuses_leaves_its_state(
    chosen: dict[str, str], recurrent_graph: Callable[..., SpikingGraph]
) -> None:
    x = (np.random.default_rng(6).random((8, 2, 1, 8, 8)) < 0.3).astype(np.float32)
    executable = targets.compile(recurrent_graph(6), "loihi", **chosen)
    whole = executable.run(x).output
    first = executable.advance(x[:4]).output
    with pytest.raises(DataError, match="fractions"):
        executable.advance(x[4:] / 2)
    with pytest.raises(DataError, match=r"holds 1 samples, allowed 2 until reset\(\)"):
        executable.advance(x[4:, :1])
    with pytest.raises(DataError, match="folded into synapses"):
        executable.advance(x[4:], record=["c2"])
    np.testing.assert_array_equal(np.concatenate([first, executable.advance(x[4:]).output]), whole)


@pytest.mark.parametrize("chosen", ENGINES)
def test_steps_may_share_one_array(chosen: dict[str, str]) -> None:
    rng = np.random.default_rng(3)
    program = random_program(rng)
    x = spikes_of(rng, 8, 2, program.inputs["in"])
    executable = LoihiExecutable(program, **chosen)
    whole, buffer = executable.run(x).output, np.empty_like(x[0])
    assert 0 < whole.sum() < whole.size
    for t in range(len(x)):
        buffer[:] = x[t]
        np.testing.assert_array_equal(executable.step(buffer)["out"], whole[t])


def test_a_hop_that_arrives_before_it_is_sent_is_refused() -> None:
    program = random_program(np.random.default_rng(0))
    late = program.populations[-1]
    moved = FixedPopulation(**{**late.__dict__, "offset": 9})
    wrong = Program(**{**program.__dict__, "populations": (*program.populations[:-1], moved)})
    with pytest.raises(GraphError, match=r"'p2' -> 'p3' arrives 6 steps before"):
        LoihiExecutable(wrong)


def test_choices_that_do_not_exist_are_refused(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    with pytest.raises(ConfigError, match="allowed auto, c, torch"):
        targets.compile(graph, "loihi", kernels="cuda")
    with pytest.raises(ConfigError, match="products 'sparse', allowed events, dense"):
        targets.compile(graph, "loihi", products="sparse")
    with pytest.raises(ConfigError, match="allowed on 'cpu'"):
        targets.compile(graph, "loihi", kernels="c", device="cuda")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device 'cuda' is not there"):
            targets.compile(graph, "loihi", device="cuda")
    assert (
        "torch kernels"
        in targets.compile(graph, "loihi", kernels="torch").run(np.zeros((1, 1, 1, 8, 8))).ran_on
    )
