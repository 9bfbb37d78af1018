"""How far a search is: a live table on a terminal, a line a generation elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from msenas_hw.cli.output import say

if TYPE_CHECKING:
    from rich.table import Table

    from msenas_hw.search import Progress, Report, Short


INTERRUPTED = 130
# Words and unit of the best value of an objective.
_BEST = {
    "fitness": ("best fitness", ""),
    "energy_j": ("least energy", "J"),
    "latency_s": ("least latency", "s"),
}


@contextmanager
def shown(run: Path) -> Iterator[Report]:
    """A reporter for a search into the folder `run`, for as long as the block lasts."""
    try:
        with _reporter() as report:
            yield report
    except KeyboardInterrupt:
        begun = (run / "run.toml").exists()
        say(f"interrupted; continue with: msenas resume {run}" if begun else "interrupted before it began")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _reporter() -> Iterator[Report]:
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        yield lambda progress: live.update(_table(progress), refresh=True)


def short(found: Short, total: int) -> None:
    """Say how a short training of the second stage went."""
    outcome = found.failure or f"validation {found.accuracy:.4f}"
    over = "" if found.within_budget or found.failure else ", over budget"
    trained = f"rung {found.rung + 1}, {found.epochs} epochs, {found.key}"
    say(f"second stage, {total} trainings: {trained}: {outcome}{over}")


def figures(progress: Progress) -> dict[str, str]:
    """The state of a search in words."""
    best = {
        _BEST.get(name, (f"least {name}", ""))[0]: f"{value:.4g} {_BEST.get(name, ('', ''))[1]}".rstrip()
        for name, value in progress.best.items()
    }
    return {
        **({"baseline": progress.baseline} if progress.baseline else {}),
        "generation": f"{progress.generation}/{progress.generations}",
        "evaluated": f"{progress.evaluated}/{progress.total}",
        "cached": str(progress.cached),
        "failed": str(progress.failed),
        "front": str(progress.front),
        "hypervolume": f"{progress.hypervolume:.4g}",
        **best,
        "left": duration(progress.seconds_left),
    }


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )


def _line(progress: Progress) -> None:
    if progress.finished:
        say(", ".join(f"{name} {value}" for name, value in figures(progress).items()))


def _table(progress: Progress) -> Table:
    from rich.table import Table

    found = figures(progress)
    table = Table(*found, box=None)
    table.add_row(*found.values())
    return table
