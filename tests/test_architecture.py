"""Data flow one way: targets -> cost_models -> msenas_hw."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "targets": ("cost_models", "msenas_hw"),
    "cost_models": ("msenas_hw",),
    "targets/graph": ("torch", "onnx", "onnxruntime"),
    "targets/lava": ("lava",),
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    files = [p for p in (ROOT / package).rglob("*.py") if "worker" not in p.parts]
    assert files
    wrong = {str(p): imports(p) & set(FORBIDDEN[package]) for p in files}
    assert not {path: names for path, names in wrong.items() if names}


def test_files_stay_small() -> None:
    files = [p for top in ("targets", "cost_models", "msenas_hw") for p in (ROOT / top).rglob("*.py")]
    assert not {str(p): n for p in files if (n := len(p.read_text().splitlines())) > 400}
