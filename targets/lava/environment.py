"""Lava's own Python environment: where it is, whether it works, how to make it.

lava-nc pins Python 3.10 and numpy < 2, so it never shares the environment of the toolkit.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from targets.errors import ConfigError, TargetUnavailableError

VARIABLE = "MSENAS_LAVA_PYTHON"
FOLDER = ".venv-lava"
HINT = "run `msenas doctor --install-lava`"
PROBE_TIMEOUT_S = 60.0
INSTALL_TIMEOUT_S = 900.0
WORKER = Path(__file__).parent / "worker"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_PROBE = """
import json, platform, sys
sys.path.insert(0, sys.argv[1])
import shim
import lava.proc.lif.models, lava.proc.sparse.models
from importlib.metadata import PackageNotFoundError, version
try:
    dl = version("lava-dl")
except PackageNotFoundError:
    dl = None
print(json.dumps({"version": version("lava-nc"), "runs": platform.python_version(), "lava_dl": dl}))
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter that can import Lava.

    Attributes:
        version: of lava-nc.
        runs: version of Python.
        lava_dl: version of lava-dl, which loads exported networks; None where it is missing.
    """

    python: Path
    version: str
    runs: str
    lava_dl: str | None


def interpreter() -> Path:
    """Lava's interpreter: MSENAS_LAVA_PYTHON, else .venv-lava here or beside the project.

    Raises:
        TargetUnavailableError: there is none.
    """
    given = os.environ.get(VARIABLE)
    if given:
        if not os.access(given, os.X_OK):
            raise TargetUnavailableError(f"{VARIABLE}={given} is no program that runs; unset it and {HINT}")
        return Path(given)
    for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
        python = root / FOLDER / "bin" / "python"
        if python.exists():
            return python
    raise TargetUnavailableError(
        f"Lava has no environment: {VARIABLE} is not set, and there is no {FOLDER} in {Path.cwd()} "
        f"or beside the project; {HINT}"
    )


def probe(python: Path | None = None) -> Environment:
    """Import Lava in its interpreter, in a child process.

    Raises:
        TargetUnavailableError: no environment, or one in which Lava does not import; says which.
    """
    chosen = python or interpreter()
    command = [str(chosen), "-E", "-s", "-c", _PROBE, str(WORKER)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise TargetUnavailableError(
            f"Lava's interpreter {chosen} did not import Lava in {PROBE_TIMEOUT_S:g} s; {HINT}"
        ) from None
    except OSError as error:
        raise TargetUnavailableError(f"Lava's interpreter {chosen} does not run: {error}; {HINT}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TargetUnavailableError(
            f"Lava's interpreter {chosen}{_python_version(chosen)} cannot import Lava: {last}; {HINT}"
        )
    try:
        return Environment(chosen, **json.loads(done.stdout))
    except (ValueError, TypeError):
        said = done.stdout.strip()[:80]
        raise TargetUnavailableError(
            f"Lava's interpreter {chosen} is no Python that the toolkit can ask: it said {said!r}; {HINT}"
        ) from None


def _python_version(python: Path) -> str:
    """ " (Python x.y.z)", or nothing where it does not tell."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([str(python), "-V"], capture_output=True, text=True, timeout=5, check=False)
        if done.stdout.startswith("Python "):
            return f" ({done.stdout.strip()})"
    return ""


def install(path: str | Path = FOLDER) -> Environment:
    """Make Lava's environment at `path` with the running Python; one that works is left as it is, but for
    lava-dl, which is added where it is missing.

    It is built beside `path` and renamed at the end, so that a half-made one is never found.

    Raises:
        ConfigError: `path` exists and is no virtual environment.
        TargetUnavailableError: the installation failed; holds the end of its output.
    """
    final = Path(path).absolute()
    if final.exists():
        if not (final / "pyvenv.cfg").exists():
            raise ConfigError(f"install path {final} exists and is no virtual environment; choose another")
        found = _working(_python(final))
        if found is not None and found.lava_dl is None:
            _call([*_pip(_python(final)), "--no-deps", "--ignore-requires-python", *_lava_dl()])
            return probe(_python(final))
        if found is not None:
            return found
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{final.name}-", dir=final.parent) as made:
        fresh = Path(made) / "fresh"
        _call([sys.executable, "-m", "venv", str(fresh)])
        _call([*_pip(_python(fresh)), "--no-deps", "--ignore-requires-python", "-r", str(REQUIREMENTS)])
        probe(_python(fresh))
        if final.exists():
            final.rename(Path(made) / "replaced")
        fresh.rename(final)
    return probe(_python(final))


def _working(python: Path) -> Environment | None:
    try:
        return probe(python)
    except TargetUnavailableError:
        return None


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _lava_dl() -> list[str]:
    """What lava-dl adds to an environment of lava-nc: itself and the reader of its files."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("lava-dl", "h5py"))]


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TargetUnavailableError(f"{' '.join(command)}: not done in {INSTALL_TIMEOUT_S:g} s") from None
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise TargetUnavailableError(f"{' '.join(command)}: exit code {done.returncode}\n{tail}")
