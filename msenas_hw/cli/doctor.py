"""`msenas doctor`"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Output
from msenas_hw.cli.output import emit, say

PACKAGES = (
    "msenas-hw", "numpy", "torch", "nir", "h5py", "onnx", "onnxruntime", "pymoo", "pydantic", "scikit-learn",
    "scipy", "safetensors", "matplotlib", "ray", "optuna",
)  # fmt: skip

# Targets with kernels in C.
KERNELS = ("reference", "loihi", "onnx")


def doctor(
    install_lava: Annotated[
        bool, typer.Option("--install-lava", help="Make Lava's own environment first.")
    ] = False,
    form: Output = Format.TABLE,
) -> None:
    """Show versions, which targets are available and why not, and whose C kernels are compiled."""
    import targets
    from targets.reference.kernels.build import kernels

    if install_lava:
        from targets.lava.environment import install

        say("making Lava's environment; this takes some minutes")
        made = install()
        say(f"Lava {made.version} is ready: {made.python} (Python {made.runs}, lava-dl {made.lava_dl})")
    versions = [{"package": name, "version": _version(name)} for name in PACKAGES]
    found = [{"target": name, "reason": targets.find(name).unavailable()} for name in targets.names()]
    state = [
        {"target": one["target"], "available": one["reason"] is None, "reason": one["reason"]}
        for one in found
    ]
    lava = _lava()
    compiled = [
        {"kernels": name, "compiled": made.library is not None, "reason": made.reason}
        for name in KERNELS
        for made in [kernels(package=f"targets.{name}.kernels")]
    ]
    report = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {one["package"]: one["version"] for one in versions},
        "targets": state,
        "lava": lava,
        "kernels": compiled,
    }
    machine = [{"python": report["python"], "platform": report["platform"]}]
    emit(form, report, machine, versions, state, [lava] if lava else [], compiled)


def _lava() -> dict[str, str | None] | None:
    """Lava's environment: which Python runs it, and what it holds; None where there is none that works."""
    from targets.errors import TargetUnavailableError
    from targets.lava.environment import probe

    try:
        found = probe()
    except TargetUnavailableError:
        return None
    return {
        "lava": found.version,
        "lava_dl": found.lava_dl or "missing: run `msenas doctor --install-lava`",
        "python": found.runs,
        "interpreter": str(found.python),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
