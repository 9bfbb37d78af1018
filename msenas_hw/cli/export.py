"""`msenas export`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit, say

# What a network can be exported to; `msenas compile` writes programs of targets.
FORMS = ("nir",)


def export(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="Form of the file: nir.")] = "nir",
    implicit_delay: Annotated[
        str | None,
        typer.Option(
            "--implicit-delay",
            metavar="FRAMEWORK",
            help="Leave the Delay nodes of cycles out for norse, snntorch, spikingjelly or nirtorch, where "
            "its own rule for cycles gives the same spikes.",
            show_default=False,
        ),
    ] = None,
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Write a network as NIR, and say which frameworks refuse it or lose what."""
    import targets
    from targets.graph.implicit import without_delays
    from targets.graph.readers import READS, readings

    if to not in FORMS:
        raise targets.ConfigError(f"--to {to}: is not known, allowed {', '.join(FORMS)}")
    if not output.parent.is_dir():
        raise targets.ConfigError(f"--output {output}: folder {output.parent} does not exist; make it first")
    graph = read_model(model, profile)
    written = graph if implicit_delay is None else without_delays(graph, implicit_delay)
    targets.save(written, output)
    found = readings(written)
    for reading in found:
        if reading.verdict != READS:
            say(f"warning: {reading.framework} {reading.version} {reading.verdict}: {'; '.join(reading.why)}")
    head = {
        "model": str(model),
        "output": str(output),
        "bytes": output.stat().st_size,
        "implicit_delay": implicit_delay,
        "left_out": [name for name in graph.nodes if name not in written.nodes],
    }
    readers = [asdict(reading) for reading in found]
    table = [{key: row[key] for key in ("framework", "version", "verdict")} for row in readers]
    emit(form, {**head, "readers": readers}, [head], table)
