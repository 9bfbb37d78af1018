"""The wheel alone in an empty environment: the quickstart, then its report in Chromium.

It takes minutes, so it is asked for: MSENAS_SLOW=1 python -m pytest tests/test_wheel.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.environ.get("MSENAS_SLOW") != "1", reason="takes minutes: MSENAS_SLOW=1")
ROOT = Path(__file__).resolve().parents[1]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion", "--window-size=1200,900",
)  # fmt: skip
# Fewer networks and epochs than the quickstart has; the whole of it with MSENAS_QUICKSTART=whole.
FEWER = (
    "search.population=6", "search.generations=2", "search.workers=1", "second_stage.candidates=2",
    "second_stage.epochs=[1, 2]", "training.epochs=4",
)  # fmt: skip


def run(arguments: list[str], folder: Path, environment: dict[str, str], seconds: float = 3600) -> str:
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder away from the checkout; an environment with the wheel and what pip brings, caches empty."""
    folder = tmp_path_factory.mktemp("newcomer")
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MSENAS", "VIRTUAL"))
    }
    environment = kept | {
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PATH": os.pathsep.join([str(folder / "environment" / "bin"), kept["PATH"]]),
    }
    source = folder / "source"
    run(["git", "clone", "--quiet", str(ROOT), str(source)], folder, environment)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    run([*build, str(source)], folder, environment)
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    run([sys.executable, "-m", "venv", str(folder / "environment")], folder, environment)
    run(["pip", "install", "--quiet", f"{wheel}[report]"], folder, environment)
    return folder, environment


@pytest.fixture(scope="module")
def report(newcomer: tuple[Path, dict[str, str]]) -> Path:
    """The report of the quickstart, each of its commands run from the wheel."""
    folder, environment = newcomer
    where = run(["python", "-c", "import targets; print(targets.__file__)"], folder, environment)
    assert where.startswith(str(folder / "environment"))
    shutil.copy(ROOT / "examples" / "quickstart.toml", folder)
    fewer = () if os.environ.get("MSENAS_QUICKSTART") == "whole" else FEWER

    def msenas(*words: str) -> str:
        return run(["msenas", *words], folder, environment)

    msenas("doctor")
    msenas(
        "search",
        "quickstart.toml",
        "--run",
        "quickstart",
        *(word for one in fewer for word in ("--set", one)),
    )
    msenas("front", "quickstart")
    msenas("train", "quickstart", "--arch", "chosen")
    (model,) = (folder / "quickstart" / "artifacts").glob("*/model.nir")
    msenas("compile", str(model), "--target", "onnx", "-o", str(model.with_name("model.onnx")))
    msenas("compile", str(model), "--target", "loihi", "-o", str(model.with_name("program.npz")))
    names = ("--target", "reference", "--target", "onnx", "--target", "loihi")
    proof = json.loads(msenas("verify", str(model), *names, "--format", "json"))
    assert proof["agree"]
    assert [pair["differing"] for pair in proof["pairs"]] == [0, 0]
    msenas("bench", str(model), *names)
    msenas("report", "quickstart")
    return folder / "quickstart" / "report.html"


@pytest.fixture
def chromium() -> Iterator[Any]:
    if not (CHROMIUM and DRIVER and find_spec("selenium")):
        pytest.skip("needs chromium, chromedriver and selenium (apt-get install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with warnings.catch_warnings():
        # urllib3 leaves sockets to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=DRIVER))
        yield driver
        driver.quit()


def test_the_report_opens_without_an_error_and_selects(report: Path, chromium: Any) -> None:
    from selenium.webdriver.common.by import By

    chromium.get(report.as_uri())
    rows = chromium.find_elements(By.CSS_SELECTOR, "#table tr[data-arch]")
    shown = [row.get_attribute("data-arch") for row in rows]
    assert set(shown) >= set(json.loads((report.with_name("report.json")).read_text())["front"])
    for arch in shown:
        # A selection draws the table anew.
        chromium.find_element(By.CSS_SELECTOR, f'#table tr[data-arch="{arch}"] button').click()
        assert chromium.find_element(By.ID, "network-title").text == f"Network {arch}"
    assert chromium.get_log("browser") == []
