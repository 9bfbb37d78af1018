"""`msenas show`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from msenas_hw.cli.options import Format, Output, Profile, read_model
from msenas_hw.cli.output import emit

if TYPE_CHECKING:
    from msenas_hw.cli.shown import Shown


def show(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.nir|RUN|CONFIG.toml",
            help="Network in NIR, run folder, or configuration.",
            show_default=False,
        ),
    ],
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="Architecture of a run; by default the chosen.", show_default=False),
    ] = None,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Every node of the graph, also where the cells are known.")
    ] = False,
    profile: Profile = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Draw the network into this file.", show_default=False)
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Print a network as a person reads it, and draw it; or the space of networks of a configuration.

    A network of a search is shown by cells, motifs and connections, with what it cost; any other by its
    nodes, with profile and assumptions.
    """
    found = _shown(source, arch, nodes, profile, svg is not None)
    if svg is not None:
        _write(svg, found)
    _print(form, found)


def _shown(source: Path, arch: str | None, nodes: bool, profile: list[str] | None, drawn: bool) -> Shown:
    from msenas_hw.cli import shown
    from targets.errors import ConfigError

    run, space = source.is_dir(), source.suffix == ".toml"
    given = {
        "--arch": arch and not run,
        "--nodes": nodes and (run or space),
        "--profile": profile and (run or space),
        "--svg": drawn and space,
    }
    wrong = [name for name, found in given.items() if found]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)}: not for {source}; --arch is for a run, --nodes and --profile are for the "
            "file of a network, --svg is for both"
        )
    if space:
        return shown.of_config(source)
    if run:
        return shown.of_run(source, arch or "chosen")
    return shown.of_model(source, read_model(source, profile), nodes)


def _write(path: Path, found: Shown) -> None:
    from targets.files import replacing

    assert found.svg is not None
    with replacing(path) as temporary:
        temporary.write_text(found.svg(), encoding="utf-8")


def _print(form: Format, found: Shown) -> None:
    if form is Format.TABLE and found.text and sys.stdout is not None:
        sys.stdout.write(f"{found.text}\n\n")
    emit(form, found.data, *found.tables)
