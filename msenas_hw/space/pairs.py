"""The connections that a number of cells allows."""

from __future__ import annotations

from msenas_hw.space.genome import INPUT, Connection


def forward_pairs(count: int) -> list[Connection]:
    """Every possible forward connection of `count` cells."""
    pairs = [(i, j) for j in range(count + 1) for i in range(INPUT, j)]
    return [pair for pair in pairs if pair != (INPUT, count)]


def feedback_pairs(count: int) -> list[Connection]:
    """Every possible feedback connection of `count` cells."""
    return [(i, j) for i in range(count) for j in range(i)]
