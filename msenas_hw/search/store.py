"""`study.sqlite`: every evaluation of a run, committed one by one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msenas_hw.search.evaluation import Measured
from targets.errors import DataError, MsenasError

SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations(
    key TEXT NOT NULL, setting TEXT NOT NULL, record TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (key, setting));
CREATE TABLE IF NOT EXISTS trials(
    number INTEGER PRIMARY KEY, generation INTEGER NOT NULL, key TEXT NOT NULL, setting TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS generations(
    generation INTEGER PRIMARY KEY, trials INTEGER NOT NULL, front INTEGER NOT NULL,
    hypervolume REAL NOT NULL);
CREATE TABLE IF NOT EXISTS shorts(
    rung INTEGER NOT NULL, key TEXT NOT NULL, arch TEXT NOT NULL, genome TEXT NOT NULL,
    epochs INTEGER NOT NULL, accuracy REAL NOT NULL, within_budget INTEGER NOT NULL,
    failure TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (rung, key));
"""
VERSION = 2
BUSY_S = 30.0
# Errors whose cause lies outside the file.
_OUTSIDE = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
)  # fmt: skip


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


@dataclass(frozen=True)
class Short:
    """A short training of the second stage.

    Attributes:
        rung: 0 is the first and shortest.
        key: architecture and learning rules.
        accuracy: on the validation part, a fraction.
        failure: why it could not be trained, empty where it was.
    """

    rung: int
    key: str
    arch: str
    genome: str
    epochs: int
    accuracy: float
    within_budget: bool
    failure: str
    seconds: float

    @property
    def rank(self) -> tuple[bool, float]:
        """Larger is better."""
        return self.within_budget, self.accuracy


class Store:
    """The database of one run. Readers may look on while a search writes.

    Args:
        path: the file, or None for a database in memory.

    Every method but `close` raises the same errors as the constructor.

    Raises:
        DataError: the file is no study, damaged, or of a newer version.
        MsenasError: the file cannot be read or written just now; the disk is full, for example.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        with self._guarded():
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=BUSY_S)
            # As safe as deleting the journal after each evaluation, and several times faster.
            self._database.execute("PRAGMA journal_mode = PERSIST")
            self._check()
            (found,) = self._database.execute("PRAGMA user_version").fetchone()
            if found > VERSION:
                raise DataError(
                    f"{path}: study of version {found}, allowed up to {VERSION}; update msenas-hw"
                )
            if found < VERSION:  # a reader must not write, its run may lie on a read-only disk
                self._database.executescript(SCHEMA)
                self._database.execute(f"PRAGMA user_version = {VERSION}")

    def _check(self) -> None:
        """Find damage at once, not hours later in the one row that has it."""
        (said,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(" ".join(said.split()))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            again = self._again()
            kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte
            if kind in _OUTSIDE:
                by = _holders(self.path) if kind == sqlite3.SQLITE_BUSY and self.path else ""
                raise MsenasError(
                    f"{self.path}: {error}{by}; what is evaluated so far is kept, "
                    f"mend the cause and then {again}"
                ) from None
            raise DataError(
                f"{self.path}: not a study database, or damaged ({error}); remove it and {again}"
            ) from None
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.path}: holds a damaged record ({error}); remove the file and {self._again()}"
            ) from None

    def _again(self) -> str:
        return f"run: msenas resume {self.path.parent if self.path else 'RUN'}"

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def find(self, key: str, setting: str) -> Measured | None:
        """The stored evaluation of a candidate, if any."""
        query = "SELECT record, seconds FROM evaluations WHERE key = ? AND setting = ?"
        with self._guarded():
            row = self._database.execute(query, (key, setting)).fetchone()
            return Measured.from_json(*row) if row else None

    def add(self, key: str, setting: str, measured: Measured) -> None:
        """Store one evaluation; it is on disk when this returns."""
        row = (key, setting, measured.to_json(), measured.seconds)
        with self._guarded():
            self._database.execute("INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?)", row)

    def tell(self, setting: str, trials: Sequence[Trial], state: Generation) -> None:
        """Store the trials of a generation and its state, all or none."""
        rows = [(trial.number, trial.generation, trial.key, setting) for trial in trials]
        with self._guarded(), self._database:
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
        with self._guarded():
            return [
                Trial(number, generation, key, Measured.from_json(record, seconds))
                for number, generation, key, record, seconds in self._database.execute(query)
            ]

    def generations(self) -> list[Generation]:
        """State after each generation, in order."""
        query = "SELECT generation, trials, front, hypervolume FROM generations ORDER BY generation"
        with self._guarded():
            return [Generation(*row) for row in self._database.execute(query)]

    def shorts(self) -> list[Short]:
        """Short trainings, rung by rung, in the order in which they were done."""
        query = "SELECT * FROM shorts ORDER BY rung, rowid"
        with self._guarded():
            rows = self._database.execute(query).fetchall()
        return [
            Short(rung, key, arch, genome, epochs, accuracy, bool(within), failure, seconds)
            for rung, key, arch, genome, epochs, accuracy, within, failure, seconds in rows
        ]

    def add_short(self, short: Short) -> None:
        """Store one short training; it is on disk when this returns."""
        with self._guarded():
            row = tuple(vars(short).values())
            self._database.execute("INSERT OR REPLACE INTO shorts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def _holders(path: Path) -> str:
    """Which processes lock a file, in words; nothing where the system does not tell."""
    try:
        inode = path.stat().st_ino
        rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return ""
    # A waiting lock has an arrow as its second word, and holds nothing.
    found = {row[4] for row in rows if row[1] != "->" and row[5].rpartition(":")[2] == str(inode)}
    found.discard(str(os.getpid()))
    return f" by process {', '.join(sorted(found))}" if found else ""
