"""Options and arguments that several verbs share. Heavy packages are imported where they are used."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from targets.graph.graph import SpikingGraph


class Format(StrEnum):
    """How data are written to stdout."""

    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--format", help="Form of the data on stdout.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False)]
Model = Annotated[Path, typer.Argument(metavar="MODEL.nir", help="Network in NIR.", show_default=False)]
Profile = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME|KEY=VALUE",
        help="What the file leaves open, such as dt=1e-4, or its writer, such as sinabs.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|FILE.npz",
        help="Input; by default that of the model's run.",
        show_default=False,
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="PART", help="Part of the data: train, validation or test.")
]
Samples = Annotated[int, typer.Option("--samples", min=1, help="Samples to run.")]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps", min=1, help="Time steps, with --data; by default those of the run.", show_default=False
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        help="rate, latency, graded or events; by default that of the run, else rate.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Evaluating processes, by default search.workers, with --ray one a CPU; "
        "the result does not depend on it.",
        show_default=False,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help='Evaluate on a Ray cluster: HOST:PORT, "auto" for the running one, "local" to start one here.',
        show_default=False,
    ),
]


def read_model(path: Path, profile: list[str] | None) -> SpikingGraph:
    """The graph of a NIR file, with the `--profile` values on top.

    Raises:
        ConfigError: an unknown profile or value.
        GraphError: the file is missing or no valid network.
    """
    import targets

    values: dict[str, str] = {}
    for item in profile or []:
        key, separator, value = item.partition("=")
        values[key.strip() if separator else "writer"] = value.strip() if separator else item.strip()
    if not path.is_file():
        raise targets.GraphError(f"{path}: no such file; give the path of a NIR file")
    return targets.load(path, values or None)
