from __future__ import annotations

import builtins
import csv
import json
import re
from xml.etree import ElementTree

import pytest

from msenas_hw.config import Config, parse_config
from msenas_hw.report import draw, write_report
from msenas_hw.report.document import document
from msenas_hw.report.page import page
from msenas_hw.search import Measured, Store, Study
from targets.errors import ConfigError, DataError, MsenasError


def embedded(text):
    """The figures inside a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_pictures_have_their_form(study, tmp_path):
    draw(study, tmp_path / "front.svg")
    assert ElementTree.parse(tmp_path / "front.svg").getroot().tag.endswith("svg")
    study.plot(tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"allowed \.svg"):
        draw(study, tmp_path / "front.bmp")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["front.png", "front.svg"]


def test_the_same_study_gives_the_same_picture(study, tmp_path):
    draw(study, tmp_path / "a.svg")
    draw(study, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_empty_study_and_a_missing_extra_are_explained(study, tmp_path, monkeypatch):
    with pytest.raises(MsenasError, match="no live trial"):
        draw(Study(Config(), Store(None)), tmp_path / "front.svg")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MsenasError, match=r"pip install 'msenas-hw\[report\]'"):
        draw(study, tmp_path / "front.svg")
    assert list(tmp_path.iterdir()) == []


def test_the_report_is_three_files_that_say_the_same(run):
    study = Study.open(run)
    file = write_report(study, run, most=0)
    found = json.loads((run / "report.json").read_text())
    shown = embedded(file.read_text())
    assert found["front"] == shown["front"] == ["slow", "lean"]
    assert [row["arch"] for row in found["trials"]] == ["slow", "lean", "poor<b>", "dead", "wide"]
    assert shown["trials"] == found["trials"]
    rows = list(csv.DictReader((run / "front.csv").read_text().splitlines()))
    assert [(row["arch"], float(row["energy_j"]), row["memory"]) for row in rows] == [
        ("slow", 3e-6, ""),
        ("lean", 1e-6, ""),
    ]
    assert not list(run.glob(".*.part"))


def test_a_page_loads_nothing_and_no_text_ends_it(study):
    text = page(document(study, None, 0), {"slow": "<svg><!-- </script> --></svg>"})
    assert not re.search(r'\b(src|href)="(?!data:|#)', text)
    assert "https:" not in text
    assert re.findall(r"http://[\w./]*", text.split('id="data"')[0]) == []
    assert text.count("</script>") == 2
    assert embedded(text)["networks"]["slow"]["drawing"] == "<svg><!-- </script> --></svg>"


def test_what_was_not_measured_is_not_zero(study):
    rows = {row["arch"]: row for row in document(study, None, 0)["trials"]}
    assert rows["dead"]["energy_j"] is rows["dead"]["fitness"] is None
    assert rows["dead"]["why_not"] == "draw 0, node 'cell1.E': silent"
    assert (rows["wide"]["energy_j"], rows["wide"]["cores"]) == (None, 200.0)
    assert rows["wide"]["why_not"] == "breaks rule cores_fit_chip"
    assert (rows["poor<b>"]["front"], rows["poor<b>"]["feasible"]) == (False, True)


def test_a_budget_says_by_how_much_it_is_exceeded(run):
    rows = {row["arch"]: row for row in document(Study.open(run), run, 0)["trials"]}
    assert rows["poor<b>"]["why_not"] == "energy_j 25 % over"


def test_objectives_are_those_of_the_search(fill):
    config = parse_config({"search": {"objectives": ["fitness", "parameters"]}}, "test")
    found = document(fill(config), None, 0)
    assert found["objectives"] == ["fitness", "parameters"]
    assert [goal["name"] for goal in found["figures"]][:3] == ["fitness", "parameters", "energy_j"]
    assert found["front"] == ["slow", "lean"]
    assert [goal["larger_is_better"] for goal in found["figures"]].count(True) == 1


def test_further_devices_stand_beside_the_first(fill):
    budget = {"device": "loihi1-sanafe", "devices": {"spinnaker2": {"energy_j": 1e-6}}}
    config = parse_config({"budget": budget}, "test")
    figures = {"energy_j": 2e-6, "latency_s": None, "cores": 1, "memory": 9, "misfit": 0.0, "broken": []}
    row = Measured("one", ROW_GENOME, 0.3, alive=True, energy_j=1e-6, latency_s=1e-4,
                   devices={"spinnaker2": figures})  # fmt: skip
    (shown,) = document(fill(config, rows=(row,)), None, 0)["trials"]
    assert shown["devices"]["spinnaker2"]["energy_j"] == 2e-6
    assert shown["devices"]["spinnaker2"]["limits"] == {"energy_j": 1e-6}
    assert shown["why_not"] == "energy_j on spinnaker2 100 % over"


ROW_GENOME = (
    '{"cells":[{"motif":"lateral_inhibition","width":4,"halve":true,"nodes":[{"model":"if","tau":null,'
    '"tau_syn":null,"threshold":1.0,"kernel":3}]}],"forward":[[-1,0],[0,1]],"feedback":[]}'
)


def test_networks_are_run_again_with_their_sums(trained):
    study = Study.open(trained)
    told = []
    found = document(study, trained, 2, lambda arch, number, total: told.append((arch, number, total)))
    assert told == [("slow", 1, 2), ("lean", 2, 2)]
    before, after = found["networks"]["slow"]["views"]
    assert (before["state"], after["state"]) == ("untrained", "trained")
    for view in (before, after):
        assert sum(view["cost"]["terms"].values()) == pytest.approx(view["cost"]["energy_j"])
        assert sum(row["spikes"] for row in view["layers"]) == pytest.approx(view["cost"]["spikes"])
        assert sum(row["synops"] or 0 for row in view["layers"]) == pytest.approx(view["cost"]["synops"])
        assert sum(part["neurons"] for part in view["fit"]["placement"]) == sum(
            row["neurons"] for row in view["layers"] if row["kind"] != "Input"
        )
    assert found["networks"]["slow"]["agreement"]["agree"] is True
    assert found["networks"]["lean"]["views"][0]["layers"][0]["kind"] == "Input"
    assert len(found["networks"]["lean"]["views"]) == 1
    pairs = {(row["a"], row["b"]): row["kendall_tau"] for row in found["ranking"]["pairs"]}
    assert pairs["loihi1-davies2018", "loihi1-sanafe"] in (-1.0, 1.0)


def test_a_study_without_trials_has_a_report(run):
    (run / "study.sqlite").unlink()
    found = embedded(write_report(Study.open(run), run).read_text())
    assert (found["front"], found["trials"], found["hypervolume"], found["chosen"]) == ([], [], {}, None)


def test_a_damaged_file_of_another_verb_is_named(trained):
    (trained / "artifacts" / "slow" / "verify.json").write_text("{")
    with pytest.raises(DataError, match=r"verify\.json: not valid JSON"):
        write_report(Study.open(trained), trained, 0)
    assert not (trained / "report.html").exists()
