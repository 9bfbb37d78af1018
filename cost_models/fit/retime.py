"""Step alignment that reports every cycle with too few delays, and goes on.

The constraints are those of `targets.loihi.align`: w + phi(v) - phi(u) >= 1 for each hop u -> v of w
delays (Leiserson and Saxe, Algorithmica 6, 1991). A fit check must list all that is wrong, so a cycle
that cannot be aligned is noted, one of its hops is left out, and the search continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cost_models.fit.links import Link


@dataclass(frozen=True)
class ShortCycle:
    """A cycle that takes more hops on the chip than it holds steps of delay.

    Attributes:
        nodes: populations in order, the first not repeated.
        hops, delays: of the whole cycle.
    """

    nodes: tuple[str, ...]
    hops: int
    delays: int


@dataclass(frozen=True)
class Retiming:
    """Clock offsets of the populations in steps, and the cycles that have none."""

    offsets: dict[str, int]
    short: tuple[ShortCycle, ...]
    left_out: frozenset[int]

    def axonal_delay(self, index: int, link: Link) -> int:
        """What a hop's delay leaves after alignment; 0 for a hop that was left out."""
        if index in self.left_out:
            return 0
        return link.delay + self.offsets[link.target] - self.offsets[link.source] - 1


def retime(links: Sequence[Link]) -> Retiming:
    """The smallest offsets, all from 0, of the graph without the hops that close a short cycle."""
    short: list[ShortCycle] = []
    left_out: set[int] = set()
    while True:
        offsets, cycle = _relax(links, left_out)
        if not cycle:
            return Retiming(offsets, tuple(short), frozenset(left_out))
        nodes = tuple(links[i].source for i in cycle)
        short.append(ShortCycle(nodes, len(cycle), sum(links[i].delay for i in cycle)))
        left_out.add(cycle[-1])


def _relax(links: Sequence[Link], left_out: set[int]) -> tuple[dict[str, int], list[int]]:
    """Bellman-Ford: offsets and no cycle, or the hops of a cycle that never settles."""
    offsets = {name: 0 for link in links for name in (link.source, link.target)}
    cause: dict[str, int] = {}
    changed = None
    for _ in range(len(offsets) + 1):
        changed = None
        for i, link in enumerate(links):
            least = 1 - link.delay + offsets[link.source]
            if i not in left_out and offsets[link.target] < least:
                offsets[link.target], cause[link.target], changed = least, i, link.target
        if changed is None:
            return offsets, []
    assert changed is not None
    return offsets, _walk_back(changed, cause, links)


def _walk_back(start: str, cause: dict[str, int], links: Sequence[Link]) -> list[int]:
    seen: list[str] = []
    name = start
    while name not in seen:
        seen.append(name)
        name = links[cause[name]].source
    return [cause[n] for n in seen[seen.index(name) :]][::-1]
