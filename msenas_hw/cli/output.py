"""Data go to stdout, talk goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from msenas_hw.cli.options import Format

WIDE = 200


def say(text: str) -> None:
    """Talk to the user."""
    if sys.stderr is not None:  # closed; print would then talk to stdout
        print(text, file=sys.stderr, flush=True)


def emit(form: Format, data: Any, *tables: Sequence[Mapping[str, Any]]) -> None:
    """Write data: as JSON whole, or as tables.

    Args:
        form: table or JSON.
        data: what JSON shows; as table where `tables` is empty, a list row by row, a mapping key by key.
        tables: what to show in place of `data` as tables.
    """
    if sys.stdout is None:
        raise OSError("stdout is closed; nowhere to write the data to")
    if form is Format.JSON:
        json.dump(data, sys.stdout, indent=2, default=_plain)
        sys.stdout.write("\n")
        return
    for rows in tables or (_rows(data),):
        _table(rows)


def _rows(data: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(data, Mapping):
        return [{"": key, "value": value} for key, value in data.items()]
    return list(data)


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    # A line that the terminal wraps is easier to read than columns folded within their cells.
    console = Console(file=sys.stdout, width=WIDE)
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        numeric = all(isinstance(row.get(name), int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text(row.get(name))) for name in rows[0]))
    console.print(table)


def text(value: Any) -> str:
    """A value as a person reads it: 4 digits, no `None`."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value)
    return str(value)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy, and paths, as JSON knows them."""
    for convert in ("tolist", "as_json"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return str(value)
