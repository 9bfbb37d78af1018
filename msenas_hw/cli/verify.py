"""`msenas verify`"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import typer

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

DISAGREE = 4
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
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Prove that targets compute the same spikes; exit code 4 where they do not."""
    import targets
    from msenas_hw.cli.inputs import read_inputs

    if len(set(target)) < 2:
        raise targets.ConfigError(
            f"--target: found {', '.join(target)}, allowed at least 2 different targets"
        )
    _check_comparable(target)
    graph = read_model(model, profile)
    given = read_inputs(model, graph, data, encoding, steps, split, samples)
    found = targets.verify(graph, given.x, target, labels=given.labels)
    report = found.as_json()
    summary = {"agree": report["agree"], **(report["quantisation"] or {})}
    emit(form, report, [{key: pair[key] for key in COLUMNS} for pair in report["pairs"]], [summary])
    for arithmetic, reason in report["skipped"].items():
        say(f"{arithmetic} is not compared: {reason}")
    if not report["agree"]:
        say("error: the targets disagree")
        raise typer.Exit(DISAGREE)


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
