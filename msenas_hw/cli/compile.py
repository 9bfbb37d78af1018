"""`msenas compile`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit


def compile_model(
    model: Model,
    target: Annotated[str, typer.Option("--target", help="onnx, loihi or lava.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.", show_default=False)],
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Compile a network for a target and write it to a file."""
    import targets

    executable = targets.compile(read_model(model, profile), target)
    save = getattr(executable, "save", None)
    if save is None:
        raise targets.ConfigError(
            f"--target {target}: runs in memory and writes no file; allowed onnx, loihi or lava"
        )
    save(output)
    emit(form, {"model": str(model), "target": target, "output": str(output), "bytes": output.stat().st_size})
