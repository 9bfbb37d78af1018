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
    "scipy", "safetensors", "matplotlib", "jinja2",
)  # fmt: skip


def doctor(
    install_lava: Annotated[
        bool, typer.Option("--install-lava", help="Make Lava's own environment first.")
    ] = False,
    form: Output = Format.TABLE,
) -> None:
    """Show versions, which targets are available and why not, and what runs the executor."""
    import targets
    from targets.reference.kernels.build import kernels

    if install_lava:
        from targets.lava.environment import install

        say("making Lava's environment; this takes some minutes")
        made = install()
        say(f"Lava {made.version} is ready: {made.python}")
    versions = [{"package": name, "version": _version(name)} for name in PACKAGES]
    found = [{"target": name, "reason": targets.find(name).unavailable()} for name in targets.names()]
    state = [
        {"target": one["target"], "available": one["reason"] is None, "reason": one["reason"]}
        for one in found
    ]
    running = kernels()
    report = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {one["package"]: one["version"] for one in versions},
        "targets": state,
        "kernels": {"running": running.said, "reason": running.reason},
    }
    machine = [{"python": report["python"], "platform": report["platform"]}]
    emit(form, report, machine, versions, state, [{"executor": running.said, "reason": running.reason}])


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
