"""The library of `kernels.c`, compiled as that of the reference executor is."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from targets.errors import TargetUnavailableError
from targets.reference.kernels.build import _FLAGS, Kernels, _folder, _output, _processor
from targets.reference.kernels.build import kernels as reference_kernels


def kernels(choice: str = "auto") -> Kernels:
    """The kernels of `choice`, as `targets.reference.kernels.build.kernels` reads it.

    Raises:
        ConfigError: an unknown choice.
        TargetUnavailableError: "c", and the compiler is missing or fails.
    """
    allowed = reference_kernels(choice)
    if allowed.library is None:
        return allowed
    found = _compiled()
    if choice == "c" and found.library is None:
        raise TargetUnavailableError(f"C kernels: {found.reason}; install a C compiler or choose torch")
    return found


@cache
def _compiled() -> Kernels:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    assert compiler is not None
    try:
        path = _built(compiler)
        return Kernels(ctypes.CDLL(str(path)), "C kernels", str(path))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return Kernels(None, "torch kernels", f"{compiler} failed: {said.strip()}")


def _built(compiler: str) -> Path:
    with resources.as_file(resources.files("targets.loihi.kernels") / "kernels.c") as source:
        version = _output([compiler, "--version"])
        key = hashlib.sha256("\0".join([version, _processor(), *_FLAGS]).encode() + source.read_bytes())
        path = _folder() / f"loihi-{key.hexdigest()[:24]}.so"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=path.parent) as workshop:
                made = Path(workshop) / path.name
                _output([compiler, *_FLAGS, "-shared", "-fPIC", str(source), "-o", str(made)])
                made.replace(path)
        return path
