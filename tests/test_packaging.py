"""The wheel holds all that the packages need, and the command line starts without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("targets", "cost_models", "msenas_hw")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    # Built from a copy, so that build/ and *.egg-info of the checkout do not leak into it.
    source = out / "source"
    for name in tracked.stdout.splitlines():
        if (
            name.split("/")[0] in (*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
            and (ROOT / name).exists()
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(out),
        str(source),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if "Could not find a version that satisfies" in done.stderr:
        pytest.skip("no package index to take setuptools from")
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    source = wheel.parent / "source"
    wanted = {
        str(path.relative_to(source))
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert not wanted - held
    assert not {name for name in held if name.split("/")[0] not in PACKAGES and ".dist-info/" not in name}


def test_the_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    script = (
        "import cost_models, msenas_hw, targets; print(targets.__file__); print(len(cost_models.devices()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where, devices = done.stdout.split()
    assert where.startswith(str(installed))
    assert int(devices) >= 17


@pytest.mark.parametrize("script", ["import msenas_hw", "from msenas_hw.cli.app import app"])
def test_starts_without_torch(script: str) -> None:
    asked = (
        f"import sys; {script}; print([m for m in ('torch', 'onnx', 'pymoo', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
