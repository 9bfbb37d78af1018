"""`msenas cost`"""

from __future__ import annotations

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


def cost(
    model: Model,
    device: Annotated[
        list[str], typer.Option("--device", help="Cost model, may stand several times.", show_default=False)
    ],
    data: Data = None,
    encoding: Encoding = None,
    steps: Steps = None,
    split: Split = "test",
    samples: Samples = 20,
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Estimate energy and latency of a sample, from the spikes of real input."""
    from msenas_hw.cli.inputs import read_inputs
    from msenas_hw.search.remeasure import cost as measure

    graph = read_model(model, profile)
    given = read_inputs(model, graph, data, encoding, steps, split, samples)
    found = [measure(graph, given.x, name) for name in device]
    keys = ("device", "energy_j", "latency_s", "spikes", "synops")
    terms = [
        {"device": one["device"], "term": term, "energy_j": value}
        for one in found
        for term, value in one["terms"].items()
    ]
    emit(form, found, [{key: one[key] for key in keys} for one in found], terms)
    for one in found:
        for left_out in one["omitted"]:
            say(f"{one['device']} leaves out: {left_out}")
