"""`msenas show`: shapes, parameters, values, profile, assumptions, notes and the drawing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import nir
import numpy as np
import pytest

from msenas_hw.cli.app import main

pytestmark = pytest.mark.filterwarnings("ignore::targets.AssumptionWarning")
SPACE = "{http://www.w3.org/2000/svg}"
LINE = np.ones(8)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file that says nothing about time: convolution, pool, LIF of many tau, loop, Affine."""
    grid = np.ones((2, 4, 4))
    nodes = {
        "in": nir.Input(np.array([1, 8, 8])),
        "c": nir.Conv2d((8, 8), np.ones((2, 1, 4, 3)), 1, "same", 1, 1, np.zeros(2)),
        "p": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "lif": nir.LIF(np.linspace(1e-3, 4e-3, 32).reshape(2, 4, 4), grid, grid * 0, grid * 0.5),
        "f": nir.Flatten({"input": np.array([2, 4, 4])}, 0, -1),
        "w": nir.Affine(np.ones((8, 32)), LINE),
        "back": nir.Linear(np.ones((8, 8))),
        "if": nir.IF(LINE, LINE),
        "out": nir.Output(np.array([8])),
    }
    chain = ["in", "c", "p", "lif", "f", "w", "if"]
    edges = [*itertools.pairwise(chain), ("if", "back"), ("back", "if"), ("if", "out")]
    notes = {"author": "someone", "mean": np.zeros((2, 3))}
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, edges, metadata=notes, type_check=False))
    return tmp_path / "m.nir"


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["show", *map(str, arguments)])
    assert not ended.value.code
    return capsys.readouterr().out


def test_json_says_all(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(shown(capsys, foreign, "--format", "json"))
    nodes = {node["node"]: node for node in report["nodes"]}
    assert {name: node["parameters"] for name, node in nodes.items() if node["parameters"]} == {
        "c": 26,
        "w": 264,
        "back": 64,
    }
    assert report["parameters"] == 354
    assert nodes["lif"]["shape"] == [2, 4, 4]
    assert nodes["lif"]["values"] == {
        "tau": {"min": 0.001, "max": 0.004},
        "r": 1.0,
        "v_leak": 0.0,
        "v_threshold": 0.5,
        "v_reset": 0.0,
    }
    assert nodes["c"]["values"] == {
        "weight": [2, 1, 4, 3],
        "stride": [1, 1],
        "padding": [[1, 1], [2, 1]],
        "dilation": [1, 1],
        "groups": 1,
    }
    assert nodes["if"]["cyclic"]
    assert report["profile"]["reset"] == "to_value"
    assert any("profile reset = 'to_value' is assumed" in said for said in report["assumptions"])
    assert any("has no Delay" in said for said in report["assumptions"])
    assert report["metadata"] == {"author": "someone", "mean": "array 2 x 3"}


def test_the_table_says_it_to_people(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, foreign, "--profile", "dt=1e-3").splitlines()
    (row,) = (line for line in lines if line.startswith("lif "))
    assert "2 x 4 x 4" in row
    assert "tau 0.001..0.004, r 1, v_leak 0, v_threshold 0.5, v_reset 0" in row
    assert any("padding 1 x 1 before, 2 x 1 after" in line for line in lines)
    assert any("delay 0.001" in line for line in lines)
    assert any(line.split()[:3] == ["10", "10", "354"] for line in lines)


def test_the_drawing_has_every_shape(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(capsys, foreign, "--svg", tmp_path / "m.svg")
    texts = [text.text for text in ElementTree.parse(tmp_path / "m.svg").getroot().iter(f"{SPACE}text")]
    for label in ("Input · 1 x 8 x 8", "Conv2d · 2 x 8 x 8", "LIF · 2 x 4 x 4", "Affine · 8"):
        assert label in texts


@pytest.mark.parametrize(
    ("name", "parameters", "values"),
    [
        ("braille_zero", 2249, "tau_mem 0.001"),
        ("braille_zero_subgraph_unreadable", 2249, "tau_mem 0.001"),
        ("feedback_nengo", 20006, "tau 0.02"),
        ("lif_norse", 2, "v_threshold 0.1"),
        ("scnn_sinabs", 39890, "kernel_size 2 x 2"),
    ],
)
def test_real_graphs(
    shared: Path, capsys: pytest.CaptureFixture[str], name: str, parameters: int, values: str
) -> None:
    """Parameter counts as the authors of the files give them."""
    out = shown(capsys, shared / f"nir/{name}.nir")
    assert f" {parameters} " in out.splitlines()[-1]
    assert values in out
