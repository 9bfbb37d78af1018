"""Fitness of a genome: an RDM variant of the balanced, untrained network, over draws of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from msenas_hw.fitness.balance import Balanced, balance
from msenas_hw.fitness.rdm import DEFAULT, Recording, membranes, score
from msenas_hw.space import Genome, Task, decode
from targets.errors import DataError
from targets.graph.graph import SpikingGraph
from targets.run import Run


@dataclass(frozen=True)
class Fitness:
    """Result of one evaluation.

    Attributes:
        mean: over the draws; NaN where the network is dead, or the variant finds no finite value.
        per_draw: fitness of each draw that lived.
        alive: every draw lived.
        reason: why not; empty where alive.
        graphs: the balanced network of each draw that lived.
        runs: its run on the balancing input, for the cost models.
    """

    mean: float
    per_draw: tuple[float, ...]
    alive: bool
    reason: str
    graphs: tuple[SpikingGraph, ...]
    runs: tuple[Run, ...]

    @property
    def graph(self) -> SpikingGraph:
        """The balanced network of the first draw that lived."""
        return self.graphs[0]


def fitness(
    genome: Genome, task: Task, x: NDArray[np.generic], draws: int = 2, variant: str = DEFAULT
) -> Fitness:
    """Evaluate `genome` on samples `x` [T, B, *input], with `draws` draws of its weights.

    Args:
        variant: name in `msenas_hw.fitness.VARIANTS`.

    Raises:
        ConfigError: an unknown variant.
        DataError: `x` does not match the task, or holds fewer than two samples.
        GraphError: no path leads from the Input to the readout.
    """
    if x.ndim != 5 or x.shape[0] != task.steps or x.shape[2:] != task.input_shape or x.shape[1] < 2:
        raise DataError(
            f"fitness: samples have shape {x.shape}, allowed ({task.steps}, B >= 2, *{task.input_shape})"
        )
    if draws < 1:
        raise DataError(f"fitness: found {draws} draws, allowed >= 1")
    with _one_thread():
        watched = membranes(variant, len(x))
        results = [balance(decode(genome, task, draw), x, watched) for draw in range(draws)]
        lived = [result for result in results if isinstance(result, Balanced)]
        scores = tuple(score(variant, recording(result)) for result in lived)
    reasons = [
        f"draw {draw}, node {result.node!r}: {result.reason}"
        for draw, result in enumerate(results)
        if not isinstance(result, Balanced)
    ]
    reasons.extend(f"{variant} is {value}: samples are alike" for value in scores if not np.isfinite(value))
    return Fitness(
        mean=float(np.mean(scores)) if not reasons else float("nan"),
        per_draw=scores,
        alive=not reasons,
        reason="; ".join(reasons),
        graphs=tuple(result.graph for result in lived),
        runs=tuple(result.run for result in lived),
    )


def recording(balanced: Balanced) -> Recording:
    """What the run of a balanced network showed; potentials only where it kept them."""
    spikes = {name: balanced.run.spikes[name] for name in balanced.graph.populations}
    seen = balanced.membranes
    return (
        Recording(spikes)
        if seen is None
        else Recording(spikes, seen.potentials(), seen.largest, seen.moved())
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: sums then have one order on every machine of a type, however many cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class VarianceReport:
    """One-way random-effects analysis of fitness, networks as groups and draws as repeats.

    Attributes:
        between_networks: variance component of the networks (never below 0).
        between_draws: variance of one draw within a network.
        single: intraclass correlation ICC(1,1), the reliability of one draw.
        mean: ICC(1,k), the reliability of the mean of k draws.
        networks, draws: how many went in.

    Source: Shrout and Fleiss, Psychological Bulletin 86 (1979).
    """

    between_networks: float
    between_draws: float
    single: float
    mean: float
    networks: int
    draws: int


def variance_report(found: Sequence[Fitness]) -> VarianceReport:
    """Variance between draws against variance between networks, over the live ones.

    Raises:
        DataError: fewer than two live networks, fewer than two draws, or unequal numbers of draws.
    """
    rows = [result.per_draw for result in found if result.alive]
    draws = {len(row) for row in rows}
    if len(rows) < 2 or len(draws) != 1 or min(draws) < 2:
        raise DataError(
            f"variance report: {len(rows)} live networks with {sorted(draws)} draws, "
            "allowed at least 2 networks with the same number of draws, at least 2"
        )
    table = np.array(rows)
    networks, repeats = table.shape
    means = table.mean(axis=1)
    among = repeats * float(((means - table.mean()) ** 2).sum()) / (networks - 1)
    within = float(((table - means[:, None]) ** 2).sum()) / (networks * (repeats - 1))
    total = among + (repeats - 1) * within
    return VarianceReport(
        between_networks=max((among - within) / repeats, 0.0),
        between_draws=within,
        single=(among - within) / total if total else 0.0,
        mean=(among - within) / among if among else 0.0,
        networks=networks,
        draws=repeats,
    )
