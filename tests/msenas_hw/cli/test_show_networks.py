"""`show` of runs, models and configurations; the steps and widths of a genome reach every verb."""

from __future__ import annotations

import json
import shutil
from math import prod
from pathlib import Path
from xml.etree import ElementTree

import pytest

import targets
from msenas_hw.cli.app import main
from msenas_hw.config import load_config
from msenas_hw.search import Study
from msenas_hw.search.evaluation import setting
from msenas_hw.space import Genome, decode
from targets.graph.widths import weight_bits_of
from targets.loihi.lower import lower

CONFIG = """
[data]
steps = 6
samples = 4
[space]
cells = [1, 1]
widths = [2, 3]
kernels = [3]
models = ["lif"]
steps = [4, 5]
weight_bits = [4, 5]
[search]
population = 6
generations = 1
seed = 2
[training]
epochs = 2
batch = 256
"""


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    (folder / "tiny.toml").write_text(CONFIG)
    with pytest.raises(SystemExit) as ended:
        main(["search", str(folder / "tiny.toml"), "--run", str(folder / "run")])
    assert not ended.value.code
    return folder / "run"


@pytest.fixture(scope="module")
def trained(run: Path) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["train", str(run), "--arch", "chosen"])
    assert not ended.value.code
    (model,) = run.glob("artifacts/*/model.nir")
    return model


def test_a_configuration_is_shown_with_its_ranges_and_size(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run.parent / "tiny.toml"
    code, out, _ = call(capsys, "show", config, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["space"]["steps"] == [4, 5]
    assert found["networks"] == pytest.approx(sum(found["by_cells"].values()))
    _, out, _ = call(capsys, "show", config)
    rows = {line.split()[1]: line.split() for line in out.splitlines() if len(line.split()) > 2}
    assert rows["steps"][0] == "macro"
    assert rows["weight_bits"][0] == "micro"
    assert "networks, learning rules aside" in out


def test_an_architecture_of_a_run_is_shown_with_what_it_cost(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study.open(run)
    trial = study.trials()[0]
    svg = tmp_path / "net.svg"
    code, out, _ = call(capsys, "show", run, "--arch", trial.key, "--svg", svg, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["network"]["arch"] == trial.key
    assert Genome.from_json(json.dumps(found["genome"])) == study.genome(trial.key)
    (cost,) = found["costs"][:1]
    assert (cost["energy_j"], cost["spikes"]) == (trial.measured.energy_j, trial.measured.spikes)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    _, out, _ = call(capsys, "show", run)
    assert f"network {study.chosen}: 1 cell, " in out
    assert "untrained" in out


def test_the_steps_and_widths_of_a_genome_reach_the_trained_model(trained: Path) -> None:
    run, arch = trained.parents[2], trained.parent.name
    config = load_config(run.parent / "tiny.toml")
    genome = Study.open(run).genome(arch)
    named = decode(genome, setting(config).task)
    graph = targets.load(trained)
    assert graph.metadata["msenas_steps"] in (4, 5)
    assert graph.metadata["msenas_steps"] == genome.steps
    assert graph.metadata["msenas_encoding"] == "rate"
    widths = weight_bits_of(graph)
    assert widths == weight_bits_of(named)
    assert set(widths) == set(graph.populations)
    table = json.loads((trained.parent / "train.json").read_text())
    assert (table["steps"], table["encoding"]) == (genome.steps, "rate")
    # Trained on the grid of its widths: lowering changes no weight.
    errors = [row.error for row in lower(graph).table if row.parameter.startswith("weight")]
    assert max(errors) < 1e-5
    wide = lower(decode(genome, setting(config).task), 8).hops
    assert any(len(set(hop.matrix.data.tolist())) > 2 ** (widths[hop.target] - 1) for hop in wide)


def test_the_model_alone_says_what_it_is_and_what_input_it_takes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.nir"
    shutil.copy(trained, alone)
    steps = targets.load(alone).metadata["msenas_steps"]
    code, out, _ = call(capsys, "show", alone)
    assert code == 0
    assert f"network {trained.parent.name}: 1 cell, " in out
    assert f"T = {steps} steps of 0.001 s" in out
    code, out, _ = call(capsys, "show", alone, "--nodes")
    assert code == 0
    assert "Conv2d" in out
    code, out, _ = call(
        capsys, "verify", alone, "--data", "digits", "--samples", "2",
        "--target", "reference", "--target", "onnx", "--format", "json",
    )  # fmt: skip
    graph, (pair,) = targets.load(alone), json.loads(out)["pairs"]
    assert code == 0
    assert pair["compared"] == 2 * steps * sum(prod(graph.shapes[name]) for name in graph.populations)
    _, out, _ = call(capsys, "show", trained, "--format", "json")
    trained_row = json.loads(out)["costs"][1]
    assert trained_row["weights"] == "trained, seed 0"
    assert trained_row["test_accuracy"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "RUN/artifacts/x.nir", "--arch", "abc"], "--arch: not for"),
        (["show", "CONFIG", "--svg", "x.svg"], "--svg: not for"),
        (["show", "RUN", "--nodes"], "--nodes: not for"),
        (["show", "RUN", "--arch", "zzz"], "found 0 in this run"),
    ],
)
def test_options_that_do_not_suit_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    known = {"RUN": str(run), "CONFIG": str(run.parent / "tiny.toml")}
    code, _, err = call(capsys, *(known.get(argument, argument) for argument in arguments))
    assert code == 2
    assert said in err
