from __future__ import annotations

import builtins
import re
from xml.etree import ElementTree

import pytest

from msenas_hw.config import Config
from msenas_hw.report import draw, write_report
from msenas_hw.search import Generation, Measured, Store, Study, Trial
from targets.errors import ConfigError, MsenasError


@pytest.fixture
def study():
    store = Store(None)
    rows = [
        Measured("slow", "{}", 0.3, alive=True, energy_j=3e-6, latency_s=1e-4, motifs=("lateral",)),
        Measured("lean", "{}", 0.2, alive=True, energy_j=1e-6, latency_s=1e-4),
        Measured("poor<b>", "{}", 0.1, alive=True, energy_j=5e-6, latency_s=2e-4),
        Measured("dead", "{}"),
    ]
    for row in rows:
        store.add(row.arch, "s", row)
    store.tell("s", [Trial(i, 1, row.arch, row) for i, row in enumerate(rows)], Generation(1, 4, 2, 0.5))
    return Study(Config(), store)


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


def test_the_report_is_one_file_with_the_front(study, tmp_path):
    text = write_report(study, tmp_path).read_text()
    rows = re.findall(r"<tr><td>(slow|lean|poor|dead)", text)
    assert rows == ["slow", "lean"]
    assert "lateral" in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_an_empty_study_and_missing_extras_are_explained(study, tmp_path, monkeypatch):
    with pytest.raises(MsenasError, match="no live trial"):
        draw(Study(Config(), Store(None)), tmp_path / "front.svg")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.partition(".")[0] in ("matplotlib", "jinja2"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for attempt in (lambda: draw(study, tmp_path / "front.svg"), lambda: write_report(study, tmp_path)):
        with pytest.raises(MsenasError, match=r"pip install 'msenas-hw\[report\]'"):
            attempt()
    assert list(tmp_path.iterdir()) == []
