"""`msenas compile --target onnx`: the options of the file, and what a precision costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.output import say, text

if TYPE_CHECKING:
    from msenas_hw.cli.inputs import Given
    from targets import SpikingGraph
    from targets.onnx.executable import OnnxExecutable

Form = Annotated[
    str, typer.Option("--form", help="onnx: portable (any T and B) or gpu (static, no control flow).")
]
CallSteps = Annotated[
    int | None, typer.Option("--steps", min=1, help="gpu form: steps of one call.", show_default=False)
]
Batch = Annotated[
    int | None, typer.Option("--batch", min=1, help="gpu form: samples of one call.", show_default=False)
]
Arithmetic = Annotated[
    str, typer.Option("--arithmetic", help="onnx: float32, or fixed: the integers of a Loihi core.")
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="onnx: float32 (exact), tf32x2, float16, bfloat16 or int8; needs input data."
    ),
]
Opset = Annotated[int, typer.Option("--opset", help="onnx: operator set, 18 to 21.")]
Devices = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        help="onnx: device whose estimate the file carries, several times; needs input data.",
        show_default=False,
    ),
]
DataSteps = Annotated[
    int | None,
    typer.Option(
        "--data-steps", min=1, help="Time steps of the data; by default those of the run.", show_default=False
    ),
]
# Gives the samples of a part of the data.
Reader = Callable[[str], "Given"]


@dataclass(frozen=True)
class OnnxFile:
    """The options of an ONNX file; `steps` and `batch` are those of the gpu form."""

    form: str = "portable"
    steps: int | None = None
    batch: int | None = None
    arithmetic: str = "float32"
    precision: str = "float32"
    opset: int = 20

    def check(self, target: str, devices: Sequence[str]) -> None:
        """ConfigError where an option is given for another target than onnx."""
        import targets

        default = asdict(OnnxFile())
        given = [key for key, value in asdict(self).items() if value != default[key]]
        given += ["device"] if devices else []
        if given and target != "onnx":
            raise targets.ConfigError(f"--{given[0]}: found with --target {target}, allowed with onnx")

    def write(
        self, graph: SpikingGraph, output: Path, read: Reader, split: str, devices: Sequence[str]
    ) -> dict[str, Any]:
        """Compile, say what the precision changes, write; what JSON shows beside the file's size."""
        import targets

        options: dict[str, Any] = asdict(self)
        if self.precision == "int8":
            options["calibration"] = read("train").x
        executable: Any = targets.compile(graph, "onnx", **options)
        notes: dict[str, Any] = {}
        if self.precision != "float32":
            notes["precision.measured"] = _changes(graph, executable, self.precision, read(split))
        for device in devices:
            notes[f"device.{device}"] = _estimate(graph, device, read(split))
        executable.save(output, {key: json.dumps(value) for key, value in notes.items()})
        return notes


def _changes(
    graph: SpikingGraph, executable: OnnxExecutable, precision: str, given: Given
) -> Mapping[str, Any]:
    from targets.onnx.flips import flips

    found = flips(graph, executable, given.x, given.labels)
    measured = {
        "precision": precision,
        "samples": found.samples,
        "neuron_steps": found.compared,
        "flip_rate": found.rate,
        "accuracy": found.accuracy,
        "accuracy_float32": found.accuracy_float32,
        "changed": found.changed,
    }
    shown = ", ".join(f"{key} {text(value)}" for key, value in measured.items() if key != "changed")
    say(f"against float32: {shown}")
    return measured


def _estimate(graph: SpikingGraph, device: str, given: Given) -> Mapping[str, Any]:
    """Joules and seconds of a sample on `device`, from the spikes of `given`."""
    import cost_models
    from msenas_hw.search.remeasure import chip_run

    found = cost_models.estimate(graph, chip_run(graph, given.x, device), device)
    figures = ("energy_j", "latency_s", "spikes", "synops")
    return {key: value for key, value in found.as_json().items() if key in figures}
