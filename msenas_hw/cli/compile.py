"""`msenas compile`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli import compile_onnx as onnx
from msenas_hw.cli.lowering import CALIBRATION_SAMPLES, Calibrate, Lowering, WeightBits
from msenas_hw.cli.options import (
    Data,
    Encoding,
    Format,
    Model,
    Output,
    Profile,
    Samples,
    Split,
    read_model,
)
from msenas_hw.cli.output import emit

if TYPE_CHECKING:
    from msenas_hw.cli.inputs import Given
    from targets import SpikingGraph
    from targets.loihi.program import Program

# The targets that write a file; those of a chip write the lowered network.
CHIP = ("loihi", "lava")
WRITES = ("onnx", *CHIP)
COLUMNS = ("node", "parameter", "count", "value", "fixed", "scale", "error")


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
    weight_bits: WeightBits = None,
    calibrate: Calibrate = False,
    table: Annotated[
        bool, typer.Option("--table", help="loihi, lava: show what became of each parameter.")
    ] = False,
    profile: Profile = None,
    onnx_form: onnx.Form = "portable",
    steps: onnx.CallSteps = None,
    batch: onnx.Batch = None,
    arithmetic: onnx.Arithmetic = "float32",
    precision: onnx.Precision = "float32",
    opset: onnx.Opset = 20,
    device: onnx.Devices = None,
    data: Data = None,
    encoding: Encoding = None,
    data_steps: onnx.DataSteps = None,
    split: Split = "test",
    samples: Samples = 20,
    form: Output = Format.TABLE,
) -> None:
    """Compile a network for a target and write it to a file."""
    import targets

    targets.find(target)
    if target not in WRITES:
        raise targets.ConfigError(
            f"--target {target}: runs in memory and writes no file; allowed {', '.join(WRITES)}"
        )
    file = onnx.OnnxFile(onnx_form, steps, batch, arithmetic, precision, opset)
    file.check(target, device or ())
    asked = Lowering.of(weight_bits, calibrate)
    _check_asked(target, output, netx, asked.given, table)
    for option, path in (("--output", output), ("--netx", netx)):
        if path is not None:
            _check_output(option, path)
    graph = read_model(model, profile)
    if netx is not None:
        _write_netx(graph, model, netx, output, form)
        return

    def given(part: str, count: int = samples) -> Given:
        from msenas_hw.cli.inputs import read_inputs

        return read_inputs(model, graph, data, encoding, data_steps, part, count, "--data-steps")

    row: dict[str, Any] = {"model": str(model), "target": target}
    if target in CHIP:
        training = given("train", CALIBRATION_SAMPLES) if asked.calibrate else None
        _emit_program(asked.program(graph, training), row, output, table, form)
        return
    assert output is not None
    more = file.write(graph, output, given, split, device or ())
    emit(form, row | {"output": str(output), "bytes": output.stat().st_size} | more)


def _check_asked(target: str, output: Path | None, netx: Path | None, lowered: bool, table: bool) -> None:
    """ConfigError where options do not go together."""
    import targets

    if netx is not None and target != "loihi":
        raise targets.ConfigError(f"--netx: found --target {target}, allowed loihi")
    given = {"--weight-bits, --calibrate": lowered, "--table": table}
    for option in (option for option, found in given.items() if found):
        if target not in CHIP:
            raise targets.ConfigError(f"{option}: found with --target {target}, allowed {', '.join(CHIP)}")
        if netx is not None:
            raise targets.ConfigError(f"{option}: found with --netx, whose file fixes formats of its own")
    if output is None and netx is None and not table:
        raise targets.ConfigError("--output: missing; name the file to write (or --netx, with loihi)")


def _emit_program(
    program: Program, row: dict[str, Any], output: Path | None, table: bool, form: Format
) -> None:
    """Write a lowered network where a file is named, and show what became of each parameter."""
    import targets
    from targets.loihi.storage import save_program

    if row["target"] == "lava":  # it runs the program of the simulator, and has rules of its own
        targets.compile(program.graph, "lava", arithmetic="fixed", program=program)
    if output is not None:
        save_program(program, output)
        row |= {"output": str(output), "bytes": output.stat().st_size}
    rows = [{key: getattr(found, key) for key in COLUMNS} for found in program.table]
    if table:
        emit(form, row | {"table": rows}, [row], rows)
    else:
        emit(form, row)


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
