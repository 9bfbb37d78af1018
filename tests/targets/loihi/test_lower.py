"""Lowering: fields in range, errors bounded, refusals complete."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import targets
from targets import ConfigError, GraphError, SpikingGraph, UnsupportedNodeError
from targets.graph.hops import fold_graph
from targets.loihi import limits
from targets.loihi.formats import Formats
from targets.loihi.lower import lower
from targets.loihi.rounding import current_decay_field, round_membrane_bias, round_weights, sign_mode
from targets.loihi.storage import save_program


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_field_fits(recurrent_graph: Callable[..., SpikingGraph], bits: int) -> None:
    program = lower(recurrent_graph(3), bits)
    for population in program.populations:
        assert 0 <= population.dv <= limits.DECAY_MAX
        assert 0 <= population.du <= limits.DECAY_MAX
        assert 0 < population.vth <= limits.THRESHOLD_MAX
    for hop in program.hops:
        assert abs(hop.matrix.data).max() <= 255
        assert 0 <= hop.exponent <= limits.WEIGHT_EXPONENT_MAX
        step = 2 ** (8 - bits) * (2 if hop.sign == "mixed" else 1)
        assert (hop.matrix.data % step == 0).all()


def test_weights_round_to_the_nearest_that_the_core_holds(
    recurrent_graph: Callable[..., SpikingGraph],
) -> None:
    """Integer matrices, scaled back, against the float matrices: half a step at most."""
    graph = recurrent_graph(5, ("lif", "if", "lif"))
    program = lower(graph)
    scale = {p.name: p.vth for p in program.populations}
    for fixed, hop in zip(program.hops, fold_graph(graph).hops, strict=True):
        assert (fixed.source, fixed.target) == (hop.source, hop.target)
        gain = 1.0
        step = 2 ** (fixed.exponent + (fixed.sign == "mixed"))
        difference = (
            fixed.matrix.toarray() * 2**fixed.exponent - hop.matrix.toarray() * gain * scale[hop.target]
        )
        # The threshold itself is rounded, which moves the scale by at most half a unit.
        assert np.abs(difference).max() <= 0.5 * step + 0.5 * np.abs(hop.matrix.data).max()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20), st.integers(2, 8))
def test_rounding_contract(values: list[float], bits: int) -> None:
    array = np.array(values)
    sign = sign_mode(array)
    stored, exponent = round_weights(array, sign, bits)
    step = 2 ** (8 - bits) * (2 if sign == "mixed" else 1) * 2**exponent
    assert np.abs((stored << exponent) - array).max() <= step / 2 + 1e-9
    assert np.abs(stored).max() <= 255
    bias = round_membrane_bias(array)
    assert np.abs(bias - array).max() <= max(1.0, np.abs(array).max() / limits.BIAS_MANTISSA_MAX)


def test_a_program_survives_its_file(recurrent_graph: Callable[..., SpikingGraph], tmp_path: Path) -> None:
    program = lower(recurrent_graph(1))
    save_program(program, tmp_path / "p.npz")
    again = targets.load_program(tmp_path / "p.npz")
    assert again.drain == program.drain
    assert again.table == program.table
    for a, b in zip(program.hops, again.hops, strict=True):
        assert (a.matrix != b.matrix).nnz == 0
        assert (a.source, a.target, a.exponent, a.delay, a.axonal_delay) == (
            b.source, b.target, b.exponent, b.delay, b.axonal_delay,
        )  # fmt: skip
    (tmp_path / "bad.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:500])
    with pytest.raises(GraphError, match=r"bad\.npz"):
        targets.load_program(tmp_path / "bad.npz")


def test_refusals_come_all_at_once() -> None:
    one = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "w": nir.Linear(np.ones((33, 2))),
        "mixed": nir.LIF(np.linspace(2e-3, 9e-3, 33), np.ones(33), np.zeros(33), np.ones(33)),
        "v": nir.Linear(np.ones((2, 33))),
        "raised": nir.IF(one * 1e3, one * 0.1, one * 0.1),
        "u": nir.Linear(np.eye(2)),
        "read": nir.LI(one * 2e-3, one, one * 0),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    graph = SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})
    with pytest.raises(UnsupportedNodeError) as caught:
        targets.compile(graph, "loihi")
    text = str(caught.value)
    for reason in (
        "'mixed': its neurons fall into 33 groups of equal decays, allowed 32 (compartment profiles",
        "'raised': threshold - v_reset is 0.0, allowed > 0",
        "'read': LI does not fire",
    ):
        assert reason in text


def test_weight_bits_are_checked(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    with pytest.raises(ConfigError, match="weight_bits: found 9"):
        lower(recurrent_graph(), 9)
    with pytest.raises(ConfigError, match="allowed 2 to 8 where weights have both signs"):
        lower(recurrent_graph(), 1)


def chain(weight: float, threshold: float, fan_in: int = 1) -> SpikingGraph:
    one = np.ones(1)
    nodes = {
        "input": nir.Input({"input": np.array([fan_in])}),
        "w": nir.Affine(np.full((1, fan_in), weight), one * weight),
        "n": nir.IF(one * 1e3, one * threshold, one * 0),
        "output": nir.Output({"output": np.array([1])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (chain(5.0, 1e-4), "'n': threshold is 0, allowed 1 to 131071"),
        (chain(200.0, 1.0, 4000), "'n': threshold is 0"),
    ],
)
def test_what_leaves_its_field_is_refused_by_check_and_by_compile(graph: SpikingGraph, reason: str) -> None:
    assert any(reason in str(refusal) for refusal in targets.find("loihi").check(graph))
    with pytest.raises(UnsupportedNodeError, match="too large beside the threshold"):
        targets.compile(graph, "loihi")


def test_kernel_taps_that_meet_no_pixel_take_no_range() -> None:
    weight = np.full((2, 1, 3, 3), 1000.0)
    weight[:, :, 1, 1] = 0.5
    one = np.ones((2, 1, 1))
    nodes = {
        "input": nir.Input({"input": np.array([1, 1, 1])}),
        "c": nir.Conv2d((1, 1), weight, 1, 1, 1, 1, np.zeros(2)),
        "n": nir.IF(one * 1e3, one, one * 0),
        "output": nir.Output({"output": np.array([2, 1, 1])}),
    }
    (hop,) = lower(SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})).hops
    assert hop.exponent == 0
    assert hop.matrix.toarray().ravel().tolist() == [255, 255]


def test_a_current_without_memory_keeps_nothing() -> None:
    assert current_decay_field(0.0) == 4095
    assert current_decay_field(0.5) == 2047
    assert current_decay_field(1.0) == 0


def test_a_current_that_could_wrap_is_refused_by_name() -> None:
    """The scale that lowering chooses forbids it; one that is given may not."""
    graph = chain(0.9, 1.0, 4000)
    assert lower(graph).populations[0].vth < 4096
    given = Formats(scales=(("n", 4096.0),))
    with pytest.raises(UnsupportedNodeError) as caught:
        lower(graph, given)
    text = str(caught.value)
    assert "node 'n': its current can reach 14" in text
    assert "allowed 131071 before it wraps; reduce the fan-in, the weights or tau_syn" in text


def test_the_table_holds_every_parameter_and_its_error() -> None:
    """Weights 0.3 and bias 0.3 in thresholds, of one unit in 255 / 0.3: what is stored gives them back."""
    rows = {row.parameter: row for row in lower(chain(0.3, 1.0, 3)).table}
    assert set(rows) == {"threshold", "decay", "bias of the membrane", "weight from input"}
    for row in rows.values():
        assert abs(row.fixed / row.scale - row.value) <= row.error * abs(row.value) + 1e-12
        assert row.error < 2e-3
    assert (rows["weight from input"].fixed, rows["weight from input"].count) == (255, 3)
    assert rows["weight from input"].value == pytest.approx(0.3)
    assert (rows["decay"].value, rows["decay"].fixed) == (1.0, 4096)
