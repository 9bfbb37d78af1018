"""`msenas compile`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, cast

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit

if TYPE_CHECKING:
    from targets import SpikingGraph

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
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write.", show_default=False)
    ] = None,
    netx: Annotated[
        Path | None,
        typer.Option("--netx", help="With loihi: lava-dl network file to write.", show_default=False),
    ] = None,
    profile: Profile = None,
    onnx_form: Annotated[
        str, typer.Option("--form", help="onnx: portable (any T and B) or gpu (static, no control flow).")
    ] = "portable",
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="gpu form: steps of one call.", show_default=False),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="gpu form: samples of one call.", show_default=False)
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Compile a network for a target and write it to a file."""
    import targets

    targets.find(target)
    if target not in WRITES:
        raise targets.ConfigError(
            f"--target {target}: runs in memory and writes no file; allowed {', '.join(WRITES)}"
        )
    if output is None and netx is None:
        raise targets.ConfigError("--output: missing; name the file to write (or --netx, with loihi)")
    if netx is not None and target != "loihi":
        raise targets.ConfigError(f"--netx: found --target {target}, allowed loihi")
    for option, path in (("--output", output), ("--netx", netx)):
        if path is not None:
            _check_output(option, path)
    graph = read_model(model, profile)
    if netx is not None:
        _write_netx(graph, model, netx, output, form)
        return
    assert output is not None
    executable = targets.compile(graph, target, **WRITES[target], **_form(target, onnx_form, steps, batch))
    if target == "lava":  # it loads the program of the simulator; its own rules are checked above
        executable = targets.compile(graph, "loihi")
    cast(Savable, executable).save(output)
    emit(form, {"model": str(model), "target": target, "output": str(output), "bytes": output.stat().st_size})


def _form(target: str, form: str, steps: int | None, batch: int | None) -> dict[str, str | int]:
    """The options of a form; ConfigError where they are not onnx's."""
    import targets

    given = {"form": form, "steps": steps, "batch": batch}
    options = {key: value for key, value in given.items() if value not in (None, "portable")}
    if options and target != "onnx":
        raise targets.ConfigError(f"--{next(iter(options))}: found with --target {target}, allowed with onnx")
    return options


def _write_netx(graph: SpikingGraph, model: Path, netx: Path, output: Path | None, form: Format) -> None:
    """Write the network for lava-dl, and the program that computes the same where `output` is given."""
    from targets.loihi.netx import netx_program, save_netx
    from targets.loihi.storage import save_program

    program = netx_program(graph)
    if output is not None:
        save_program(program, output)
    save_netx(program, netx)
    row = {"model": str(model), "target": "loihi", "netx": str(netx), "bytes": netx.stat().st_size}
    emit(form, row if output is None else row | {"output": str(output)})


def _check_output(option: str, path: Path) -> None:
    """ConfigError unless `path` is a file that may be made or replaced."""
    import targets

    if not path.parent.is_dir():
        raise targets.ConfigError(f"{option} {path}: folder {path.parent} does not exist; make it first")
    if path.exists() and not path.is_file():
        # A replaced device node would be gone for everyone.
        raise targets.ConfigError(f"{option} {path}: is no regular file, allowed the path of a file")
