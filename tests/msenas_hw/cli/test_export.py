"""`msenas export`: what it writes, and what it says of other frameworks."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nir
import numpy as np
import pytest

import targets

Run = Callable[..., tuple[int, str, str]]
ONE = np.ones(3, np.float32)


@pytest.fixture
def run(run: Run) -> Run:
    """`msenas export`."""
    return partial(run, "export")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A recurrent layer with a Delay."""
    nodes = {
        "in": nir.Input(np.array([3])),
        "lif": nir.LIF(ONE * 1e-2, ONE, ONE * 0, ONE),
        "w": nir.Linear(np.eye(3, dtype="f4")),
        "d": nir.Delay(ONE * 1e-3),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "lif"), ("lif", "w"), ("w", "d"), ("d", "lif"), ("lif", "out")]
    targets.save(targets.SpikingGraph.build(nodes, edges, {"dt": 1e-3}), tmp_path / "m.nir")
    return tmp_path / "m.nir"


def test_a_file_with_delays_says_who_refuses_and_who_loses_it(run: Run, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.nir"
    code, out, err = run(model, "--to", "nir", "-o", output, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert (found["bytes"], found["left_out"]) == (output.stat().st_size, [])
    verdicts = {row["framework"]: row["verdict"] for row in found["readers"]}
    assert verdicts["nir"] == "reads"
    assert verdicts["norse"] == "loses"
    assert {verdicts[name] for name in ("nirtorch", "snntorch", "spikingjelly")} == {"refuses"}
    assert "norse 1.1.0 loses: Delay 'd': is left out with its connections" in err
    assert "spikingjelly 2.0.0 refuses: Delay 'd': has no mapping" in err


def test_implicit_delay_leaves_them_out(run: Run, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.nir"
    code, out, err = run(model, "-o", output, "--implicit-delay", "norse", "--format", "json")
    found = json.loads(out)
    assert (code, found["implicit_delay"], found["left_out"]) == (0, "norse", ["d"])
    assert {row["framework"]: row["verdict"] for row in found["readers"]}["norse"] == "reads"
    assert "norse" not in err
    assert "d" not in nir.read(output).nodes


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "onnx"], 2, "--to onnx: is not known, allowed nir, optuna"),
        (["--implicit-delay", "snntorch"], 1, "'d' with 1 step in 'd' -> 'lif' -> 'w' -> 'd'"),
        (["--implicit-delay", "nest"], 2, "allowed nirtorch, norse, snntorch, spikingjelly"),
    ],
)
def test_refusals(
    run: Run, model: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = run(model, "-o", tmp_path / "o.nir", *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "o.nir").exists()


def test_a_missing_folder_is_named(run: Run, model: Path, tmp_path: Path) -> None:
    code, _, err = run(model, "-o", tmp_path / "no" / "o.nir")
    assert code == 2
    assert "does not exist; make it first" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "FILE and --output: found neither"),
        (["a.nir", "-o", "b.nir"], "FILE and --output: found both"),
        (["--to", "optuna", "--profile", "dt=1", "a.db"], "are for --to nir"),
    ],
)
def test_one_file_is_written_and_options_are_of_one_form(
    run: Run, model: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run(model, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_file_may_stand_without_its_option(run: Run, model: Path, tmp_path: Path) -> None:
    code, _, _ = run(model, tmp_path / "o.nir")
    assert code == 0
    assert set(nir.read(tmp_path / "o.nir").nodes) == {"in", "lif", "w", "d", "out"}
