"""A graph as SVG: layers from left to right, each node with its kind and shape, feedback dashed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import nir

from targets.graph.cycles import closing_edges
from targets.graph.graph import Edge, SpikingGraph
from targets.graph.kinds import POPULATION, PORT, kind
from targets.graph.order import levels

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _LETTER = 150, 46, 60, 22, 20, 7.2
_FILL: tuple[tuple[tuple[type[nir.NIRNode], ...], str], ...] = (
    (PORT, "#e8e8e8"),
    (POPULATION, "#ffe0b0"),
    ((nir.Delay,), "#d8d0f0"),
    ((nir.NIRNode,), "#d0e4f7"),
)
_STYLE = (
    "text{font:12px sans-serif;text-anchor:middle}.small{font-size:10px;fill:#555}"
    "path{fill:none;stroke:#666;marker-end:url(#tip)}.back{stroke:#c33;stroke-dasharray:5 3}"
)


def svg(graph: SpikingGraph) -> str:
    """`graph` drawn; edges against the layers, which close cycles, are red and dashed."""
    backward = _closing(graph)
    layer = levels(list(graph.nodes), [edge for edge in graph.edges if edge not in backward])
    rows: dict[int, int] = {}
    width = max([_WIDTH, *(int(len(name) * _LETTER) + 16 for name in graph.nodes)])
    place: dict[str, tuple[float, float]] = {}
    for name in sorted(graph.nodes, key=lambda n: layer[n]):
        row = rows.get(layer[name], 0)
        rows[layer[name]] = row + 1
        place[name] = (
            _MARGIN + layer[name] * (width + _GAP_X),
            _MARGIN + _HEIGHT + row * (_HEIGHT + _GAP_Y),
        )
    size = (
        2 * _MARGIN + (max(rows) + 1) * (width + _GAP_X) - _GAP_X,
        2 * _MARGIN + 2 * _HEIGHT + max(rows.values()) * (_HEIGHT + _GAP_Y),
    )
    lines = [_edge(edge, place, width, edge in backward) for edge in graph.edges]
    boxes = [_box(graph, name, place[name], width) for name in graph.nodes]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}">'
        f"<style>{_STYLE}</style>"
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="3" orient="auto">'
        '<path d="M0,0 L7,3 L0,6" style="marker-end:none"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>\n"
    )


def _closing(graph: SpikingGraph) -> set[Edge]:
    """Edges that close a cycle: out of a Delay on it; where none is, those that would get one."""
    delayed = {
        (a, b) for a, b in graph.edges if isinstance(graph.nodes[a], nir.Delay) and {a, b} <= graph.cyclic
    }
    return delayed | set(closing_edges(graph.nodes, [edge for edge in graph.edges if edge not in delayed]))


def _box(graph: SpikingGraph, name: str, at: tuple[float, float], width: int) -> str:
    node = graph.nodes[name]
    fill = next(colour for kinds, colour in _FILL if isinstance(node, kinds))
    x, y = at
    middle = x + width / 2
    shape = " x ".join(map(str, graph.shapes[name]))
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{_HEIGHT}" rx="6" fill="{fill}" stroke="#888"/>'
        f'<text x="{middle}" y="{y + 19}">{escape(name)}</text>'
        f'<text class="small" x="{middle}" y="{y + 36}">{kind(node)} &#183; {shape}</text>'
    )


def _edge(edge: Edge, place: Mapping[str, tuple[float, float]], width: int, back: bool) -> str:
    (x1, y1), (x2, y2) = place[edge[0]], place[edge[1]]
    start, end = (x1 + width, y1 + _HEIGHT / 2), (x2, y2 + _HEIGHT / 2)
    if back:
        return f'<path class="back" d="{_arc(place[edge[0]], place[edge[1]], width)}"/>'
    bend = (start[0] + end[0]) / 2
    return f'<path d="M{start[0]},{start[1]} C{bend},{start[1]} {bend},{end[1]} {end[0]},{end[1]}"/>'


def _arc(source: tuple[float, float], target: tuple[float, float], width: int) -> str:
    """A path back: around the left where both stand in one column, else above a row, or below rows."""
    (x1, y1), (x2, y2) = source, target
    if source == target:
        left, right, top = x1 + width / 3, x1 + width * 2 / 3, y1 - _HEIGHT * 0.7
        return f"M{right},{y1} C{right},{top} {left},{top} {left},{y1}"
    if x1 == x2:
        side, middle = x1 - _GAP_X * 0.4, _HEIGHT / 2
        return f"M{x1},{y1 + middle} C{side},{y1 + middle} {side},{y2 + middle} {x2},{y2 + middle}"
    start, end = x1 + width / 2, x2 + width / 2
    if y1 == y2:
        return f"M{start},{y1} C{start},{y1 - _HEIGHT / 2} {end},{y2 - _HEIGHT / 2} {end},{y2}"
    low = max(y1, y2) + _HEIGHT * 1.6
    return f"M{start},{y1 + _HEIGHT} C{start},{low} {end},{low} {end},{y2 + _HEIGHT}"
