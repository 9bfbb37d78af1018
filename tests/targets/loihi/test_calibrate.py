"""Formats chosen on data: no worse than the plain ones, and the bits of weights that fit few."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

import targets
from targets import ConfigError, SpikingGraph
from targets.loihi.lower import lower
from targets.loihi.program import Program


def network(weight: np.ndarray) -> SpikingGraph:
    out, size = weight.shape
    one = np.ones(out)
    nodes = {
        "in": nir.Input(np.array([size])),
        "w": nir.Linear(weight),
        "n": nir.IF(one, one, 0 * one),
        "out": nir.Output(np.array([out])),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})


def current_error(program: Program, weight: np.ndarray, x: np.ndarray) -> float:
    """Mean square change of the summed current, in thresholds, of every step."""
    (hop,), (population,) = program.hops, program.populations
    held = hop.matrix.toarray() * 2.0**hop.exponent / population.vth
    return float(np.mean((x.reshape(-1, x.shape[-1]) @ (held - weight).T) ** 2))


def compiled(graph: SpikingGraph, **options: object) -> Program:
    return targets.compile(graph, "loihi", **options).program


@pytest.mark.parametrize(("bits", "outlier"), [(3, 0.6), (8, 4.0)])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_lowers_the_error_on_the_data(bits: int, outlier: float, seed: int) -> None:
    """One weight is an outlier that its input hardly ever uses: clipping it makes the others finer."""
    rng = np.random.default_rng(seed)
    weight = 0.05 * rng.normal(size=(20, 30))
    weight[0, 0] = outlier
    x = (rng.random((20, 8, 30)) < 0.4).astype(np.float32)
    x[:, :, 0] = 0
    graph = network(weight)
    plain = compiled(graph, weight_bits=bits)
    chosen = compiled(graph, weight_bits=bits, calibration=x)
    assert current_error(chosen, weight, x) < current_error(plain, weight, x) / 1.5
    assert abs(chosen.hops[0].matrix.data).max() <= 255


def two_layers(rng: np.random.Generator) -> SpikingGraph:
    """12 inputs - 20 LIF - 6 IF."""
    one, ten = np.ones(20, np.float32), np.ones(6, np.float32)
    nodes = {
        "in": nir.Input(np.array([12])),
        "w": nir.Affine(rng.normal(size=(20, 12)), 0.1 * rng.normal(size=20)),
        "n": nir.LIF(tau=3 * one, r=3 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
        "v": nir.Linear(rng.normal(size=(6, 20))),
        "m": nir.IF(ten, ten, 0 * ten),
        "out": nir.Output(np.array([6])),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1.0})


def test_outputs_come_no_further_from_the_float_ones() -> None:
    """On the data that formats were chosen on, at few bits; closer on most networks."""
    changes = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        graph = two_layers(rng)
        x = (rng.random((10, 16, 12)) < 0.4).astype(np.float32)
        wanted = targets.compile(graph, "reference").run(x).output.sum(axis=0)
        plain, chosen = (
            np.mean((targets.compile(graph, "loihi", **o).run(x).output.sum(axis=0) - wanted) ** 2)
            for o in ({"weight_bits": 3}, {"weight_bits": 3, "calibration": x})
        )
        changes.append(chosen - plain)
    assert max(changes) <= 0
    assert sum(change < 0 for change in changes) >= 5


def test_auto_takes_the_fewest_bits_that_lose_nothing() -> None:
    """Weights of 7 levels: 4 bits, one of them the sign, hold them exactly."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (10, 12)) / 4
    weight[0, :2] = (0.75, -0.25)
    x = (rng.random((10, 4, 12)) < 0.4).astype(np.float32)
    (hop,) = compiled(network(weight), weight_bits="auto", calibration=x).hops
    levels = np.gcd.reduce(hop.matrix.data)
    assert levels >= 2**5
    fine = compiled(network(rng.normal(size=(10, 12))), weight_bits="auto", calibration=x)
    assert np.gcd.reduce(fine.hops[0].matrix.data) == 2


def test_bits_per_hop() -> None:
    graph = network(np.random.default_rng(1).normal(size=(6, 7)))
    (hop,) = lower(graph, {("in", "n"): 3}).hops
    assert (hop.matrix.data % 64 == 0).all()
    with pytest.raises(ConfigError, match=r"no hop joins \('in', 'out'\), allowed \('in', 'n'\)"):
        lower(graph, {("in", "out"): 3})
    with pytest.raises(ConfigError, match="weight_bits: found 9, allowed 1 to 8"):
        lower(graph, {("in", "n"): 9})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bits": "auto"}, "give calibration=x"),
        ({"weight_bits": "some"}, "found 'some', allowed 1 to 8 or 'auto'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        targets.compile(network(np.eye(3)), "loihi", **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_refused_by_name(value: float) -> None:
    weight = np.eye(3)
    weight[1, 1] = value
    with pytest.raises(targets.MsenasError, match="'w'"):
        targets.compile(network(weight), "loihi")
