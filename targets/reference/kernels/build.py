"""A package's kernels as a shared library, compiled by the system's C compiler at first use and kept.

The file's name is a hash of the sources, the compiler's version and the processor's features, so a
change of any of them compiles anew. Several processes may compile at once: each writes a file of its
own and moves it into place.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from targets.errors import ConfigError, TargetUnavailableError

# No contraction: a fused multiply-add rounds once where the normative update rounds twice. The two
# other options concern errno and floating-point exceptions, which nothing reads; they change no value.
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_SECONDS = 600
CHOICES = ("auto", "c", "torch")
_OWN = "targets.reference.kernels"


@dataclass(frozen=True)
class Kernels:
    """What runs populations: a library, or torch with the reason why.

    Attributes:
        library: None for plain torch.
        said: "C kernels" or "torch kernels", for `Run.ran_on`.
        reason: why there is no library, or where it is.
    """

    library: ctypes.CDLL | None
    said: str
    reason: str


def kernels(choice: str = "auto", package: str = _OWN) -> Kernels:
    """The kernels of `choice`; "auto" is MSENAS_KERNELS where set, else C where a compiler is there.

    Args:
        package: holds `kernels.c` and what it includes, apart from the headers beside this file.

    Raises:
        ConfigError: an unknown choice.
        TargetUnavailableError: "c", and the compiler is missing or fails.
    """
    source = "kernels"
    if choice == "auto":
        choice, source = os.environ.get("MSENAS_KERNELS", "auto"), "MSENAS_KERNELS"
    if choice not in CHOICES:
        raise ConfigError(f"{source}={choice!r}, allowed {', '.join(CHOICES)}")
    if choice == "torch":
        return Kernels(None, "torch kernels", "chosen")
    found = _compiled(package)
    if choice == "c" and found.library is None:
        raise TargetUnavailableError(f"C kernels: {found.reason}; install a C compiler or choose torch")
    return found


@cache
def _compiled(package: str) -> Kernels:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return Kernels(None, "torch kernels", "no C compiler (cc) found")
    try:
        path = _built(compiler, package)
        return Kernels(ctypes.CDLL(str(path)), "C kernels", str(path))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return Kernels(None, "torch kernels", f"{compiler} failed: {said.strip()}")


def _built(compiler: str, package: str) -> Path:
    sources: dict[str, bytes] = {}
    for home, kinds in {_OWN: ["*.h"], package: ["*.c", "*.h", "*.inc"]}.items():
        with resources.as_file(resources.files(home)) as folder:
            files = sorted(file for kind in kinds for file in folder.glob(kind))
            sources |= {file.name: file.read_bytes() for file in files}
    version = _output([compiler, "--version"])
    key = hashlib.sha256("\0".join([version, _processor(), *_FLAGS]).encode())
    for content in sources.values():
        key.update(content)
    path = _folder() / f"{package}-{key.hexdigest()[:24]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=path.parent) as workshop:
            # What was hashed is compiled, even if somebody edits the sources meanwhile.
            for name, content in sources.items():
                (Path(workshop) / name).write_bytes(content)
            source, made = Path(workshop) / "kernels.c", Path(workshop) / path.name
            _output([compiler, *_FLAGS, "-shared", "-fPIC", str(source), "-o", str(made), "-lm"])
            made.replace(path)
    return path


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msenas-hw"


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS).stdout


def _processor() -> str:
    """What `-march=native` depends on, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = {line for line in lines if line.split(":")[0].strip() in {"model name", "flags", "Features"}}
    return platform.machine() + "".join(sorted(told))
