from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msenas_hw.data import SETS
from msenas_hw.data.fetch import announced, fetched, folder_of, missing
from msenas_hw.data.place import File
from targets.errors import DataError


@pytest.fixture
def file(server, miniatures) -> File:
    data = np.random.default_rng(0).bytes(700_000)
    server.files["a.zip"] = data
    return File("a.zip", miniatures.md5(data), None, f"{server.url}/some/a.zip")


def fetch(file: File, folder: Path) -> tuple[bytes, list[tuple[int, int | None]]]:
    told: list[tuple[int, int | None]] = []
    path = fetched(file, folder, lambda at, whole: told.append((at, whole)), wait_s=0)
    return path.read_bytes(), told


def test_a_file_is_fetched_verified_and_told(server, file, tmp_path):
    assert announced(file) == 700_000
    data, told = fetch(file, tmp_path / "new")
    assert data == server.files["a.zip"]
    assert told[-1] == (700_000, 700_000)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.zip"]


def test_what_breaks_off_goes_on_where_it_broke_off(server, file, tmp_path):
    server.cut = [300_000, 0, 250_001]
    data, _ = fetch(file, tmp_path)
    assert data == server.files["a.zip"]
    assert [wanted for *_, wanted in server.asked] == [
        None,
        "bytes=300000-",
        "bytes=300000-",
        "bytes=550001-",
    ]


def test_an_interrupted_fetch_goes_on_in_the_next_run(server, file, tmp_path):
    def stop(at: int, whole: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(file, tmp_path, stop, wait_s=0)
    held = (tmp_path / "a.zip.part").stat().st_size
    assert held > 0
    assert fetch(file, tmp_path)[0] == server.files["a.zip"]
    assert server.asked[-1][2] == f"bytes={held}-"


def test_a_complete_part_needs_no_more_than_its_digest(server, file, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(server.files["a.zip"])
    assert fetch(file, tmp_path)[0] == server.files["a.zip"]


def test_a_server_without_ranges_begins_anew(server, file, tmp_path):
    server.ranges = False
    (tmp_path / "a.zip.part").write_bytes(server.files["a.zip"][:1000])
    assert fetch(file, tmp_path)[0] == server.files["a.zip"]


def test_another_file_than_published_is_not_kept(server, file, tmp_path):
    server.files["a.zip"] = b"<html>login</html>"
    with pytest.raises(DataError, match=r"gave a file of md5 .*, allowed .*it was removed"):
        fetch(file, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_server_that_refuses_or_ends_early_is_named(server, file, tmp_path):
    server.cut = [0] * 9
    with pytest.raises(DataError, match=r"some/a\.zip: cannot be fetched"):
        fetch(file, tmp_path)
    assert len(server.asked) == 5
    with pytest.raises(DataError, match=r"gone\.zip: 404"):
        fetch(replace(file, url=f"{server.url}/gone.zip"), tmp_path)
    server.heads = False
    assert announced(file) is None
    with pytest.raises(DataError, match="cannot be fetched"):
        announced(replace(file, url="http://127.0.0.1:9/a.zip"))


def test_the_proxy_of_the_environment_is_asked(server, file, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    data, _ = fetch(replace(file, url="http://data.invalid/x/a.zip"), tmp_path)
    assert data == server.files["a.zip"]
    assert server.asked[-1][:2] == ("GET", "http://data.invalid/x/a.zip")


def test_files_that_are_held_are_not_fetched_again(miniatures, tmp_path, monkeypatch, nowhere):
    source = miniatures.write("shd", nowhere / "shd").source
    assert folder_of(SETS["shd"]) == nowhere / "shd"
    assert missing(source) == []
    path = nowhere / "shd" / source.files[1].name
    path.write_bytes(path.read_bytes()[:-1])
    assert missing(source) == [source.files[1]]
