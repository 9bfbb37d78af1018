"""Widths of weights that a graph names itself: files keep them, lowering, verify and fit check take them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import cost_models
import targets
from targets.graph.widths import weight_bits_of, with_weight_bits
from targets.loihi.lower import lower


def graph() -> targets.SpikingGraph:
    """Two dense populations; weights of both signs, no two alike."""
    rng = np.random.default_rng(0)

    def population(size: int) -> nir.LIF:
        one = np.ones(size)
        return nir.LIF(tau=one * 4e-3, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0)

    nodes = {
        "in": nir.Input(np.array([12])),
        "w": nir.Linear(rng.normal(size=(9, 12)).astype(np.float32)),
        "a": population(9),
        "u": nir.Linear(rng.normal(size=(7, 9)).astype(np.float32)),
        "b": population(7),
        "out": nir.Output(np.array([7])),
    }
    names = list(nodes)
    return targets.SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})


def magnitudes(program: object) -> dict[str, np.ndarray]:
    return {hop.target: np.unique(np.abs(hop.matrix.data)) for hop in program.hops}  # type: ignore[attr-defined]


def test_lowering_takes_the_widths_that_the_graph_names() -> None:
    narrow = with_weight_bits(graph(), {"b": 4})
    assert weight_bits_of(narrow) == {"b": 4}
    assert weight_bits_of(graph()) == {}
    own, asked = lower(narrow), lower(graph(), {("a", "b"): 4})
    assert all(
        np.array_equal(x.matrix.toarray(), y.matrix.toarray())
        for x, y in zip(own.hops, asked.hops, strict=True)
    )
    # 4 bits, one of them the sign, leave multiples of 2^(8 - 4) * 2; 8 bits leave even numbers.
    assert set(magnitudes(own)["b"]) <= set(range(0, 256, 32))
    assert len(magnitudes(own)["a"]) > 20
    assert len(magnitudes(lower(narrow, 8))["b"]) > 20


def test_every_target_runs_the_widths_and_files_keep_them(tmp_path: Path) -> None:
    targets.save(with_weight_bits(graph(), {"a": 4, "b": 5}), tmp_path / "m.nir")
    narrow = targets.load(tmp_path / "m.nir")
    assert weight_bits_of(narrow) == {"a": 4, "b": 5}
    x = (np.random.default_rng(1).random((10, 6, 12)) < 0.4).astype(np.float32)
    found = targets.verify(narrow, x, ["reference", "onnx", "loihi"])
    assert found.agree
    run, wide = (targets.compile(one, "loihi").run(x, ["a", "b"]) for one in (narrow, graph()))
    fixed = targets.compile(narrow, "onnx", arithmetic="fixed").run(x, ["a", "b"])
    assert np.array_equal(run.spikes["b"], fixed.spikes["b"])
    assert not np.array_equal(run.spikes["a"], wide.spikes["a"])


def test_the_fit_check_and_the_estimate_count_the_memory_of_the_widths() -> None:
    names = ("a", "b")
    narrow = with_weight_bits(graph(), dict.fromkeys(names, 4))
    plain, own, asked = (
        cost_models.check(graph(), "loihi2"),
        cost_models.check(narrow, "loihi2"),
        cost_models.check(graph(), "loihi2", dict.fromkeys(names, 4)),
    )

    def words(report: cost_models.FitReport) -> list[int]:
        return [report.use[name]["synapse_words"].most for name in names]

    assert words(own) == words(asked)
    assert sum(words(own)) < sum(words(plain))
    assert own.as_json()["weight_bits"] == {"a": 4, "b": 4}
    assert words(cost_models.check(narrow, "loihi2", 8)) == words(plain)
    x = np.ones((4, 1, 12), np.float32)
    run = targets.compile(narrow, "loihi").run(x, cost_models.records(narrow))
    assert (
        cost_models.estimate(narrow, run, "loihi1-sanafe").cores == cost_models.check(narrow, "loihi1").cores
    )


@pytest.mark.parametrize("bits", [0, 9, "8", 4.5])
def test_a_width_that_is_none_is_refused(bits: object) -> None:
    with pytest.raises(targets.GraphError, match=r"node 'b': metadata weight_bits is .*, allowed 1 to 8"):
        lower(with_weight_bits(graph(), {"b": bits}))  # type: ignore[dict-item]
