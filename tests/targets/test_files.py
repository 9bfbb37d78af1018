"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from targets import ConfigError
from targets.files import replacing


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_special_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(ConfigError, match="is no regular file"), replacing(path) as temporary:
            temporary.write_text("new")
    assert pipe.is_fifo()


def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "a")
    for text in ("first", "second"):
        with replacing(link) as temporary:
            temporary.write_text(text)
        assert (link.is_symlink(), (tmp_path / "there" / "a").read_text()) == (True, text)


def test_writers_at_once_are_apart(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
        assert one != other
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises((ConfigError, OSError)), replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["plain/x", "n" * 300])
def test_a_path_that_cannot_be_names_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").touch()
    with (
        pytest.raises(OSError, match=r"Not a directory|too long") as caught,
        replacing(tmp_path / name) as part,
    ):
        part.write_text("new")
    assert caught.value.filename == str(tmp_path / name)


def test_a_long_name_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("told", [["part"], [], ["source", None, "part"]])
def test_an_error_of_the_disk_names_the_file(tmp_path: Path, told: list[str | None]) -> None:
    path = tmp_path / "a"

    def full(temporary: Path) -> None:
        names = [temporary if name == "part" else name for name in told]
        raise OSError(errno.ENOSPC, "No space left on device", *names)

    with pytest.raises(OSError, match="No space left") as caught, replacing(path) as temporary:
        full(temporary)
    assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: {str(path)!r}"
