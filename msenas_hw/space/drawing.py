"""A genome as an SVG picture: cells as boxes with their motif inside, connections between them.

Excitatory synapses end in a triangle, inhibitory ones in a bar, those of mixed sign in an open arrow, so that
the picture reads without its colours. Text and boxes take the colour of the text around the picture
(`currentColor`); a page may set `--excitatory` and `--inhibitory`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from msenas_hw.space.config import Task
from msenas_hw.space.genome import Genome
from msenas_hw.space.geometry import Box, Point, along, bent, loop, straight
from msenas_hw.space.motifs import MOTIFS, Motif
from msenas_hw.space.portrait import model_words, portrait

_RADIUS, _COLUMN, _ROW, _HEAD, _PAD = 15.0, 104.0, 66.0, 92.0, 12.0
_GAP, _LANE, _TRACK, _MARGIN, _PORT = 72.0, 20.0, 7.0, 12.0, 74.0
_LEGEND = 520.0
_STYLE = (
    ".network{font:12px system-ui,sans-serif;color:inherit}"
    ".network text{fill:currentColor;text-anchor:middle}.network .small{font-size:10px}"
    ".network .box{fill:currentColor;fill-opacity:.05;stroke:currentColor;stroke-opacity:.45}"
    ".network .cell{fill:none;stroke:currentColor;stroke-width:1.2}"
    ".network .line{fill:none;stroke-width:1.6}.network .back{stroke-dasharray:5 4}"
    ".network .excitatory{stroke:var(--excitatory,#3b82d6)}"
    ".network .inhibitory{stroke:var(--inhibitory,#e0533d)}"
    ".network .mixed{stroke:currentColor;stroke-opacity:.75}"
    ".network .tip.excitatory{fill:var(--excitatory,#3b82d6)}.network .tip.inhibitory{stroke-width:3}"
    ".network .tip.mixed{fill:none}"
)


@dataclass(frozen=True)
class _Line:
    """A path with an end: `d` leads to `tip`, seen from `before`; `label` stands at `middle`."""

    d: str
    before: Point
    tip: Point
    middle: Point
    sign: str
    label: str = ""
    dashed: bool = False


@dataclass(frozen=True)
class _Place:
    """A box, and the left and right border of the column that it stands in."""

    box: Box
    left: float
    right: float


def draw(genome: Genome, task: Task) -> str:
    """The network of a genome as SVG text, without a background."""
    shown = portrait(genome, task)
    places = _placed(shown)
    boxes = [place.box for place in places.values()]
    bottom = max(box.y + box.height for box in boxes)
    lines = list(_links(shown["connections"], places, bottom))
    back = sum(link["kind"] == "feedback" for link in shown["connections"])
    foot = bottom + _LANE * (back + 1) + 12
    parts = [
        *map(_svg_line, lines),
        *(_port(name, places[name].box, shown) for name in ("input", "readout")),
        *(_cell(cell, places[cell["cell"]].box) for cell in shown["cells"]),
        _legend(foot),
    ]
    width, height = max(box.x + box.width for box in boxes) + _MARGIN, foot + 14
    size = f"{max(width, _LEGEND):g}", f"{height:g}"
    title = f"network {shown['arch']}: {len(shown['cells'])} cells, T = {shown['steps']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="network" role="img" width="{size[0]}" '
        f'height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _placed(shown: Mapping[str, Any]) -> dict[str, _Place]:
    """Boxes from left to right by level, cells of one level below each other."""
    columns: dict[int, list[Mapping[str, Any]]] = {}
    for cell in shown["cells"]:
        columns.setdefault(cell["level"], []).append(cell)
    top = _MARGIN + _LANE * (1 + sum(link["skips"] > 0 for link in shown["connections"]))
    found, x = {"input": _port_place(_MARGIN, top)}, _MARGIN + _PORT + _GAP
    for level in sorted(columns):
        sizes = [_size(MOTIFS[cell["motif"]]) for cell in columns[level]]
        widest, y = max(width for width, _ in sizes), top
        for cell, (width, height) in zip(columns[level], sizes, strict=True):
            found[cell["cell"]] = _Place(Box(x, y, width, height), x, x + widest)
            y += height + 28
        x += widest + _GAP
    return {**found, "readout": _port_place(x, top)}


def _port_place(x: float, top: float) -> _Place:
    return _Place(Box(x, top + _HEAD - 22, _PORT, 44), x, x + _PORT)


def _size(motif: Motif) -> tuple[float, float]:
    """Width and height of a cell."""
    columns, rows = _extent(motif)
    return max(_COLUMN * columns, 190) + 2 * _PAD, _HEAD + _ROW * (rows - 1) + (60 if rows > 1 else 34)


def _grid(motif: Motif) -> dict[str, tuple[int, int]]:
    """Column and row of each population: by level; in the lower row what others bypass."""
    names = sorted(motif.populations, key=lambda name: (motif.levels[name], motif.populations.index(name)))
    column = {name: index for index, name in enumerate(names)}
    leaps = [(column[s.source], column[s.target]) for s in motif.synapses]
    return {name: (at, int(any(first < at < last for first, last in leaps))) for name, at in column.items()}


def _extent(motif: Motif) -> tuple[int, int]:
    columns, rows = zip(*_grid(motif).values(), strict=True)
    return max(columns) + 1, max(rows) + 1


def _cell(cell: Mapping[str, Any], box: Box) -> str:
    motif = MOTIFS[cell["motif"]]
    grid = _grid(motif)
    columns = _extent(motif)[0]
    side = (box.width - _COLUMN * columns) / 2
    at = {
        name: Point(box.x + side + _COLUMN * (column + 0.5), box.y + _HEAD + _ROW * row)
        for name, (column, row) in grid.items()
    }
    sizes = " x ".join(map(str, cell["shape"]))
    lines = [_synapse(synapse, at, cell["synapses"]) for synapse in cell["synapses"]]
    return "".join(
        [
            _frame(box),
            _text(box.middle.x, box.y + 16, f"{cell['cell']} · {sizes}"),
            _text(box.middle.x, box.y + 30, cell["motif"].replace("_", " "), small=True),
            *map(_svg_line, lines),
            *(
                _population(row, at[row["population"]], grid[row["population"]][1])
                for row in cell["populations"]
            ),
        ]
    )


def _population(row: Mapping[str, Any], at: Point, lower: int) -> str:
    """A circle, its values above it, or below it in the lower row: synapses run in between."""
    model, *times = model_words(row)
    words = [model, ", ".join(times).replace("tau_syn", "τ syn").replace("tau", "τ")]
    words += [
        f"θ {row['threshold']:g}, {row['weight_bits']} bits",
        row["rule"] if row["rule"] != "bp" else "",
    ]
    lines = [line for line in words if line]
    first = _RADIUS + 13 if lower else -_RADIUS - 6 - 11 * (len(lines) - 1)
    return "".join(
        [
            f'<circle class="cell" cx="{at.x:g}" cy="{at.y:g}" r="{_RADIUS:g}"/>',
            _text(at.x, at.y + 4, row["population"]),
            *(_text(at.x, at.y + first + 11 * i, line, small=True) for i, line in enumerate(lines)),
        ]
    )


def _synapse(
    synapse: Mapping[str, Any], at: Mapping[str, Point], others: Sequence[Mapping[str, Any]]
) -> _Line:
    """A synapse of a motif; two that join the same populations bend away from each other."""
    source, target = at[synapse["source"]], at[synapse["target"]]
    label = str(synapse["delay"]) if synapse["delay"] else ""
    returned = any((o["target"], o["source"]) == (synapse["source"], synapse["target"]) for o in others)
    if synapse["source"] == synapse["target"]:
        path = loop(source, _RADIUS)
    elif returned:
        path = bent(source, target, _RADIUS)
    else:
        path = straight(source, target, _RADIUS)
    return _Line(*path, sign=synapse["sign"], label=label, dashed=bool(label))


def _links(
    links: Sequence[Mapping[str, Any]], places: Mapping[str, _Place], bottom: float
) -> Iterator[_Line]:
    """Connections between cells: to the next column straight, others on lanes above and, back, below."""
    top = min(place.box.y for place in places.values())
    above = below = 0
    for link in links:
        source, target = places[link["source"]], places[link["target"]]
        start, end = source.box.right, target.box.left
        if link["kind"] == "feedback":
            below += 1
            lane, track, shift = bottom + _LANE * below, _TRACK * below, 12.0
        elif any(source.right < other.left < target.left for other in places.values()):
            above += 1
            lane, track, shift = top - _LANE * above, _TRACK * above, -12.0
        else:
            label = f"/ {link['stride']}" if link["stride"] > 1 else ""
            border = Point(source.right, start.y)
            path = straight(border, end, 0.0) if border == start else along([start, border, end])
            yield _Line(*path, sign="mixed", label=label)
            continue
        start, end = start + Point(0, shift), end + Point(0, shift)
        out, back = source.right + 4 + track, target.left - 12 - track
        corners = [start, Point(out, start.y), Point(out, lane), Point(back, lane), Point(back, end.y), end]
        stride = f"/ {link['stride']}" if link["stride"] > 1 else ""
        label = f"delay {link['delay']}" if link["delay"] else stride
        yield _Line(*along(corners), sign="mixed", label=label, dashed=bool(link["delay"]))


def _svg_line(line: _Line) -> str:
    dashed = " back" if line.dashed else ""
    label = _text(line.middle.x, line.middle.y - 4, line.label, small=True) if line.label else ""
    return f'<path class="line {line.sign}{dashed}" d="{line.d}"/>{_tip(line)}{label}'


def _tip(line: _Line) -> str:
    """The end of a line: what tells the signs apart without colour."""
    along = (line.tip - line.before).unit
    across = Point(-along.y, along.x)
    back = line.tip - along * 8
    left, right = back + across * 4.5, back - across * 4.5
    if line.sign == "inhibitory":
        left, right = line.tip + across * 7, line.tip - across * 7
        return f'<path class="line tip inhibitory" d="M{left} L{right}"/>'
    closed = " Z" if line.sign == "excitatory" else ""
    return f'<path class="line tip {line.sign}" d="M{left} L{line.tip} L{right}{closed}"/>'


def _port(name: str, box: Box, shown: Mapping[str, Any]) -> str:
    words = " x ".join(map(str, shown["input"])) if name == "input" else f"{shown['classes']} classes"
    more = f"T {shown['steps']}" if name == "input" else f"{shown['readout']['weight_bits']} bits"
    return (
        f"{_frame(box)}{_text(box.middle.x, box.y + 15, name)}"
        f"{_text(box.middle.x, box.y + 27, words, small=True)}"
        f"{_text(box.middle.x, box.y + 39, more, small=True)}"
    )


def _frame(box: Box) -> str:
    size = f'width="{box.width:g}" height="{box.height:g}"'
    return f'<rect class="box" x="{box.x:g}" y="{box.y:g}" {size} rx="8"/>'


def _legend(y: float) -> str:
    """Ends of lines with their names."""
    parts, x = [], _MARGIN
    for sign, words in (("excitatory", "excitatory"), ("inhibitory", "inhibitory"), ("mixed", "mixed signs")):
        line = _Line(*straight(Point(x, y), Point(x + 34, y), 0.0), sign=sign)
        parts.append(f"{_svg_line(line)}{_text(x + 78, y + 4, words, small=True)}")
        x += 128
    parts.append(_text(x + 56, y + 4, "dashed: steps of delay", small=True))
    return "".join(parts)


def _text(x: float, y: float, words: str, small: bool = False) -> str:
    size = ' class="small"' if small else ""
    return f'<text{size} x="{x:g}" y="{y:g}">{escape(words)}</text>'
