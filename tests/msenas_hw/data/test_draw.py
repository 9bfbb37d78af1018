from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from msenas_hw.data import SETS, draw, load
from targets.errors import ConfigError

NAMES = SETS["digits"].classes


def test_a_png_is_what_others_read():
    picture = np.random.default_rng(0).integers(0, 256, (13, 29, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(draw.png(picture))) as image:
        assert (np.asarray(image.convert("RGB")) == picture).all()


def test_a_sheet_shows_samples_of_each_class(tmp_path):
    data = load("digits")
    sheet = draw.sheet(data, NAMES, 4)
    assert sheet.captions == list(NAMES)
    assert {len(row) for row in sheet.tiles} == {10}
    first = np.flatnonzero(data.train_y == 3)[0]
    shown = sheet.tiles[3][0][::7, ::7, 0]
    assert np.abs(shown - data.train_x[np.array([first])][0, 0] * 255).max() <= 1
    draw.write(sheet, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == sheet.picture().shape[1::-1]
    draw.write(sheet, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    data_uri = re.search(r'href="data:image/png;base64,([^"]+)"', text)
    assert data_uri is not None
    assert base64.b64decode(data_uri[1]) == (tmp_path / "a.png").read_bytes()
    with pytest.raises(ConfigError, match=r"allowed \.png or \.svg"):
        draw.write(sheet, tmp_path / "a.gif")


@pytest.mark.parametrize(("name", "tiles"), [("nmnist-1100", 5), ("shd", 1)])
def test_events_are_shown_as_frames(miniatures, monkeypatch, tmp_path, name, tiles):
    monkeypatch.setitem(SETS, name, miniatures.write(name, tmp_path).source)
    data = load(name, validation=2, folder=str(tmp_path))
    sheet = draw.sheet(data, SETS[name].classes, 5)
    assert {len(row) for row in sheet.tiles} == {tiles}
    assert max(tile.max() for row in sheet.tiles for tile in row) == 255
    lines = draw.text(data, SETS[name].classes, 5).splitlines()
    assert len(lines) >= 3
    assert len({len(line) for line in lines}) == 1


def test_text_shows_dark_and_bright():
    text = draw.text(load("digits"), NAMES, 4)
    assert text.splitlines()[0].split() == ["0", "1", "2"]
    assert "@@" in text
    assert len(text.splitlines()) == 9
