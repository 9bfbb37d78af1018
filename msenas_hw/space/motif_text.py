"""A motif drawn in text: populations in a row, synapses between neighbours on it, the others below.

An arrow ends an excitatory synapse, a bar an inhibitory one; a number on the line is its delay in steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msenas_hw.space.motifs import Motif, Synapse

# Columns from one population to the next.
_STEP = 9
_HEADS = {"excitatory": "▶", "inhibitory": "┤", "mixed": "▷"}
_TIPS = {"excitatory": "▲", "inhibitory": "┴", "mixed": "△"}


def motif_lines(motif: Motif) -> list[str]:
    """Lines of text: what enters and leaves, the row of populations, then one line a further synapse."""
    names = sorted(motif.populations, key=lambda name: (motif.levels[name], motif.populations.index(name)))
    column = {name: index * _STEP for index, name in enumerate(names)}
    inline = [synapse for pair in pairwise(names) for synapse in _between(motif, *pair)]
    roles = {name: _role(motif, name) for name in names}
    row = _overlaid([(column[name], name) for name in names])
    for synapse in inline:
        start = column[synapse.source] + len(synapse.source) + 1
        row = _overlaid([(0, row), (start, _line(synapse, motif, column[synapse.target] - 1 - start))])
    others = [synapse for synapse in motif.synapses if synapse not in inline]
    return [
        _overlaid([(column[name], role) for name, role in roles.items()]).rstrip(),
        row,
        *_below(others, motif, column),
    ]


def _role(motif: Motif, name: str) -> str:
    words = [word for word, names in (("in", motif.entries), ("out", motif.outputs)) if name in names]
    return ",".join(words)


def _between(motif: Motif, source: str, target: str) -> list[Synapse]:
    """The synapse that the row shows: the first from `source` to `target`, without delay if there is one."""
    found = [s for s in motif.synapses if (s.source, s.target) == (source, target)]
    return sorted(found, key=lambda synapse: synapse.delayed)[:1]


def _line(synapse: Synapse, motif: Motif, length: int) -> str:
    """A line of `length` with its delay in the middle and its head at the end."""
    return _labelled(synapse, motif, length - 1) + _HEADS[synapse.sign]


def _labelled(synapse: Synapse, motif: Motif, length: int) -> str:
    delay = motif.delay(synapse)
    return (str(delay) if delay else "").center(length, "─")


def _below(synapses: Sequence[Synapse], motif: Motif, column: dict[str, int]) -> list[str]:
    lines: list[str] = []
    for synapse in synapses:
        start, end = column[synapse.source], column[synapse.target]
        own = [(column[name], "│") for name in (synapse.source, synapse.target)]
        lines = [_overlaid([(at, bar) for at, bar in own if line[at : at + 1].strip() == ""] + [(0, line)])
                 for line in lines]  # fmt: skip
        if start == end:
            neighbours = "other neurons of " if synapse.neighbours_only else ""
            loop = f"└{_labelled(synapse, motif, 4)}{_HEADS[synapse.sign]} {neighbours}{synapse.target}"
            lines.append(" " * start + loop)
            continue
        left, right = sorted((start, end))
        ends = ("└", _TIPS[synapse.sign]) if start < end else (_TIPS[synapse.sign], "┘")
        middle = _labelled(synapse, motif, right - left - 1)
        lines.append(" " * left + ends[0] + middle + ends[1])
    return lines


def _overlaid(parts: Sequence[tuple[int, str]]) -> str:
    """Texts at their columns; a later one covers an earlier one, its spaces aside."""
    cells: dict[int, str] = {}
    for at, text in parts:
        cells |= {at + index: letter for index, letter in enumerate(text) if letter != " "}
    return "".join(cells.get(index, " ") for index in range(max(cells, default=-1) + 1))
