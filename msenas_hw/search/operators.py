"""The genome's operators in the shape that pymoo's NSGA-II calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from msenas_hw.config import SearchConfig
from msenas_hw.search.objectives import CONSTRAINTS
from msenas_hw.space import Genome, Rates, SpaceConfig, Task, arch_id, crossover, mutate, sample

Objects = NDArray[np.object_]
SAMPLING, CROSSOVER, MUTATION = range(3)
SAMPLE_ATTEMPTS = 50


@dataclass(frozen=True, eq=False)
class Operators:
    """What the three operators share.

    Attributes:
        known: canonical hashes of everything the search has asked for.
    """

    space: SpaceConfig
    task: Task
    search: SearchConfig
    known: set[str] = field(default_factory=set)
    _calls: Counter[tuple[int, int]] = field(default_factory=Counter)
    _keys: dict[Genome, str] = field(default_factory=dict)

    def key(self, genome: Genome) -> str:
        """Canonical hash of a genome."""
        if genome not in self._keys:
            self._keys[genome] = arch_id(genome, self.task)
        return self._keys[genome]

    def generators(self, operator: int, algorithm: Any) -> Callable[[int], np.random.Generator]:
        """Generator of the i-th child of this call: of seed, generation, operator, call and i alone."""
        generation = int(algorithm.n_iter)
        call = self._calls[operator, generation]
        self._calls[operator, generation] += 1
        return lambda index: np.random.default_rng([self.search.seed, generation, operator, call, index])


class Candidates(Problem):
    """The problem as pymoo sees it; figures come from outside, by ask and tell."""

    def __init__(self) -> None:
        super().__init__(n_var=1, n_obj=3, n_ieq_constr=len(CONSTRAINTS))


class GenomeSampling(Sampling):
    """Random genomes, each architecture once; fewer where the space is smaller than asked for."""

    def __init__(self, shared: Operators) -> None:
        super().__init__()
        self._shared = shared

    def _do(self, problem: Problem, n_samples: int, *args: Any, algorithm: Any, **kwargs: Any) -> Objects:
        shared, found = self._shared, dict[str, Genome]()
        generator = shared.generators(SAMPLING, algorithm)
        for index in range(n_samples):
            rng = generator(index)
            for _ in range(SAMPLE_ATTEMPTS):
                genome = sample(rng, shared.space, shared.task)
                key = shared.key(genome)
                if key not in found:
                    found[key] = genome
                    break
        return _objects(list(found.values()))[:, None]


class GenomeCrossover(Crossover):
    """One child of two parents, or the first parent as it is."""

    def __init__(self, shared: Operators) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._shared = shared

    def _do(self, problem: Problem, parents: Objects, *args: Any, algorithm: Any, **kwargs: Any) -> Objects:
        shared = self._shared
        generator = shared.generators(CROSSOVER, algorithm)
        children = []
        for index, (first, second) in enumerate(zip(parents[0, :, 0], parents[1, :, 0], strict=True)):
            rng = generator(index)
            crossed = rng.random() < shared.search.crossover
            children.append(crossover(first, second, rng, shared.space, shared.task) if crossed else first)
        return _objects(children)[None, :, None]


class GenomeMutation(Mutation):
    """A mutation at all three scales."""

    def __init__(self, shared: Operators) -> None:
        super().__init__(prob=1.0)
        self._shared = shared

    def _do(self, problem: Problem, genomes: Objects, *args: Any, algorithm: Any, **kwargs: Any) -> Objects:
        shared, search = self._shared, self._shared.search
        generator = shared.generators(MUTATION, algorithm)
        rates = Rates(search.micro_rate, search.meso_rate, search.macro_rate)
        changed = [
            mutate(genome, generator(index), shared.space, shared.task, rates)
            for index, genome in enumerate(genomes[:, 0])
        ]
        return _objects(changed)[:, None]


class KnownElimination(DuplicateElimination):
    """Drops every architecture that this search has asked for before, so no evaluation is spent twice."""

    def __init__(self, shared: Operators) -> None:
        super().__init__()
        self._shared = shared

    def do(self, pop: Population, *others: Population, to_itself: bool = True, **kwargs: Any) -> Population:
        """The individuals of `pop` that are new."""
        taken = {self._shared.key(individual.X[0]) for other in others for individual in other}
        taken |= self._shared.known
        new = []
        for index, individual in enumerate(pop):
            key = self._shared.key(individual.X[0])
            if key not in taken:
                taken.add(key)
                new.append(index)
        return pop[new]


def _objects(genomes: list[Genome]) -> Objects:
    array = np.empty(len(genomes), dtype=object)
    array[:] = genomes
    return array
