"""`msenas data list`, `msenas data show` and `msenas data fetch`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Format, Output
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from msenas_hw.data import Dataset
    from msenas_hw.data.source import Source

Name = Annotated[str, typer.Argument(metavar="NAME", help="A set, see msenas data list.", show_default=False)]
Folder = Annotated[
    str | None,
    typer.Option("--folder", help="Folder of the files; by default they are searched.", show_default=False),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--picture", metavar="FILE", help="Write samples as a picture, .png or .svg.", show_default=False
    ),
]
Steps = Annotated[int, typer.Option("--steps", min=1, help="Time steps of events, for the picture.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

data = typer.Typer(no_args_is_help=True, help="List, show and fetch data sets.")


@data.command("list")
def list_sets(form: Output = Format.TABLE) -> None:
    """List the data sets, and which of them are here."""
    from msenas_hw.data import SETS

    rows = [_row(source) for source in SETS.values()]
    emit(
        form, rows, [{key: row[key] for key in ("name", "kind", "here", "title", "licence")} for row in rows]
    )


@data.command("show")
def show_set(
    name: Name,
    form: Output = Format.TABLE,
    folder: Folder = None,
    picture: Picture = None,
    steps: Steps = 10,
) -> None:
    """Show a data set: samples and classes of each part, licence, a picture."""
    from targets.errors import DataError

    source = _source(name)
    facts = _row(source)
    try:
        found = _loaded(source, folder)
    except DataError as error:
        emit(form, {**facts, "here": False, "files": [file.name for file in source.files]})
        raise DataError(f"{error}") from None
    facts |= _counted(found, source)
    emit(
        form,
        facts,
        [{"": key, "value": value} for key, value in facts.items() if key != "parts"],
        _parts(facts),
    )
    _drawn(found, source, form, picture, steps)


@data.command("fetch")
def fetch_set(name: Name, yes: Yes = False, form: Output = Format.TABLE) -> None:
    """Download a data set into the cache, once asked; continue, verify and count it."""
    from msenas_hw.data.fetch import announced, fetched, folder_of, missing
    from targets.errors import DataError

    source = _source(name)
    if source.files and not source.fetchable:
        raise DataError(
            f"data {name!r}: cannot be fetched for you; {source.how()} (licence: {source.licence})"
        )
    wanted = missing(source)
    sizes = {file.name: announced(file) for file in wanted}
    if wanted:
        _consent(source, sizes, yes)
    for file in wanted:
        fetched(file, folder_of(source), _meter(file.name))
        say(f"{file.name}: verified")
    if not source.files:
        say(f"{name}: nothing to download")
    found = _loaded(source, str(folder_of(source)) if source.files else None)
    facts = {"name": name, "folder": str(folder_of(source)), "fetched": sizes, **_counted(found, source)}
    emit(form, facts, _parts(facts))


def _source(name: str) -> Source:
    from msenas_hw.data import SETS
    from targets.errors import ConfigError

    if name not in SETS:
        raise ConfigError(f"data {name!r}: no such set, allowed {', '.join(SETS)}")
    return SETS[name]


def _loaded(source: Source, folder: str | None) -> Dataset:
    """The release's parts, with no validation part cut from them."""
    from msenas_hw.data import load

    return load(source.name, validation=0, folder=folder)


def _row(source: Source) -> dict[str, Any]:
    """What the table says of a set, and whether its files are found."""
    from msenas_hw.data.loading import is_here

    return {
        "name": source.name,
        "kind": source.kind,
        "here": is_here(source),
        "title": source.title,
        "samples": [dict(counts) for counts in source.counts],
        "shape": list(source.shape),
        "classes": list(source.classes),
        "licence": source.licence,
        "page": source.page,
        "cite": source.cite,
        "test": source.test,
        "get": source.how() if source.files else None,
    }


def _counted(found: Dataset, source: Source) -> dict[str, Any]:
    """Samples of each part and class, once read."""
    import numpy as np

    from msenas_hw.data import PARTS

    labels = {part: y for part in PARTS if len(y := found.part(part)[1])}
    parts = {part: np.bincount(y, minlength=len(source.classes)).tolist() for part, y in labels.items()}
    return {"here": True, "place": found.facts["place"], "split": found.facts["split"], "parts": parts}


def _parts(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"part": part, "samples": sum(counts), "fewest of a class": min(counts), "most": max(counts)}
        for part, counts in facts["parts"].items()
    ]


def _drawn(found: Dataset, source: Source, form: Format, picture: Path | None, steps: int) -> None:
    from msenas_hw.data import draw

    if picture is not None:
        draw.write(draw.sheet(found, source.classes, steps), picture)
        say(f"{picture}: written")
    elif form is Format.TABLE:
        say(draw.text(found, source.classes, steps))


def _consent(source: Source, sizes: dict[str, int | None], yes: bool) -> None:
    """Say what would be fetched, and ask."""
    from targets.errors import ConfigError

    for file in source.files:
        if file.name in sizes:
            size = sizes[file.name]
            say(f"{file.url}  {f'{size / 1e6:.2f} MB' if size is not None else 'size unknown'}")
    say(f"licence: {source.licence} ({source.page})")
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"data fetch {source.name}: nobody to ask; add --yes to agree")
    if not typer.confirm("Fetch?", err=True):
        raise typer.Exit(1)


def _meter(name: str) -> Any:
    """A line for each tenth of a file."""
    said = -1

    def told(at: int, whole: int | None) -> None:
        nonlocal said
        tenth = at * 10 // whole if whole else at // 10_000_000
        if tenth > said:
            said = tenth
            say(f"{name}: {at / 1e6:.1f} MB" + (f" of {whole / 1e6:.1f}" if whole else ""))

    return told
