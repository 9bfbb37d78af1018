"""The untrained network from which a training starts."""

from __future__ import annotations

from collections.abc import Callable

from msenas_hw.fitness import Balanced, balance
from msenas_hw.search import Setting
from msenas_hw.space import Genome, decode
from targets.errors import MsenasError
from targets.graph.graph import SpikingGraph

TRIES, STRIDE = 10, 100


def initial(genome: Genome, given: Setting, seed: int) -> tuple[SpikingGraph, int]:
    """The balanced network of a training seed, and the weight draw that made it (`first_alive`)."""
    return first_alive(lambda draw: decode(genome, given.task, draw), given, seed)


def first_alive(
    decoded: Callable[[int], SpikingGraph], given: Setting, seed: int
) -> tuple[SpikingGraph, int]:
    """The balanced network of the first draw that lives: `seed`, else `seed` + 100, + 200 and so on.

    So each seed has its own weights, and seeds below 100 never share a draw.

    Args:
        decoded: the network of a weight draw.
        given: setting with the samples on which the network is balanced.
        seed: the training seed.

    Raises:
        MsenasError: ten draws are dead.
    """
    reasons = []
    for draw in range(seed, seed + TRIES * STRIDE, STRIDE):
        found = balance(decoded(draw), given.x)
        if isinstance(found, Balanced):
            return found.graph, draw
        reasons.append(f"draw {draw}: node {found.node!r} {found.reason}")
    raise MsenasError(
        f"seed {seed}: {TRIES} draws of the untrained network are dead; {reasons[0]}; "
        "choose another network of the front, or more data.steps"
    )
