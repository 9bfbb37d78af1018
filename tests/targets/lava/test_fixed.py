"""Lava's fixed point against the equations of `targets.loihi.program`, written again in numpy."""

from __future__ import annotations

import dataclasses

import nir
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from targets.errors import DataError, UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.lava.target import LavaOptions, LavaTarget
from targets.loihi.program import FixedHop, FixedPopulation, Program

needs_lava = pytest.mark.usefixtures("lava_environment")


def neurons(kind, size):
    one = np.ones(size)
    if kind is nir.IF:
        return nir.IF(r=one, v_threshold=one, v_reset=0 * one)
    if kind is nir.LI:
        return nir.LI(tau=one, r=one, v_leak=0 * one)
    return nir.LIF(tau=one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def structure(sizes, last=nir.IF):
    """A chain of Input, populations and Output; the program decides what is computed."""
    names = ["in", *(f"p{i}" for i in range(1, len(sizes))), "out"]
    nodes = {"in": nir.Input(np.array([sizes[0]])), "out": nir.Output(np.array([sizes[-1]]))}
    edges = []
    for i, size in enumerate(sizes[1:], start=1):
        nodes[f"w{i}"] = nir.Linear(np.ones((size, sizes[i - 1])))
        nodes[names[i]] = neurons(last if i == len(sizes) - 1 else nir.LIF, size)
        edges += [(names[i - 1], f"w{i}"), (f"w{i}", names[i])]
    return SpikingGraph.build(nodes, [*edges, (names[-2], "out")], {"dt": 1e-3})


def population(rng, name, size, offset, du, dv, vth, rows=1):
    return FixedPopulation(
        name=name,
        shape=(size,),
        du=du,
        dv=dv,
        vth=vth,
        bias_u=rng.integers(-20, 30, (rows, size)),
        bias_v=rng.integers(-900, 2000, (rows, size)),
        offset=offset,
    )


def hop(rng, source, target, shape, delay=0, axonal=0, sign="mixed", exponent=0):
    low, high = {"mixed": (-128, 128), "excitatory": (0, 256), "inhibitory": (-255, 1)}[sign]
    matrix = rng.integers(low, high, shape) * (rng.random(shape) < 0.7)
    matrix = matrix * 2 if sign == "mixed" else matrix
    return FixedHop(source, target, csr_matrix(matrix.astype(np.int32)), exponent, delay, axonal, sign)


def network(rng):
    """Feed-forward, skip with two steps of axonal delay, recurrence of delay 1 and 2, feedback of delay 2."""
    return Program(
        graph=structure((6, 7, 5, 4)),
        populations=(
            population(rng, "p1", 7, 1, du=4095, dv=500, vth=300, rows=4),
            population(rng, "p2", 5, 2, du=1000, dv=300, vth=500),
            population(rng, "p3", 4, 3, du=4095, dv=0, vth=400, rows=3),
        ),
        hops=(
            hop(rng, "in", "p1", (7, 6)),
            hop(rng, "p1", "p2", (5, 7), sign="excitatory"),
            hop(rng, "p2", "p2", (5, 5), delay=1, sign="inhibitory"),
            hop(rng, "p2", "p2", (5, 5), delay=2, axonal=1),
            hop(rng, "p2", "p3", (4, 5), exponent=1),
            hop(rng, "in", "p3", (4, 6), axonal=2),
            hop(rng, "p3", "p2", (5, 4), delay=2),
            hop(rng, "p1", "p3", (4, 7), delay=3, axonal=4),
        ),
        inputs={"in": (6,)},
        outputs={"out": "p3"},
        drain=3 + 3,
        table=(),
    )


def wrapped(u):
    """Lava's 24 bits: one wrap, into (-2^23, 2^23]."""
    once = np.where(u > 2**23, u - 2**24, u)
    return np.where(once <= -(2**23), u + 2**24, once)


def decayed(x, keep):
    return np.sign(x) * (np.abs(x) * keep // 4096)


def layer_by_layer(program, x):
    """Spikes, u and v [T, B, n] where no hop takes time: hops read s[t - delay]."""
    steps, samples = x.shape[:2]
    spikes = {"in": x.astype(np.int64)}
    shapes = {p.name: (steps, samples, p.shape[0]) for p in program.populations}
    spikes |= {name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
    u, v = ({name: np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()} for _ in "uv")
    for t in range(steps):
        for p in program.populations:
            a = p.bias_u[min(t, len(p.bias_u) - 1)] + np.zeros((samples, 1), dtype=np.int64)
            for h in program.hops:
                if h.target == p.name and t >= h.delay:
                    a = a + (spikes[h.source][t - h.delay] @ h.matrix.toarray().T << h.exponent)
            before = (u[p.name][t - 1], v[p.name][t - 1]) if t else (0, 0)
            now = wrapped(decayed(before[0], 4096 - p.du - 1) + (a << 6))
            bias = p.bias_v[min(t, len(p.bias_v) - 1)]
            membrane = np.clip(decayed(before[1], 4096 - p.dv) + now + bias, 1 - 2**23, 2**23 - 1)
            fired = membrane > p.vth << 6
            spikes[p.name][t], u[p.name][t], v[p.name][t] = fired, now, np.where(fired, 0, membrane)
    return spikes, u, v


def run(program, x, **keywords):
    executable = LavaTarget().compile(program.graph, LavaOptions("fixed", 200.0, program))
    return executable.run(x, **keywords)


@needs_lava
@pytest.mark.parametrize("seed", [0, 1])
def test_every_spike_and_state_of_three_samples(seed):
    rng = np.random.default_rng(seed)
    program = network(rng)
    x = (rng.random((12, 3, 6)) < 0.4).astype(np.float32)
    found = run(program, x, record=["in", "p1", "p2", "p3"], states=True)
    spikes, u, v = layer_by_layer(program, x)
    for name in ("p1", "p2", "p3"):
        assert 0 < spikes[name].sum() < spikes[name].size
        np.testing.assert_array_equal(found.spikes[name], spikes[name])
        np.testing.assert_array_equal(found.states[name]["u"], u[name])
        np.testing.assert_array_equal(found.states[name]["v"], v[name])
        np.testing.assert_array_equal(found.spike_counts[name], spikes[name].sum(axis=(0, 1)))
    np.testing.assert_array_equal(found.spike_counts["in"], x.sum(axis=(0, 1)))
    np.testing.assert_array_equal(found.output, spikes["p3"])
    assert found.ran_on.startswith("Lava 0.10.0")
    assert (found.steps, found.samples) == (12, 3)


@needs_lava
def test_silent_hop_and_separate_parts_run():
    rng = np.random.default_rng(5)
    empty = FixedHop("p1", "p2", csr_matrix((3, 3), dtype=np.int32), 0, 0, 0, "mixed")
    program = Program(
        graph=structure((2, 3, 3)),
        populations=(
            population(rng, "p1", 3, 1, du=4095, dv=100, vth=60),
            population(rng, "p2", 3, 2, du=4095, dv=0, vth=60),
        ),
        hops=(hop(rng, "in", "p1", (3, 2)), empty),
        inputs={"in": (2,)},
        outputs={"out": "p2"},
        drain=2,
        table=(),
    )
    x = (rng.random((20, 2, 2)) < 0.5).astype(np.uint8)
    found = run(program, x, record=["p1", "p2"])
    spikes, _, _ = layer_by_layer(program, x)
    assert spikes["p2"].sum() > 0
    np.testing.assert_array_equal(found.spikes["p1"], spikes["p1"])
    np.testing.assert_array_equal(found.spikes["p2"], spikes["p2"])


@needs_lava
def test_current_wraps_once_as_the_restatement_does():
    """Weights of 255 << 9 push the current over 2^23, and 256 << 9 onto it."""
    weights = csr_matrix(np.array([[254, 254], [254, 2], [-256, 0], [-256, -2]], dtype=np.int32))
    program = Program(
        graph=structure((2, 4)),
        populations=(
            FixedPopulation("p1", (4,), 4095, 4096, 1, np.zeros((1, 4), int), np.zeros((1, 4), int), 1),
        ),
        hops=(FixedHop("in", "p1", weights, 9, 0, 0, "mixed"),),
        inputs={"in": (2,)},
        outputs={"out": "p1"},
        drain=1,
        table=(),
    )
    x = np.array([[1, 0], [1, 1]]).reshape(2, 1, 2)
    found = run(program, x, states=True)
    _, u, _ = layer_by_layer(program, x)
    assert u["p1"][1, 0].tolist() == [254 * 2**16 - 2**24, 2**23, 2**23, 2**24 - 258 * 2**15]
    np.testing.assert_array_equal(found.states["p1"]["u"], u["p1"])


def test_graded_input_and_folded_record_are_refused():
    program = network(np.random.default_rng(0))
    x = np.full((3, 1, 6), 0.5)
    with pytest.raises(DataError, match="other than -1, 0 and 1"):
        run(program, x)
    with pytest.raises(DataError, match="folded"):
        run(program, x.round(), record=["w1"])
    with pytest.raises(DataError, match="shape"):
        run(program, x[..., :2])


def test_integrator_that_feeds_synapses_is_refused():
    program = network(np.random.default_rng(0))
    graph = structure((6, 7, 5, 4), last=nir.LI)
    feeding = Program(
        graph, *(getattr(program, n) for n in ("populations", "hops", "inputs", "outputs")), 6, ()
    )
    with pytest.raises(UnsupportedNodeError, match="leaky integrator"):
        LavaTarget().compile(graph, LavaOptions("fixed", 60.0, feeding))


@needs_lava
def test_integrator_at_the_end_gives_its_membrane():
    rng = np.random.default_rng(3)
    program = Program(
        graph=structure((4, 5), last=nir.LI),
        populations=(population(rng, "p1", 5, 1, du=700, dv=200, vth=2**17 - 1),),
        hops=(hop(rng, "in", "p1", (5, 4)),),
        inputs={"in": (4,)},
        outputs={"out": "p1"},
        drain=1,
        table=(),
    )
    x = (rng.random((9, 2, 4)) < 0.5).astype(np.uint8)
    found = run(program, x)
    _, _, v = layer_by_layer(program, x)
    assert np.abs(v["p1"]).max() > 0
    np.testing.assert_array_equal(found.output, v["p1"])
    assert "p1" not in found.spike_counts


@needs_lava
def test_neurons_of_several_decays_run_as_processes_of_one_each():
    """Two groups in p1 and three in p2, which also feeds itself and a relay; results are of p1 and p2."""
    rng = np.random.default_rng(7)
    program = network(rng)
    first, second, last = program.populations
    first = dataclasses.replace(first, dv=np.array([500, 40, 500, 40, 40, 500, 500]))
    second = dataclasses.replace(second, du=np.array([9, 1000, 9, 9, 1000]), dv=np.array([3, 3, 3, 800, 3]))
    hops = (*program.hops, hop(rng, "p2", "p3", (4, 5), delay=69, axonal=69))
    program = dataclasses.replace(program, populations=(first, second, last), hops=hops, drain=72)
    x = (rng.random((72, 1, 6)) < 0.4).astype(np.float32)
    executable = LavaTarget().compile(program.graph, LavaOptions("fixed", 200.0, program))
    names = [p.name for p in executable.job.populations]
    assert [sum(name.startswith(p) for name in names) for p in ("p1", "p2,", "p3", "p2, group")] == [
        2,
        4,
        1,
        3,
    ]
    found = executable.run(x, record=["p1", "p2", "p3"], states=True)
    spikes, u, v = layer_by_layer(program, x)
    for name in ("p1", "p2", "p3"):
        assert 0 < spikes[name].sum() < spikes[name].size
        np.testing.assert_array_equal(found.spikes[name], spikes[name])
        np.testing.assert_array_equal(found.states[name]["u"], u[name])
        np.testing.assert_array_equal(found.states[name]["v"], v[name])
        np.testing.assert_array_equal(found.spike_counts[name], spikes[name].sum(axis=(0, 1)))
