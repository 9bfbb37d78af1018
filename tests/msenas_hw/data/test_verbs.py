from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.data import SETS, load


@pytest.fixture
def published(server, miniatures, monkeypatch, tmp_path):
    """`published(name)` offers a copy of a set on a server of this machine."""

    def offer(name: str):
        miniature = miniatures.write(name, tmp_path / "server" / name)
        files = []
        for file in miniature.source.files:
            server.files[file.name] = (miniature.folder / file.name).read_bytes()
            files.append(replace(file, url=f"{server.url}/{file.name}"))
        monkeypatch.setitem(SETS, name, miniatures.with_files(miniature.source, files))
        return miniature

    return offer


def test_list_names_every_set_and_which_are_here(run, miniatures, nowhere, monkeypatch):
    monkeypatch.setitem(SETS, "mnist", miniatures.write("mnist", nowhere / "mnist").source)
    code, out, _ = run("data", "list", "--format", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == list(SETS)
    assert [rows[name]["here"] for name in ("digits", "mnist", "mnist-saccade-sim")] == [True] * 3
    assert not rows["cifar-10"]["here"]
    assert rows["mnist"]["licence"] == SETS["mnist"].licence
    assert rows["digits-saccade-sim"]["kind"] == "simulated"
    table = run("data", "list")[1]
    assert all(name in table for name in SETS)


def test_show_counts_and_draws(run, tmp_path):
    code, out, err = run("data", "show", "digits", "--format", "json", "--picture", tmp_path / "d.png")
    shown = json.loads(out)
    assert code == 0
    assert shown["parts"]["test"] == np.bincount(load("digits").test_y).tolist()
    assert shown["shape"] == [1, 8, 8]
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert "written" in err
    code, out, err = run("data", "show", "digits")
    assert code == 0
    assert "CC BY 4.0" in out
    assert "@@" in err


def test_show_of_recordings_and_of_what_is_not_here(run, miniatures, monkeypatch, tmp_path):
    monkeypatch.setitem(SETS, "shd", miniatures.write("shd", tmp_path / "shd").source)
    code, out, _ = run("data", "show", "shd", "--folder", tmp_path / "shd", "--picture", tmp_path / "s.svg")
    assert code == 0
    assert "validation: none" in out
    assert (tmp_path / "s.svg").read_text().startswith("<svg")
    code, out, err = run("data", "show", "cifar-10", "--format", "json")
    assert code == 1
    assert json.loads(out)["here"] is False
    assert "no file of it in" in err
    assert "msenas data fetch cifar-10" in err
    code, _, err = run("data", "show", "cifar")
    assert (code, "no such set, allowed digits" in err) == (2, True)


def test_fetch_asks_fetches_verifies_and_reads(run, published, server, nowhere):
    published("shd")
    code, _, err = run("data", "fetch", "shd")
    assert code == 2
    assert "nobody to ask; add --yes" in err
    for said in (f"{server.url}/shd_train.h5.zip", "MB", "licence: CC BY 4.0"):
        assert said in err
    assert all(verb == "HEAD" for verb, *_ in server.asked)
    server.cut = [500]
    code, out, err = run("data", "fetch", "shd", "--yes", "--format", "json")
    assert code == 0
    assert "shd_test.h5.zip: verified" in err
    assert (
        json.loads(out)["parts"]["test"]
        == np.bincount(load("shd", validation=2).test_y, minlength=20).tolist()
    )
    assert sorted(path.name for path in (nowhere / "shd").iterdir()) == [
        "shd_test.h5.zip",
        "shd_train.h5.zip",
    ]
    asked = len(server.asked)
    assert run("data", "fetch", "shd")[0] == 0
    assert len(server.asked) == asked


def test_fetch_takes_no_altered_file(run, published, server, nowhere):
    published("cifar-10")
    name = "cifar-10-python.tar.gz"
    server.files[name] = server.files[name][:-1] + b"!"
    code, _, err = run("data", "fetch", "cifar-10", "--yes")
    assert code == 1
    assert f"{name}: gave a file of md5" in err
    assert not any(path.is_file() for path in nowhere.rglob("*"))


def test_fetch_of_what_nobody_may_fetch_says_how(run):
    code, _, err = run("data", "fetch", "imagenet16-120")
    assert code == 1
    assert "register at image-net.org" in err
    assert "licence: ImageNet's terms" in err
    code, out, err = run("data", "fetch", "digits", "--format", "json")
    assert (code, "nothing to download" in err) == (0, True)
    assert sum(json.loads(out)["parts"]["test"]) == 500


def test_nothing_else_reaches_for_the_network(monkeypatch, tmp_path: Path):
    import socket

    def refused(*_: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    for name, source in SETS.items():
        if source.files:
            with pytest.raises(Exception, match="no file of it"):
                load(name, folder=str(tmp_path))
