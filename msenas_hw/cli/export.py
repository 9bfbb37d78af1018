"""`msenas export`: a network as NIR, or a run as an Optuna storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Format, Output, Profile, read_model
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from targets.graph.graph import SpikingGraph


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.nir|RUN", help="Network in NIR; or run folder, for optuna.", show_default=False
        ),
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="File to write.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The same as FILE.", show_default=False)
    ] = None,
    to: Annotated[
        str,
        typer.Option("--to", help="nir: a network for other frameworks; optuna: a run for optuna-dashboard."),
    ] = "nir",
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
    """Write a network as NIR and say which frameworks refuse it or lose what; or a run as an Optuna storage.

    A trained network of a run folder takes its model card along, as metadata.
    """
    import targets

    if to not in FORMS:
        raise targets.ConfigError(f"--to {to}: is not known, allowed {', '.join(FORMS)}")
    FORMS[to](source, _place(file, output), form, {"implicit_delay": implicit_delay, "profile": profile})


def _place(file: Path | None, output: Path | None) -> Path:
    import targets

    if (file is None) == (output is None):
        found = "neither" if file is None else "both"
        raise targets.ConfigError(f"FILE and --output: found {found}, allowed one of them, the file to write")
    place = file or output or Path()
    if not place.parent.is_dir():
        raise targets.ConfigError(f"--output {place}: folder {place.parent} does not exist; make it first")
    return place


def _nir(source: Path, place: Path, form: Format, options: Mapping[str, Any]) -> None:
    import targets
    from targets.graph.implicit import without_delays
    from targets.graph.readers import READS, readings

    graph = read_model(source, options["profile"])
    framework = options["implicit_delay"]
    written = _with_card(graph if framework is None else without_delays(graph, framework), source)
    targets.save(written, place)
    found = readings(written)
    for reading in found:
        if reading.verdict != READS:
            say(f"warning: {reading.framework} {reading.version} {reading.verdict}: {'; '.join(reading.why)}")
    head = {
        "model": str(source),
        "output": str(place),
        "bytes": place.stat().st_size,
        "implicit_delay": framework,
        "left_out": [name for name in graph.nodes if name not in written.nodes],
    }
    readers = [asdict(reading) for reading in found]
    table = [{key: row[key] for key in ("framework", "version", "verdict")} for row in readers]
    emit(form, {**head, "readers": readers}, [head], table)


def _with_card(graph: SpikingGraph, source: Path) -> SpikingGraph:
    """`graph` with its model card, where `source` is a trained network of a run folder."""
    from msenas_hw.report.card import card, metadata
    from msenas_hw.search import run_of

    folder = run_of(source)
    if folder is None or source.name != "model.nir" or not source.with_name("train.json").is_file():
        return graph
    found = card(source.resolve().parents[2], source.resolve().parent.name)
    return replace(graph, metadata={**graph.metadata, **metadata(found)})


def _optuna(source: Path, place: Path, form: Format, options: Mapping[str, Any]) -> None:
    from msenas_hw.report.optuna_storage import write_storage
    from msenas_hw.search import Study
    from targets.errors import ConfigError

    if any(options.values()):
        raise ConfigError("--implicit-delay, --profile: are for --to nir")

    name = source.resolve().name
    trials = write_storage(Study.open(source), name, place)
    emit(form, {"run": str(source), "output": str(place), "study": name, "trials": trials})
    say(f"open it with: optuna-dashboard sqlite:///{place}")


FORMS: Mapping[str, Callable[[Path, Path, Format, Mapping[str, Any]], None]] = {
    "nir": _nir,
    "optuna": _optuna,
}
