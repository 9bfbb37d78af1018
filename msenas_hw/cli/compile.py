"""`msenas compile`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol, cast

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit

# The targets that write a file, with the options for that.
WRITES: dict[str, dict[str, str]] = {"onnx": {}, "loihi": {}, "lava": {"arithmetic": "fixed"}}


class Savable(Protocol):
    """An executable that can be written to a file."""

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        ...


def compile_model(
    model: Model,
    target: Annotated[str, typer.Option("--target", help="onnx, loihi or lava.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.", show_default=False)],
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Compile a network for a target and write it to a file."""
    import targets

    targets.find(target)
    if target not in WRITES:
        raise targets.ConfigError(
            f"--target {target}: runs in memory and writes no file; allowed {', '.join(WRITES)}"
        )
    _check_output(output)
    graph = read_model(model, profile)
    executable = targets.compile(graph, target, **WRITES[target])
    if target == "lava":  # it loads the program of the simulator; its own rules are checked above
        executable = targets.compile(graph, "loihi")
    cast(Savable, executable).save(output)
    emit(form, {"model": str(model), "target": target, "output": str(output), "bytes": output.stat().st_size})


def _check_output(path: Path) -> None:
    """ConfigError unless `path` is a file that may be made or replaced."""
    import targets

    if not path.parent.is_dir():
        raise targets.ConfigError(f"--output {path}: folder {path.parent} does not exist; make it first")
    if path.exists() and not path.is_file():
        # A replaced device node would be gone for everyone.
        raise targets.ConfigError(f"--output {path}: is no regular file, allowed the path of a file")
