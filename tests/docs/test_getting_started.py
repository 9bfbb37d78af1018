"""The getting-started page, executed as it stands: a newcomer's walk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "getting-started.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


def environment() -> dict[str, str]:
    """The `msenas` of this interpreter first on the path, as in a newcomer's environment."""
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": here + os.pathsep + os.environ["PATH"], "OMP_NUM_THREADS": "1"}


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        arguments, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"


def write(title: str, text: str, folder: Path) -> None:
    (folder / title).write_text(text)


BLOCKS = [match.groups() for match in BLOCK.finditer(PAGE.read_text())]


@pytest.mark.parametrize(("language", "title", "text"), BLOCKS, ids=range(len(BLOCKS)))
def test_block(language: str, title: str | None, text: str, folder: Path) -> None:
    if title:
        write(title, text, folder)
    elif language == "bash":
        run(["bash", "-euc", text], folder)
    else:
        assert language == "python"
        run([sys.executable, "-W", "error", "-c", text], folder)


def test_every_step_has_a_block() -> None:
    steps = re.findall(r"^## \d+\. ", PAGE.read_text(), re.MULTILINE)
    assert len(steps) == 6
    assert len([language for language, _, _ in BLOCKS if language == "bash"]) >= len(steps)
