"""Files are written whole or not at all."""

from __future__ import annotations

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
