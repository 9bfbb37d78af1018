"""Lava's own Python environment: where it is, whether it works, how to make it.

lava-nc pins Python 3.10 and numpy < 2, so it never shares the environment of the toolkit.
"""

from __future__ import annotations

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
_PROBE = (
    "import sys; sys.path.insert(0, sys.argv[1]); import shim; "
    "import lava.proc.lif.models, lava.proc.sparse.models; "
    "from importlib.metadata import version; print(version('lava-nc'))"
)


@dataclass(frozen=True)
class Environment:
    """An interpreter that can import Lava, and the version of lava-nc."""

    python: Path
    version: str


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
        raise TargetUnavailableError(f"Lava's interpreter {chosen} cannot import Lava: {last}; {HINT}")
    return Environment(chosen, done.stdout.strip())


def install(path: str | Path = FOLDER) -> Environment:
    """Make Lava's environment at `path` with the running Python; one that works is left as it is.

    It is built beside `path` and renamed at the end, so that a half-made one is never found.

    Raises:
        ConfigError: `path` exists and is no virtual environment.
        TargetUnavailableError: the installation failed; holds the end of its output.
    """
    final = Path(path).absolute()
    if final.exists():
        if not (final / "pyvenv.cfg").exists():
            raise ConfigError(f"install path {final} exists and is no virtual environment; choose another")
        try:
            return probe(_python(final))
        except TargetUnavailableError:
            pass
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{final.name}-", dir=final.parent) as made:
        fresh = Path(made) / "fresh"
        _call([sys.executable, "-m", "venv", str(fresh)])
        pip = [str(_python(fresh)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "--no-deps", "--ignore-requires-python", "-r", str(REQUIREMENTS)])
        probe(_python(fresh))
        if final.exists():
            final.rename(Path(made) / "replaced")
        fresh.rename(final)
    return probe(_python(final))


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
