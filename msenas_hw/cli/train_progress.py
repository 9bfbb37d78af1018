"""How far a training is: a bar on a terminal, a line an epoch elsewhere, and metrics.jsonl always."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from msenas_hw.cli.output import say
from msenas_hw.cli.progress import INTERRUPTED
from targets.files import replacing

if TYPE_CHECKING:
    from rich.progress import Progress

    from msenas_hw.training import Epoch


class Follower:
    """Told of every batch and epoch of every seed.

    Args:
        metrics: file of one line an epoch, written anew after each, so that it never holds an epoch twice.
        epochs: of a seed.
        bar: where there is a terminal.
    """

    def __init__(self, metrics: Path, seeds: Sequence[int], epochs: int, bar: Progress | None) -> None:
        self.metrics, self.seeds, self.epochs, self.bar = metrics, list(seeds), epochs, bar
        self.rows: list[dict[str, Any]] = []
        self.tasks = (
            {} if bar is None else {seed: bar.add_task(f"seed {seed}", start=False) for seed in seeds}
        )

    def resumed(self, seed: int, epochs: Sequence[Epoch]) -> None:
        """A checkpoint brought these epochs back."""
        self._add(seed, epochs)
        say(f"seed {seed}: continues after epoch {len(epochs)}/{self.epochs}")

    def batch(self, seed: int, done: int, total: int) -> None:
        """`done` of at most `total` batches of a seed are through."""
        if self.bar is not None:
            self.bar.start_task(self.tasks[seed])
            self.bar.update(self.tasks[seed], completed=done, total=total)

    def epoch(self, seed: int, epoch: Epoch) -> None:
        """An epoch of a seed is over."""
        self._add(seed, [epoch])
        head = f"seed {seed} epoch {epoch.number + 1}/{self.epochs}"
        accuracy = f"validation {epoch.validation_accuracy:.4f}"
        if self.bar is None:
            say(f"{head}: loss {epoch.loss:.4f}, {accuracy}, spikes {epoch.spikes:.0f}")
        else:
            self.bar.update(self.tasks[seed], description=f"{head}: {accuracy}")

    def _add(self, seed: int, epochs: Sequence[Epoch]) -> None:
        for epoch in epochs:
            values = asdict(epoch)
            self.rows.append({"seed": seed, "epoch": values.pop("number"), **values})
        with replacing(self.metrics) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows), encoding="utf-8")


@contextmanager
def following(metrics: Path, seeds: Sequence[int], epochs: int) -> Iterator[Follower]:
    """A follower of a training, for as long as the block lasts."""
    try:
        with _bar() as bar:
            yield Follower(metrics, seeds, epochs, bar)
    except KeyboardInterrupt:
        say("interrupted; the same command continues after the last whole epoch")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _bar() -> Iterator[Progress | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield bar
