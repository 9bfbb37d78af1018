"""`msenas verify`"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.lowering import CALIBRATION_SAMPLES, Calibrate, Lowering, WeightBits, before_training
from msenas_hw.cli.options import (
    Data,
    Encoding,
    Format,
    Model,
    Output,
    Profile,
    Samples,
    Split,
    Steps,
    read_model,
)
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from msenas_hw.cli.inputs import Given
    from targets.graph.graph import SpikingGraph
    from targets.loihi.program import Program

DISAGREE = 4
ACCURACIES = ("accuracy_float", "accuracy_fixed")
COLUMNS = ("a", "b", "arithmetic", "compared", "differing", "states_differing", "first")


def verify(
    model: Model,
    target: Annotated[
        list[str], typer.Option("--target", help="A target, stands at least twice.", show_default=False)
    ],
    data: Data = None,
    encoding: Encoding = None,
    steps: Steps = None,
    split: Split = "test",
    samples: Samples = 20,
    weight_bits: WeightBits = None,
    calibrate: Calibrate = False,
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Prove that targets compute the same spikes; exit code 4 where they do not.

    MODEL may be a program that `msenas compile --target loihi` wrote: fixed point then runs it as it is.
    Beside the accuracies in float and in fixed point stand those of the network that MODEL was trained from.
    """
    import targets
    from msenas_hw.cli.inputs import read_inputs
    from msenas_hw.search.folder import run_of
    from targets.files import replacing

    asked = Lowering.of(weight_bits, calibrate)
    if len(set(target)) < 2:
        raise targets.ConfigError(
            f"--target: found {', '.join(target)}, allowed at least 2 different targets"
        )
    _check_comparable(target)
    graph, program = _network(model, profile, asked)

    def read(part: str, count: int) -> Given:
        return read_inputs(model, graph, data, encoding, steps, part, count)

    given = read(split, samples)
    training = read("train", CALIBRATION_SAMPLES) if asked.calibrate else None
    calibrated = None if program is not None else asked.calibrate  # a program does not say it
    if asked.given:
        program = asked.program(graph, training)
    found = targets.verify(graph, given.x, target, labels=given.labels, program=program)
    report = found.as_json()
    if report["quantisation"] is not None:
        before = before_training(model, graph, given, asked, training)
        report["quantisation"] |= {"calibrated": calibrated, "before_training": before}
    emit(form, report, [{key: pair[key] for key in COLUMNS} for pair in report["pairs"]], *_summary(report))
    if run_of(model) is not None and model.name == "model.nir":
        with replacing(model.with_name("verify.json")) as temporary:  # the run's report shows it
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for arithmetic, reason in report["skipped"].items():
        say(f"{arithmetic} is not compared: {reason}")
    if not report["agree"]:
        say("error: the targets disagree")
        raise typer.Exit(DISAGREE)


def _network(model: Path, profile: list[str] | None, asked: Lowering) -> tuple[SpikingGraph, Program | None]:
    """The network of a file, and the program where the file is one."""
    import targets

    if model.suffix != ".npz":
        return read_model(model, profile), None
    if asked.given or profile:
        raise targets.ConfigError(
            f"{model}: is lowered already; leave --weight-bits, --calibrate and --profile out, or give the "
            "NIR file"
        )
    program = targets.load_program(model)
    return program.graph, program


def _summary(report: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """Tables of what agrees and of what quantisation changed."""
    changed = report["quantisation"]
    if changed is None:
        return [[{"agree": report["agree"]}]]
    rows = [{"network": "this one", **{key: changed[key] for key in ACCURACIES}}]
    before = changed["before_training"]
    if before is not None:
        rows.insert(0, {"network": "before training", **{key: before[key] for key in ACCURACIES}})
    first = {"agree": report["agree"], "spikes_changed": changed["spikes_changed"]}
    return [[{**first, "calibrated": changed["calibrated"]}], rows]


def _check_comparable(names: list[str]) -> None:
    """ConfigError unless two of the targets share an arithmetic."""
    import targets

    held = {name: targets.find(name).arithmetics for name in names}
    if not any(set(held[a]) & set(held[b]) for a, b in combinations(held, 2)):
        found = "; ".join(f"{name} has {', '.join(own)}" for name, own in held.items())
        raise targets.ConfigError(
            f"--target: no two of them share an arithmetic, so none can be compared ({found}); "
            "allowed such as reference with onnx, onnx with loihi"
        )
