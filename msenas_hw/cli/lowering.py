"""Lowering as `compile` and `verify` ask for it: bits, calibration, and what training changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from msenas_hw.cli.inputs import Given
    from targets.graph.graph import SpikingGraph
    from targets.loihi.program import Program

# Samples of the training part that formats are chosen on; its spikes are thinned further.
CALIBRATION_SAMPLES = 64

WeightBits = Annotated[
    str | None,
    typer.Option(
        "--weight-bits",
        metavar="1-8|auto",
        help="Bits of every weight on a Loihi core; auto chooses for each hop what loses least on training "
        "samples. By default what the network names, else 8.",
        show_default=False,
    ),
]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Choose scales and exponents by least error on training samples."),
]


@dataclass(frozen=True)
class Lowering:
    """What was asked for.

    Attributes:
        weight_bits: 1 to 8, "auto", or None for what the network names itself.
        calibrate: choose scales and exponents on data.
    """

    weight_bits: int | str | None = None
    calibrate: bool = False

    @classmethod
    def of(cls, weight_bits: str | None, calibrate: bool) -> Lowering:
        """The options of the command line; ConfigError where the bits are none."""
        if weight_bits is None:
            return cls(None, calibrate)
        if weight_bits == "auto":
            return cls("auto", True)
        from targets.errors import ConfigError

        if weight_bits not in {str(bits) for bits in range(1, 9)}:
            raise ConfigError(f"--weight-bits: found {weight_bits!r}, allowed 1 to 8 or auto")
        return cls(int(weight_bits), calibrate)

    @property
    def given(self) -> bool:
        """Anything was asked for."""
        return self != Lowering()

    def program(self, graph: SpikingGraph, training: Given | None) -> Program:
        """`graph` lowered; `training` holds the samples to calibrate on."""
        import targets

        options: dict[str, Any] = {"weight_bits": self.weight_bits}
        if self.calibrate:
            assert training is not None
            options["calibration"] = training.x
        program: Program = targets.compile(graph, "loihi", **options).program  # type: ignore[attr-defined]
        return program


def before_training(
    model: Path, graph: SpikingGraph, given: Given, lowering: Lowering, training: Given | None
) -> Mapping[str, Any] | None:
    """Accuracies of the network that `msenas train` made `model` of, stored in the same widths.

    None where train.json beside the model names no such network, or it is gone.
    """
    import targets
    from targets.graph.widths import weight_bits_of, with_weight_bits

    source = _source(model)
    if source is None:
        return None
    before = targets.load(source, graph.profile)
    if before.populations != graph.populations:
        return None
    before = with_weight_bits(before, weight_bits_of(graph))
    program = lowering.program(before, training)
    right = [
        float((targets.compile(before, name, **options).run(given.x).classes() == given.labels).mean())
        for name, options in (("reference", {}), ("loihi", {"program": program}))
    ]
    return {"model": str(source), "accuracy_float": right[0], "accuracy_fixed": right[1]}


def _source(model: Path) -> Path | None:
    """The network that train.json beside `model` says it was made of."""
    try:
        table = json.loads((model.parent / "train.json").read_text(encoding="utf-8"))
        source, made = Path(table["source"]), Path(table["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return source if made.name == model.name and source.is_file() else None
