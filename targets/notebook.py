"""Objects as tables in Jupyter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# Rows that a cell of a notebook shows.
_ROWS = 30


def table(rows: Sequence[Mapping[str, Any]], caption: str = "", notes: Sequence[str] = ()) -> str:
    """`rows` as an HTML table whose columns are the keys of the first row; every text is escaped.

    Args:
        caption: a sentence above the table.
        notes: sentences below it.
    """
    head = f"<caption>{escape(caption)}</caption>" if caption else ""
    columns = list(rows[0]) if rows else []
    head += f"<thead><tr>{''.join(f'<th>{escape(str(name))}</th>' for name in columns)}</tr></thead>"
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_text(row.get(name)))}</td>' for name in columns)}</tr>"
        for row in rows[:_ROWS]
    )
    left = [f"and {len(rows) - _ROWS} more"] if len(rows) > _ROWS else []
    below = "".join(f"<p>{escape(note)}</p>" for note in (*left, *notes))
    return f"<table>{head}<tbody>{body}</tbody></table>{below}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(value)
