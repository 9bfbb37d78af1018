"""`msenas check`: tables and JSON for every chip, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import nir
import numpy as np
import pytest

import targets

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """`msenas check`."""
    return partial(run, "check")


def write(path, hidden: int, model=nir.CubaLIF):
    def neurons(size):
        one = np.ones(size, np.float32)
        rest = {"v_threshold": one, "v_reset": one * 0}
        if model is nir.IF:
            return nir.IF(r=one * 1e3, **rest)
        return nir.CubaLIF(tau_syn=one * 5e-3, tau_mem=one * 1e-2, r=one, v_leak=one * 0, **rest)

    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([16])}),
        "w0": nir.Linear(rng.normal(size=(hidden, 16)).astype(np.float32)),
        "hidden": neurons(hidden),
        "w1": nir.Linear(rng.normal(size=(4, hidden)).astype(np.float32)),
        "out": neurons(4),
        "output": nir.Output({"output": np.array([4])}),
    }
    targets.save(targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3}), path)
    return path


@pytest.mark.parametrize(
    ("device", "model"),
    [("loihi1", nir.CubaLIF), ("loihi2", nir.CubaLIF), ("xylo-a2", nir.CubaLIF), ("speck2f", nir.IF)],
)
def test_a_small_network_fits_every_chip(run, tmp_path, device, model):
    path = write(tmp_path / "small.nir", 20, model)
    code, out, _ = run(path, "--device", device, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["fits"]
    assert report["broken"] == []
    assert {part["population"] for part in report["placement"]} == {"hidden", "out"}
    assert report["populations"].keys() == {"hidden", "out"}


def test_the_table_shows_use_and_what_is_not_checked(run, tmp_path):
    code, out, _ = run(write(tmp_path / "n.nir", 5000), "--device", "loihi2")
    assert code == 0
    assert "synapse_words" in out
    assert "2500/4096 61.0 %" in out
    assert "0-1" in out
    assert "not checked" in out


def test_what_does_not_fit_is_listed_with_a_hint(run, tmp_path):
    path = write(tmp_path / "wide.nir", 1200)
    code, out, err = run(path, "--device", "xylo-a2")
    assert code == 3
    assert "hidden_neurons" in out
    assert "1200" in out
    assert "make this population smaller" in out
    assert "at most 1,000 hidden neurons" in out
    assert "1 rules of xylo-a2 are broken" in err


def test_fewer_weight_bits_and_graded_input(run, tmp_path):
    path = write(tmp_path / "n.nir", 5000)
    options = ("--device", "loihi1", "--format", "json")
    wide, narrow = (json.loads(run(path, *options, "--weight-bits", bits)[1]) for bits in (8, 2))
    used = [report["populations"]["hidden"]["use"]["synapse_bits"][0] for report in (wide, narrow)]
    assert used[1] < used[0]
    code, out, _ = run(path, *options, "--graded")
    assert code == 3
    assert "graded_input" in [row["rule"] for row in json.loads(out)["broken"]]
    assert run(path, *options, "--weight-bits", 9)[0] == 2


def test_a_short_cycle_is_a_row(run, tmp_path):
    """One step of delay in a loop of two populations, which takes two hops on the chip."""
    one, eye = np.ones(2, np.float32), np.eye(2, dtype=np.float32)
    nodes = {"input": nir.Input({"input": np.array([2])}), "later": nir.Delay(one * 1e-3)}
    nodes |= {name: nir.Linear(eye) for name in ("w", "b", "c")}
    nodes |= {name: nir.IF(r=one * 1e3, v_threshold=one, v_reset=one * 0) for name in ("x", "y")}
    nodes["output"] = nir.Output({"output": np.array([2])})
    edges = [("input", "w"), ("w", "x"), ("x", "b"), ("b", "y"), ("y", "c"), ("c", "later"), ("later", "x")]
    graph = targets.SpikingGraph.build(nodes, [*edges, ("y", "output")], {"dt": 1e-3})
    targets.save(graph, tmp_path / "loop.nir")
    code, out, _ = run(tmp_path / "loop.nir", "--device", "loihi1", "--format", "json")
    (row,) = json.loads(out)["broken"]
    assert code == 3
    assert (row["rule"], row["found"], row["allowed"]) == ("cycle", 1, 2)
    assert set(row["node"].split(" -> ")) == {"x", "y"}


def test_learning_rules_that_the_chip_can_run(run, tmp_path):
    model = write(tmp_path / "m.nir", 8)
    given = ("--rule", "default=dfa+trace", "--format", "json")
    code, out, _ = run(model, "--device", "loihi2", *given)
    rows = json.loads(out)["learning"]
    assert code == 0
    assert all(row["fits"] and row["dw"] for row in rows)
    code, out, err = run(model, "--device", "loihi1", *given)
    assert code == 3
    assert "cannot run the learning rules of" in err
    code, out, err = run(model, "--device", "loihi2", "--rule", "default=fa")
    assert code == 3
    assert "comes back through the weights" in out


def test_a_learning_rule_that_does_not_exist(run, tmp_path):
    code, _, err = run(write(tmp_path / "m.nir", 8), "--device", "loihi2", "--rule", "default=dfaa")
    assert code == 2
    assert "did you mean 'dfa'?" in err
    code, _, err = run(tmp_path / "m.nir", "--device", "loihi2", "--rule", "dfa")
    assert code == 2
    assert "LAYER=WORDS" in err
