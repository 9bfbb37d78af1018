"""The algorithms of a search, by ask and tell: NSGA-II, NSGA-III, and two baselines.

Each is a pure function of configuration, seed and what it is told, and asks for no architecture twice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.config import Config as PymooConfig
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting
from pymoo.util.ref_dirs import get_reference_directions

from msenas_hw.search.evaluation import Measured
from msenas_hw.search.objectives import constraints, objectives, violations
from msenas_hw.search.operators import (
    FIRST,
    SAMPLING,
    Candidates,
    GenomeCrossover,
    GenomeMutation,
    KnownElimination,
    Operators,
    individuals,
)
from msenas_hw.space import Genome

PymooConfig.warnings["not_compiled"] = False
# Matings a generation until it is full; in a space that is used up, pymoo's 100 take minutes.
MATING_ATTEMPTS = 20
# Share of the population that a tournament of regularised evolution draws: 25 of 100 in the paper.
TOURNAMENT = 0.25
# Asks of regularised evolution a generation: one by one, workers would wait for each other.
ROUNDS = 8
CHILD = 3


class Proposer(Protocol):
    """An algorithm by ask and tell."""

    def ask(self, most: int) -> list[Genome]:
        """New candidates, `most` of them at most; none where it finds no new one."""
        ...

    def tell(self, genomes: Sequence[Genome], found: Sequence[Measured]) -> None:
        """Results that count, of candidates that were asked for."""
        ...

    def advance(self) -> None:
        """The generation is complete."""
        ...


def proposer(shared: Operators) -> Proposer:
    """The algorithm that a configuration names."""
    return _PROPOSERS[shared.config.search.algorithm](shared)


class _First:
    """Samples in an order that the algorithms share: one seed gives all of them one first generation."""

    def __init__(self, shared: Operators) -> None:
        self._shared, self._generation, self._call = shared, FIRST, 0

    def ask(self, most: int) -> list[Genome]:
        found = self._shared.sampled(most, self._shared.draws(SAMPLING, self._generation, self._call))
        self._call += 1
        return found

    def advance(self) -> None:
        self._generation, self._call = self._generation + 1, 0


class RandomSearch(_First):
    """Independent samples."""

    def tell(self, genomes: Sequence[Genome], found: Sequence[Measured]) -> None:
        """Nothing is learned."""


class Evolution:
    """NSGA-II or NSGA-III of pymoo, by constrained domination: the smaller sum of violations first.

    Sources: Deb et al., IEEE Trans. Evol. Comput. 6 (2002); Deb and Jain, ibid. 18 (2014).
    """

    def __init__(self, shared: Operators) -> None:
        self._shared, self._first = shared, _First(shared)
        self._names, self._budget = shared.config.search.objectives, shared.config.budget
        self._problem = Candidates(len(self._names), len(constraints(self._budget)))
        self._algorithm: GeneticAlgorithm | None = None
        self._genomes: list[Genome] = []
        self._found: list[Measured] = []

    def ask(self, most: int) -> list[Genome]:
        """Samples in the first generation, children in the others."""
        if self._algorithm is None:
            return self._first.ask(most)
        self._algorithm.n_offsprings = most
        asked = self._algorithm.ask()
        return [] if asked is None else [one.X[0] for one in asked]

    def tell(self, genomes: Sequence[Genome], found: Sequence[Measured]) -> None:
        """More of the generation."""
        self._genomes.extend(genomes)
        self._found.extend(found)

    def advance(self) -> None:
        """Objectives and constraint violations of the whole generation select the parents."""
        infills = Population.new(X=individuals(self._genomes))
        if self._algorithm is None:
            self._algorithm = self._started(infills)
            infills = self._algorithm.ask()
        costs = np.array([objectives(one, self._names) for one in self._found])
        over = np.array([list(violations(one, self._budget).values()) for one in self._found])
        Evaluator().eval(StaticProblem(self._problem, F=costs, G=over), infills)
        self._algorithm.tell(infills=infills)
        self._genomes, self._found = [], []

    def _started(self, first: Population) -> GeneticAlgorithm:
        section, shared = self._shared.config.search, self._shared
        algorithm = _NSGA[section.algorithm](
            pop_size=section.population,
            sampling=first,
            crossover=GenomeCrossover(shared),
            mutation=GenomeMutation(shared),
            eliminate_duplicates=KnownElimination(shared),
            seed=section.seed,
            **_options(section.algorithm, len(self._names), section.population),
        )
        algorithm.mating.n_max_iterations = MATING_ATTEMPTS
        return algorithm.setup(self._problem, termination=("n_gen", section.generations))


def _options(algorithm: str, dimensions: int, population: int) -> dict[str, NDArray[np.float64]]:
    """Reference directions of NSGA-III: the finest grid of Das and Dennis within the population."""
    if algorithm != "nsga3":
        return {}
    partitions = 1
    while dimensions > 1 and math.comb(dimensions + partitions, partitions + 1) <= population:
        partitions += 1
    return {"ref_dirs": get_reference_directions("das-dennis", dimensions, n_partitions=partitions)}


@dataclass(frozen=True)
class _Member:
    genome: Genome
    point: tuple[float, ...]
    over: float


class Regularised:
    """Regularised evolution: the best of a random quarter has a child, and the oldest member dies.

    With several objectives the best is by constrained domination: the smallest sum of violations, then
    the first non-dominated front of the drawn members, of which chance takes one.

    Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
    """

    def __init__(self, shared: Operators) -> None:
        self._shared, self._first = shared, _First(shared)
        self._names, self._budget = shared.config.search.objectives, shared.config.budget
        self._members: deque[_Member] = deque(maxlen=shared.config.search.population)
        self._generation, self._children = FIRST, 0

    def ask(self, most: int) -> list[Genome]:
        """Samples in the first generation; then children of the living members, an eighth at a time."""
        if self._generation == FIRST:
            return self._first.ask(most)
        count = min(most, math.ceil(self._shared.config.search.population / ROUNDS))
        return self._born(count)

    def tell(self, genomes: Sequence[Genome], found: Sequence[Measured]) -> None:
        """Members join at the young end; as many leave at the old one."""
        for genome, measured in zip(genomes, found, strict=True):
            over = sum(violations(measured, self._budget).values())
            self._members.append(_Member(genome, objectives(measured, self._names), over))

    def advance(self) -> None:
        """Children follow the first generation."""
        self._generation += 1

    def _born(self, count: int) -> list[Genome]:
        shared, found = self._shared, dict[str, Genome]()
        for _ in range(count * MATING_ATTEMPTS if self._members else 0):
            rng = shared.draws(CHILD, self._generation)(self._children)
            self._children += 1
            child = shared.mutated(shared.crossed(self._winner(rng), self._winner(rng), rng), rng)
            key = shared.key(child)
            if key not in found and key not in shared.known:
                found[key] = child
                if len(found) == count:
                    break
        return list(found.values())

    def _winner(self, rng: np.random.Generator) -> Genome:
        """The best of a tournament."""
        size = max(2, round(TOURNAMENT * len(self._members)))
        drawn = rng.choice(len(self._members), size=min(size, len(self._members)), replace=False)
        members = [self._members[index] for index in drawn]
        least = min(member.over for member in members)
        best = [member for member in members if member.over == least]
        ranks = NonDominatedSorting().do(np.array([member.point for member in best]))
        return best[int(rng.choice(ranks[0]))].genome


_NSGA: Mapping[str, type[GeneticAlgorithm]] = {"nsga2": NSGA2, "nsga3": NSGA3}
_PROPOSERS: Mapping[str, Callable[[Operators], Proposer]] = {
    "nsga2": Evolution,
    "nsga3": Evolution,
    "random": RandomSearch,
    "regularised": Regularised,
}
