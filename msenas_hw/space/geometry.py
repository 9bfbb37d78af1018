"""Points, boxes and the paths between them, for drawings.

A path is its SVG text, the point before its end, its end, and its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot
from typing import NamedTuple


class Point(NamedTuple):
    """A place, or a way from one to another, in pixels."""

    x: float
    y: float

    def __add__(self, other: object) -> Point:
        assert isinstance(other, Point)
        return Point(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Point) -> Point:
        return Point(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: object) -> Point:
        assert isinstance(factor, int | float)
        return Point(self.x * factor, self.y * factor)

    @property
    def unit(self) -> Point:
        """The same direction, one pixel long."""
        return self * (1 / (_length(self) or 1.0))

    def __str__(self) -> str:
        return f"{self.x:.4g},{self.y:.4g}"


Path = tuple[str, Point, Point, Point]


class Box(NamedTuple):
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        """Its centre."""
        return Point(self.x + self.width / 2, self.y + self.height / 2)

    @property
    def left(self) -> Point:
        """Middle of the left side."""
        return Point(self.x, self.middle.y)

    @property
    def right(self) -> Point:
        """Middle of the right side."""
        return Point(self.x + self.width, self.middle.y)


def straight(source: Point, target: Point, radius: float) -> Path:
    """A line between two circles of `radius`, or two points where it is 0."""
    along = (target - source).unit
    start, end = source + along * radius, target - along * radius
    return f"M{start} L{end}", start, end, (start + end) * 0.5


def bent(source: Point, target: Point, radius: float) -> Path:
    """A curve between two circles that leaves room for the one that leads back."""
    along = (target - source).unit
    side = (source + target) * 0.5 + Point(-along.y, along.x) * 22
    start, end = source + (side - source).unit * radius, target + (side - target).unit * radius
    return f"M{start} Q{side} {end}", side, end, (start + end) * 0.25 + side * 0.5


def loop(at: Point, radius: float) -> Path:
    """A curve out of a circle and back into it, at its right."""
    start, end = at + Point(0.87, -0.5) * radius, at + Point(0.87, 0.5) * radius
    first, second = at + Point(2.9, -1.6) * radius, at + Point(2.9, 1.6) * radius
    return f"M{start} C{first} {second} {end}", second, end, at + Point(2.6, 0.5) * radius


def along(points: Sequence[Point]) -> Path:
    """A line through points with round corners; its middle is that of its longest piece."""
    d = f"M{points[0]}"
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        d += f" L{at + _short(before, at)} Q{at} {at + _short(after, at)}"
    first, second = max(pairwise(points), key=lambda pair: _length(pair[1] - pair[0]))
    return f"{d} L{points[-1]}", points[-2], points[-1], (first + second) * 0.5


def _short(end: Point, corner: Point) -> Point:
    """From a corner a few pixels towards `end`, at most half of the way."""
    way = end - corner
    return way.unit * min(8.0, _length(way) / 2)


def _length(way: Point) -> float:
    return hypot(way.x, way.y)
