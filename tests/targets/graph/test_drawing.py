"""The drawing holds every node and edge, and nothing overlaps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from xml.etree import ElementTree

from targets import SpikingGraph
from targets.graph.drawing import svg

SPACE = "{http://www.w3.org/2000/svg}"


def test_every_node_and_edge_is_drawn_once(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    root = ElementTree.fromstring(svg(graph))
    boxes = root.findall(f"{SPACE}rect")
    names = [text.text for text in root.findall(f"{SPACE}text") if text.get("class") is None]
    paths = root.findall(f"{SPACE}path")
    assert names == list(graph.nodes)
    assert len(paths) == len(graph.edges)
    assert sum(path.get("class") == "back" for path in paths) == 2
    assert (
        next(text.text for text in root.findall(f"{SPACE}text") if text.get("class")) == "Input · 1 x 8 x 8"
    )
    corners = [(float(box.get("x")), float(box.get("y"))) for box in boxes]
    width, height = float(boxes[0].get("width")), float(boxes[0].get("height"))
    assert all(abs(a[0] - b[0]) >= width or abs(a[1] - b[1]) >= height for a, b in combinations(corners, 2))


def test_what_feeds_forward_points_right(recurrent_graph: Callable[..., SpikingGraph]) -> None:
    graph = recurrent_graph()
    root = ElementTree.fromstring(svg(graph))
    at = {
        name: float(box.get("x")) for name, box in zip(graph.nodes, root.findall(f"{SPACE}rect"), strict=True)
    }
    for a, b in graph.edges:
        if not a.endswith("_delay"):
            assert at[a] < at[b], (a, b)
