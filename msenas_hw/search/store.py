"""`study.sqlite`: every evaluation of a run, committed one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msenas_hw.search.evaluation import Measured
from targets.errors import DataError

SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations(
    key TEXT NOT NULL, setting TEXT NOT NULL, record TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (key, setting));
CREATE TABLE IF NOT EXISTS trials(
    number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, key TEXT NOT NULL, setting TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS generations(
    generation INTEGER PRIMARY KEY, trials INTEGER NOT NULL, front INTEGER NOT NULL,
    hypervolume REAL NOT NULL);
"""
VERSION = 1


@dataclass(frozen=True)
class Trial:
    """One candidate in the order in which the search asked for it."""

    number: int
    generation: int
    key: str
    measured: Measured


@dataclass(frozen=True)
class Generation:
    """State of a search after a generation: trials so far, size and hypervolume of the front so far."""

    generation: int
    trials: int
    front: int
    hypervolume: float


class Store:
    """The database of one run. Readers may look on while a search writes.

    Args:
        path: the file, or None for a database in memory.

    Raises:
        DataError: the file is no study, or of a newer version.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30.0)
        try:
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
            if found > VERSION:
                raise DataError(
                    f"{path}: study of version {found}, allowed up to {VERSION}; update msenas-hw"
                )
            self._database.executescript(SCHEMA)
            self._database.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: not a study database ({error})") from None

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def find(self, key: str, setting: str) -> Measured | None:
        """The stored evaluation of a candidate, if any."""
        query = "SELECT record, seconds FROM evaluations WHERE key = ? AND setting = ?"
        row = self._database.execute(query, (key, setting)).fetchone()
        return Measured.from_json(*row) if row else None

    def add(self, key: str, setting: str, measured: Measured) -> None:
        """Store one evaluation; it is on disk when this returns."""
        row = (key, setting, measured.to_json(), measured.seconds)
        self._database.execute("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?)", row)

    def tell(self, setting: str, trials: Sequence[Trial], state: Generation) -> None:
        """Store the trials of a generation and its state, all or none."""
        rows = [(trial.number, trial.generation, trial.key, setting) for trial in trials]
        with self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?)", rows)
            row = (state.generation, state.trials, state.front, state.hypervolume)
            self._database.execute("INSERT OR REPLACE INTO generations VALUES (?, ?, ?, ?)", row)

    def trials(self) -> list[Trial]:
        """All trials in order."""
        query = (
            "SELECT number, generation, trials.key, record, seconds FROM trials "
            "JOIN evaluations USING (key, setting) ORDER BY number"
        )
        return [
            Trial(number, generation, key, Measured.from_json(record, seconds))
            for number, generation, key, record, seconds in self._database.execute(query)
        ]

    def generations(self) -> list[Generation]:
        """State after each generation, in order."""
        query = "SELECT generation, trials, front, hypervolume FROM generations ORDER BY generation"
        return [Generation(*row) for row in self._database.execute(query)]
