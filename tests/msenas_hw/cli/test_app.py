"""Verbs, JSON keys and exit codes of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import nir
import numpy as np
import onnx
import pytest

import targets
from msenas_hw.cli.app import VERBS, main
from targets.agreement import Agreement, Divergence, Pair


def network(width: int) -> targets.SpikingGraph:
    """Digits to `width` to 10 neurons, weights on a 2^-8 grid."""
    rng = np.random.default_rng(0)

    def weights(rows: int, columns: int) -> np.ndarray:
        return rng.integers(-16, 33, (rows, columns)) / 256

    def neurons(count: int) -> nir.IF:
        return nir.IF(r=np.full(count, 1000.0), v_threshold=np.ones(count), v_reset=np.zeros(count))

    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "flat": nir.Flatten({"input": np.array([1, 8, 8])}, start_dim=0, end_dim=-1),
        "w1": nir.Linear(weights(width, 64)),
        "a": neurons(width),
        "w2": nir.Linear(weights(10, width)),
        "b": neurons(10),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = list(nodes)
    return targets.SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})


@pytest.fixture
def model(tmp_path):
    targets.save(network(12), tmp_path / "model.nir")
    return tmp_path / "model.nir"


SPIKES = np.ones((6, 2, 1, 8, 8), np.float32)
DIGITS = ("--data", "digits", "--steps", "6", "--samples", "5", "--format", "json")


def test_help_names_every_verb_and_loads_nothing_heavy():
    program = (
        "import sys\nfrom msenas_hw.cli.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = ('torch', 'pymoo', 'nir', 'sklearn')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for verb in VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["seek"], 2, "seek"),
        (["front"], 2, "RUN"),
        (["search", "absent.toml"], 2, "absent.toml: no such file"),
        (["front", "absent"], 2, "run.toml is missing"),
        (["check", "MODEL", "--device", "loihi9"], 2, "loihi9"),
        (["compile", "MODEL", "--target", "gpu", "-o", "x"], 2, "unknown target 'gpu'"),
        (["compile", "MODEL", "--target", "reference", "-o", "x"], 2, "writes no file"),
        (["verify", "MODEL", "--target", "onnx", "--data", "digits", "--steps", "4"], 2, "at least 2"),
        (["cost", "MODEL", "--device", "loihi1-sanafe"], 2, "give --data"),
        (["cost", "MODEL", "--device", "loihi1-sanafe", "--data", "digits"], 2, "--steps"),
        (["show", "MODEL", "--profile", "dt"], 2, "KEY=VALUE"),
        (["show", "absent.nir"], 1, "absent.nir: no such file"),
        (["compile", "MODEL", "--target", "onnx", "-o", "absent/x"], 2, "folder absent does not exist"),
        (["compile", "MODEL", "--target", "onnx", "-o", "/dev/full"], 2, "no regular file"),
        (["verify", "MODEL", "--target", "reference", "--target", "loihi"], 2, "share an arithmetic"),
        (["show", "MODEL", "--profile", "reset=gently"], 2, "allowed to_value, subtract"),
    ],
)
def test_wrong_use_ends_with_one_clear_message(run, model, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*(str(model) if argument == "MODEL" else argument for argument in arguments))
    assert found == code
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.nir"]


def test_an_unknown_key_is_a_usage_error(run, tmp_path):
    (tmp_path / "wrong.toml").write_text("[search]\npopulaton = 4\n")
    code, _, err = run("search", tmp_path / "wrong.toml", "--run", tmp_path / "run")
    assert code == 2
    assert "did you mean 'population'" in err
    assert not (tmp_path / "run").exists()


def test_a_corrupt_model_fails(run, tmp_path):
    (tmp_path / "bad.nir").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    code, _, err = run("show", tmp_path / "bad.nir")
    assert code == 1
    assert err.startswith("error: ")


def test_debug_shows_the_traceback():
    with pytest.raises(targets.ConfigError):
        main(["front", "absent", "--debug"])


def test_check_fits_or_ends_with_3(run, model, tmp_path):
    code, out, _ = run("check", model, "--device", "loihi1", "--format", "json")
    report = json.loads(out)
    assert (code, report["fits"], report["broken"]) == (0, True, [])
    assert {"device", "fits", "cores", "binding", "broken"} <= set(report)
    targets.save(network(4200), tmp_path / "wide.nir")
    code, out, err = run("check", tmp_path / "wide.nir", "--device", "loihi1", "--format", "json")
    report = json.loads(out)
    assert (code, report["fits"]) == (3, False)
    assert {"rule", "node", "found", "allowed", "hint"} == set(report["broken"][0])
    assert "rules of loihi1 are broken" in err


def test_cost_is_a_list_of_devices(run, model):
    code, out, err = run("cost", model, "--device", "loihi1-sanafe", *DIGITS)
    (cost,) = json.loads(out)
    assert code == 0
    keys = {"device", "energy_j", "latency_s", "spikes", "synops", "terms", "sources", "omitted"}
    assert keys <= set(cost)
    assert sum(cost["terms"].values()) == pytest.approx(cost["energy_j"])
    assert "leaves out" in err


def test_verify_agrees(run, model):
    arguments = ("--target", "reference", "--target", "onnx", "--target", "loihi")
    code, out, _ = run("verify", model, *arguments, *DIGITS)
    report = json.loads(out)
    assert (code, report["agree"]) == (0, True)
    assert {(pair["a"], pair["b"], pair["arithmetic"]) for pair in report["pairs"]} == {
        ("reference", "onnx", "float32"),
        ("onnx", "loihi", "fixed"),
    }
    assert all(pair["differing"] == 0 and pair["compared"] == 6 * 5 * 22 for pair in report["pairs"])
    assert set(report["quantisation"]) >= {"spikes_changed", "accuracy_float", "accuracy_fixed"}


def test_disagreement_ends_with_4(run, model, monkeypatch):
    pair = Pair("reference", "onnx", "float32", 100, 1, None, Divergence("a", 2, 3))
    monkeypatch.setattr(
        targets, "verify", lambda *given, **options: Agreement((pair,), None, {}), raising=False
    )
    code, out, err = run("verify", model, "--target", "reference", "--target", "onnx", *DIGITS)
    assert code == 4
    assert json.loads(out)["pairs"][0]["first"] == {"node": "a", "step": 2, "sample": 3}
    assert "disagree" in err


def test_bench_counts_layers_and_times_targets(run, model):
    code, out, _ = run("bench", model, "--target", "reference", "--target", "onnx", *DIGITS)
    report = json.loads(out)
    assert code == 0
    assert [(layer["node"], layer["neurons"]) for layer in report["layers"]] == [("a", 12), ("b", 10)]
    graph = targets.load(model)
    fan_out = int((graph.nodes["w2"].weight[:, 0] != 0).sum())
    dense = all((graph.nodes["w2"].weight[:, j] != 0).sum() == fan_out for j in range(12))
    if dense:
        assert report["layers"][1]["synops"] == pytest.approx(report["layers"][0]["spikes"] * fan_out)
    assert [one["target"] for one in report["targets"]] == ["reference", "onnx"]
    assert [one["layers"] for one in report["targets"]] == [report["layers"]] * 2
    assert all(one["samples_per_s"] > 0 and one["ran_on"] for one in report["targets"])


def test_samples_must_suit_the_network(run, model, tmp_path):
    np.savez(tmp_path / "own.npz", x=np.zeros((10, 5, 5)), y=np.arange(10))
    code, _, err = run(
        "bench", model, "--target", "reference", "--data", tmp_path / "own.npz", "--steps", "4"
    )
    assert code == 1
    assert "(1, 5, 5)" in err
    assert "(1, 8, 8)" in err


def test_recordings_bring_their_steps(run, model, tmp_path):
    events = np.zeros((3, 7, 1, 8, 8), np.uint8)
    events[2, 1] = 1
    np.savez(tmp_path / "own.npz", x=events, y=np.arange(3))
    arguments = (
        "--target",
        "reference",
        "--target",
        "onnx",
        "--data",
        tmp_path / "own.npz",
        "--format",
        "json",
    )
    code, out, _ = run("verify", model, *arguments)
    assert code == 0
    assert json.loads(out)["pairs"][0]["compared"] == 7 * 22


@pytest.mark.parametrize("target", ["onnx", "loihi", "lava"])
def test_compile_writes_the_file(run, model, tmp_path, target):
    code, out, _ = run("compile", model, "--target", target, "-o", tmp_path / "out.bin", "--format", "json")
    assert code == 0
    assert json.loads(out)["bytes"] == (tmp_path / "out.bin").stat().st_size > 0


def test_show_lists_nodes_profile_and_assumptions(run, model):
    code, out, _ = run("show", model, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["nodes"][0]["node"] == "input"
    assert report["profile"]["dt"] == 1e-3
    code, out, _ = run("show", model, "--profile", "dt=1e-4")
    assert "0.0001" in out


def test_inventories(run):
    code, out, _ = run("devices", "--format", "json")
    assert code == 0
    assert {"loihi1", "loihi2", "loihi1-sanafe"} <= {row["device"] for row in json.loads(out)}
    code, out, _ = run("doctor", "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["packages"]["numpy"] == np.__version__
    assert {"reference", "onnx", "loihi", "lava"} <= {row["target"] for row in report["targets"]}


def test_lava_and_the_simulator_load_the_same_file(run, model, tmp_path):
    for target in ("loihi", "lava"):
        assert run("compile", model, "--target", target, "-o", tmp_path / f"{target}.npz")[0] == 0
    programs = [targets.load_program(tmp_path / f"{target}.npz") for target in ("loihi", "lava")]
    runs = [
        targets.compile(targets.load(model), "loihi", program=one).run(SPIKES, record=["b"])
        for one in programs
    ]
    assert runs[0].spikes["b"].any()
    assert np.array_equal(runs[0].spikes["b"], runs[1].spikes["b"])


def test_the_gpu_form_needs_its_sizes(run, model, tmp_path):
    out = tmp_path / "step.onnx"
    given = ("compile", model, "--target", "onnx", "--form", "gpu")
    assert run(*given, "--steps", 3, "--batch", 2, "-o", out)[0] == 0
    graph = onnx.load(out).graph
    assert not {"Scan", "Loop", "If"} & {node.op_type for node in graph.node}
    code, _, err = run(*given, "-o", tmp_path / "other.onnx")
    assert code == 2
    assert "steps" in err
    assert not (tmp_path / "other.onnx").exists()


def test_talk_never_reaches_stdout(model):
    """With stderr closed, print would fall back to stdout."""
    program = "import sys; from msenas_hw.cli.app import main; main(sys.argv[1:])"
    command = 'exec "$0" -c "$1" show "$2" --profile dt=1e-4 --format json {}'
    for redirect, code in (("2>&-", 0), (">&-", 1)):
        arguments = ["sh", "-c", command.format(redirect), sys.executable, program, str(model)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == code
        if code:
            assert done.stderr.startswith("error: stdout is closed")
        else:
            assert json.loads(done.stdout)["profile"]["dt"] == 1e-4


def test_an_assumption_is_told_once(model, tmp_path):
    graph = nir.read(model)
    nir.write(tmp_path / "foreign.nir", nir.NIRGraph(graph.nodes, graph.edges, type_check=False))
    program = "import sys; from msenas_hw.cli.app import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "show", str(tmp_path / "foreign.nir")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("profile integrator") == 1
