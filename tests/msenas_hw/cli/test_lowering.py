"""`msenas compile` and `verify` on a Loihi core: formats, the table, programs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import targets

Run = Callable[..., tuple[int, str, str]]
STEPS = 6


def network(weight: np.ndarray, tau: float = 2e-3) -> targets.SpikingGraph:
    out, size = weight.shape
    one = np.ones(out)
    nodes = {
        "in": nir.Input(np.array([size])),
        "w": nir.Affine(weight, 0.1 * one),
        "n": nir.LIF(tau * one, one, 0 * one, one),
        "out": nir.Output(np.array([out])),
    }
    return targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """m.nir, and recordings of three classes."""
    rng = np.random.default_rng(0)
    targets.save(network(rng.normal(size=(3, 5)) * 2), tmp_path / "m.nir")
    y = np.arange(90) % 3
    x = rng.random((90, STEPS, 5)) < np.where(np.arange(5) == y[:, None], 0.8, 0.2)[:, None]
    np.savez(tmp_path / "d.npz", x=x.astype(np.float32), y=y)
    return tmp_path


def test_auto_bits_by_calibration_give_a_program_and_its_table(run: Run, folder: Path) -> None:
    chosen = ["--weight-bits", "auto", "--data", folder / "d.npz", "--table", "--format", "json"]
    code, out, err = run("compile", folder / "m.nir", "--target", "loihi", "-o", folder / "p.npz", *chosen)
    assert code == 0, err
    rows = {row["parameter"]: row for row in json.loads(out)["table"]}
    assert set(rows) == {"threshold", "decay", "bias of the membrane", "weight from in"}
    assert rows["decay"]["value"] == pytest.approx(0.5)
    assert rows["decay"]["fixed"] == 2048
    assert rows["weight from in"]["count"] == 15
    program = targets.load_program(folder / "p.npz")
    (hop,) = program.hops
    largest = abs(targets.load(folder / "m.nir").nodes["w"].weight).max() / 2
    assert rows["weight from in"]["value"] == pytest.approx(largest)
    assert rows["weight from in"]["fixed"] == abs(hop.matrix.data).max()
    assert rows["weight from in"]["error"] < 0.02


def test_the_table_needs_no_file(run: Run, folder: Path) -> None:
    code, out, _ = run("compile", folder / "m.nir", "--target", "lava", "--table", "--weight-bits", 3)
    assert code == 0
    assert "bias of the membrane" in out
    assert sorted(path.name for path in folder.iterdir()) == ["d.npz", "m.nir"]


def test_a_program_is_verified_as_it_is(run: Run, folder: Path) -> None:
    compiled = ["compile", folder / "m.nir", "--target", "loihi", "-o", folder / "p.npz"]
    assert run(*compiled, "--weight-bits", 2)[0] == 0
    asked = ["--target", "loihi", "--target", "onnx", "--data", folder / "d.npz", "--format", "json"]
    code, out, err = run("verify", folder / "p.npz", *asked)
    assert code == 0, err
    found = json.loads(out)
    plain = json.loads(run("verify", folder / "m.nir", *asked)[1])
    two = json.loads(run("verify", folder / "m.nir", *asked, "--weight-bits", 2)[1])
    assert found["agree"]
    assert found["quantisation"]["spikes_changed"] == two["quantisation"]["spikes_changed"]
    assert found["quantisation"]["spikes_changed"] > plain["quantisation"]["spikes_changed"]


def test_calibration_and_the_network_before_training_are_told(run: Run, folder: Path) -> None:
    (folder / "trained").mkdir()
    targets.save(network(np.eye(3, 5) * 3), folder / "trained" / "model.nir")
    table = {"model": str(folder / "trained" / "model.nir"), "source": str(folder / "m.nir")}
    (folder / "trained" / "train.json").write_text(json.dumps(table))
    asked = ["--target", "loihi", "--target", "onnx", "--data", folder / "d.npz", "--samples", 30]
    code, out, err = run(
        "verify", folder / "trained" / "model.nir", *asked, "--calibrate", "--format", "json"
    )
    assert code == 0, err
    found = json.loads(out)["quantisation"]
    assert found["calibrated"] is True
    assert found["accuracy_fixed"] > 0.8
    assert found["before_training"]["model"] == str(folder / "m.nir")
    assert found["before_training"]["accuracy_fixed"] < found["accuracy_fixed"]
    assert "before training" in run("verify", folder / "trained" / "model.nir", *asked)[1]
    alone = json.loads(run("verify", folder / "m.nir", *asked, "--format", "json")[1])
    assert alone["quantisation"]["before_training"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "loihi", "--weight-bits", "9"], "--weight-bits: found '9', allowed 1 to 8 or auto"),
        (["--target", "onnx", "--calibrate"], "--calibrate: found with --target onnx, allowed loihi, lava"),
        (["--target", "onnx", "--table"], "--table: found with --target onnx, allowed loihi, lava"),
        (["--target", "loihi", "--netx", "n.net", "--table"], "--table: found with --netx"),
        (["--target", "loihi"], "--output: missing"),
    ],
)
def test_options_that_do_not_go_together(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    output = [] if arguments == ["--target", "loihi"] else ["-o", "o"]
    code, out, err = run("compile", "m.nir", *arguments, *output)
    assert (code, out) == (2, "")
    assert message in err


def test_a_program_has_its_formats(run: Run, folder: Path) -> None:
    assert run("compile", folder / "m.nir", "--target", "loihi", "-o", folder / "p.npz")[0] == 0
    code, _, err = run(
        "verify", folder / "p.npz", "--target", "loihi", "--target", "onnx", "--weight-bits", 4
    )
    assert code == 2
    assert "is lowered already; leave --weight-bits" in err


def cycle(delay: int) -> targets.SpikingGraph:
    """Two populations that feed each other; one delay on the way, where the chip takes two hops."""
    one = np.ones(2)
    nodes = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    nodes |= {name: nir.IF(one * 1e3, one, 0 * one) for name in ("a", "b")}
    nodes |= {name: nir.Linear(np.eye(2)) for name in ("ia", "ab", "ba")}
    nodes["d"] = nir.Delay(np.full(2, delay * 1e-3))
    edges = [("in", "ia"), ("ia", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "d"), ("d", "a")]
    return targets.SpikingGraph.build(nodes, [*edges, ("b", "out")], {"dt": 1e-3})


def test_a_weight_that_is_no_number_is_named(run: Run, tmp_path: Path) -> None:
    graph = network(np.ones((1, 1)))
    graph.nodes["w"].weight[0, 0] = np.nan
    nir.write(tmp_path / "m.nir", nir.NIRGraph(dict(graph.nodes), list(graph.edges)))
    asked = ["--target", "loihi", "-o", tmp_path / "p.npz", "--profile", "dt=1e-3"]
    code, out, err = run("compile", tmp_path / "m.nir", *asked)
    assert (code, out) == (1, "")
    assert "node 'w' (Affine): weight holds 1 NaN" in err


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (network(np.full((1, 4000), 200.0)), ("node 'n'", "allowed 1 to", "beside the threshold")),
        (cycle(1), ("cycle b -> a -> b", "takes 2 hops", "holds 1 step", "allowed at least 2", "add 1 step")),
    ],
    ids=["out of range", "cycle"],
)
def test_what_a_core_cannot_hold_names_node_found_and_allowed(
    run: Run, tmp_path: Path, graph: targets.SpikingGraph, words: tuple[str, ...]
) -> None:
    targets.save(graph, tmp_path / "m.nir")
    for target in ("loihi", "lava"):
        code, out, err = run("compile", tmp_path / "m.nir", "--target", target, "-o", tmp_path / "p.npz")
        assert (code, out) == (1, "")
        assert all(word.lower() in err.lower() for word in words), err
    assert not (tmp_path / "p.npz").exists()


@pytest.mark.parametrize("python", ["missing", "broken"])
def test_a_lava_environment_that_is_missing_or_broken(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    broken = folder / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: no numpy' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("MSENAS_LAVA_PYTHON", str(folder / python))
    asked = ["--target", "loihi", "--target", "lava", "--data", folder / "d.npz"]
    code, out, err = run("verify", folder / "m.nir", *asked)
    assert (code, out) == (1, "")
    assert str(folder / python) in err
    assert "msenas doctor --install-lava" in err
    code, out, _ = run("doctor", "--format", "json")
    found = json.loads(out)
    reason = {one["target"]: one["reason"] for one in found["targets"]}["lava"]
    assert str(folder / python) in reason
    assert found["lava"] is None
