"""Step alignment: when each population's window opens on a chip where every hop takes a step.

Find the smallest clock offset phi(n) >= 0 of every population such that each hop u -> v with w
delays has w + phi(v) - phi(u) >= 1; what exceeds 1 is axonal delay. These are difference
constraints, solved by Bellman-Ford relaxation from all zero; it is retiming (Leiserson and Saxe,
Algorithmica 6, 1991). Inputs have phi = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from targets.errors import GraphError
from targets.graph.hops import Folding, Hop


@dataclass(frozen=True)
class Alignment:
    """Offsets in steps, the axonal delay of each hop (in the order of `Folding.hops`), and the drain.

    `drain` = max phi + max w: the period between samples is T + drain.
    """

    offsets: dict[str, int]
    axonal_delays: tuple[int, ...]
    drain: int


def align(folding: Folding, inputs: Sequence[str]) -> Alignment:
    """The smallest offsets.

    Raises:
        GraphError: a cycle holds fewer delays than hops (named with both numbers), or an Input is
            fed by a population.
    """
    hops = folding.hops
    offsets = {name: 0 for hop in hops for name in (hop.source, hop.target)}
    offsets.update(dict.fromkeys(inputs, 0))
    cause: dict[str, Hop] = {}
    for _ in range(len(offsets)):
        changed = None
        for hop in hops:
            least = 1 - hop.delay + offsets[hop.source]
            if offsets[hop.target] < least:
                offsets[hop.target], cause[hop.target], changed = least, hop, hop.target
        if changed is None:
            delays = tuple(h.delay + offsets[h.target] - offsets[h.source] - 1 for h in hops)
            drain = max(offsets.values(), default=0) + max((h.delay for h in hops), default=0)
            return Alignment(offsets, delays, drain)
    assert changed is not None
    raise GraphError(_cycle_message(changed, cause))


def _cycle_message(start: str, cause: dict[str, Hop]) -> str:
    """Walk the relaxations back until a population repeats: that is the cycle."""
    seen: list[str] = []
    name = start
    while name not in seen:
        seen.append(name)
        name = cause[name].source
    cycle = [cause[n] for n in seen[seen.index(name) :]][::-1]
    names = " -> ".join([cycle[0].source, *(hop.target for hop in cycle)])
    found = sum(hop.delay for hop in cycle)
    return (
        f"cycle {names} takes {len(cycle)} hops on the chip and holds {found} steps of delay, "
        f"allowed at least {len(cycle)}; add {len(cycle) - found} steps of Delay to an edge of it"
    )
