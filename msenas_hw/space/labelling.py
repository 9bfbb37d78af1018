"""Exact canonical order of the cells of a genome, by colour refinement and individualisation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from typing import Any

from msenas_hw.space.genome import INPUT, Connection, Genome

Colours = tuple[int, ...]


def ordered(genome: Genome, level: Sequence[int]) -> Genome:
    """Cells sorted by level, then by an order that isomorphic genomes share.

    Refined colours split most cells; where cells stay tied, each is tried first and the smallest JSON
    wins, so the form is exact and not only up to Weisfeiler and Leman.
    """
    leaves = [relabelled(genome, order) for order in _orders(genome, refined(genome, level))]
    return leaves[0] if len(leaves) == 1 else min(leaves, key=Genome.to_json)


def refined(genome: Genome, level: Sequence[int]) -> Colours:
    """Colour of each cell: level, rank among the feedback of its level, genes, and neighbours' colours."""
    ranks = _ranks(genome, level)
    genes = [json.dumps(cell.to_dict()) for cell in genome.cells]
    return _refine(genome, _dense([(level[i], ranks[i], genes[i]) for i in range(len(genome.cells))]))


def relabelled(genome: Genome, order: Sequence[int]) -> Genome:
    """The genome with its cells in `order` (old indices), connections renamed."""
    new = {old: index for index, old in enumerate(order)} | {INPUT: INPUT, genome.readout: genome.readout}

    def renamed(connections: frozenset[Connection]) -> frozenset[Connection]:
        return frozenset((new[i], new[j]) for i, j in connections)

    cells = tuple(genome.cells[i] for i in order)
    return replace(genome, cells=cells, forward=renamed(genome.forward), feedback=renamed(genome.feedback))


def automorphisms(genome: Genome, level: Sequence[int]) -> int:
    """How many orders of the cells give the very same genome."""
    own = relabelled(genome, sorted(range(len(genome.cells)), key=refined(genome, level).__getitem__))
    return sum(relabelled(genome, order) == own for order in _within_colours(refined(genome, level)))


def _within_colours(colours: Colours) -> Iterator[list[int]]:
    classes = [[i for i, c in enumerate(colours) if c == colour] for colour in sorted(set(colours))]
    for choice in product(*(permutations(members) for members in classes)):
        yield [i for members in choice for i in members]


def _ranks(genome: Genome, level: Sequence[int]) -> list[int]:
    """Longest path of feedback inside one level, so that its sources sort after its targets."""
    ranks: list[int] = []
    for i in range(len(genome.cells)):
        back = [ranks[j] for a, j in genome.feedback if a == i and level[j] == level[i]]
        ranks.append(1 + max(back, default=-1))
    return ranks


def _orders(genome: Genome, colours: Colours) -> Iterator[list[int]]:
    tied = next((c for c in sorted(colours) if colours.count(c) > 1), None)
    if tied is None:
        yield sorted(range(len(colours)), key=colours.__getitem__)
        return
    members = [i for i, colour in enumerate(colours) if colour == tied]
    tried: set[Any] = set()
    for member in members:
        neighbours = _neighbours(genome, member)
        if neighbours in tried:  # twins: exchanging them changes nothing
            continue
        tried.add(neighbours)
        split = _dense([(c, int(c == tied and i != member)) for i, c in enumerate(colours)])
        yield from _orders(genome, _refine(genome, split))


def _neighbours(genome: Genome, i: int) -> tuple[frozenset[int], ...]:
    return (
        frozenset(a for a, b in genome.forward if b == i),
        frozenset(b for a, b in genome.forward if a == i),
        frozenset(a for a, b in genome.feedback if b == i),
        frozenset(b for a, b in genome.feedback if a == i),
    )


def _refine(genome: Genome, colours: Colours) -> Colours:
    around = [_neighbours(genome, i) for i in range(len(colours))]
    while True:
        named = {**dict(enumerate(colours)), INPUT: -1, genome.readout: len(colours)}
        new = _dense(
            [
                (colour, *(tuple(sorted(named[n] for n in group)) for group in around[i]))
                for i, colour in enumerate(colours)
            ]
        )
        if new == colours:
            return colours
        colours = new


def _dense(keys: Sequence[Any]) -> Colours:
    rank = {key: index for index, key in enumerate(sorted(set(keys)))}
    return tuple(rank[key] for key in keys)
