"""The genome's operators: sampling and names for every algorithm, and all three as pymoo calls them."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from msenas_hw.config import Config
from msenas_hw.search.evaluation import Setting
from msenas_hw.space import Genome, Rates, arch_id, crossover, mutate, sample

Objects = NDArray[np.object_]
Generators = Callable[[int], np.random.Generator]
SAMPLING, CROSSOVER, MUTATION = range(3)
FIRST = 1
SAMPLE_ATTEMPTS = 50
# Names of genomes that are kept at hand; a search of any length takes no more memory.
NAMES_KEPT = 2048


class Operators:
    """What the algorithms share.

    Attributes:
        config: the experiment.
        given: setting of its evaluations.
        known: canonical hashes of everything the search has asked for.
    """

    def __init__(self, config: Config, given: Setting) -> None:
        self.config, self.given = config, given
        self.known: set[str] = set()
        self._calls: Counter[tuple[int, int]] = Counter()
        self._keys: OrderedDict[Genome, str] = OrderedDict()

    def key(self, genome: Genome) -> str:
        """Canonical hash of a genome."""
        if genome not in self._keys:
            self._keys[genome] = arch_id(genome, self.given.task)
            if len(self._keys) > NAMES_KEPT:
                self._keys.popitem(last=False)
        return self._keys[genome]

    def sampled(self, count: int, generator: Generators) -> list[Genome]:
        """Random genomes, each new to the search; fewer where the space is used up."""
        found: dict[str, Genome] = {}
        for index in range(count):
            rng = generator(index)
            for _ in range(SAMPLE_ATTEMPTS):
                genome = sample(rng, self.config.space, self.given.task)
                key = self.key(genome)
                if key not in found and key not in self.known:
                    found[key] = genome
                    break
        return list(found.values())

    def draws(self, operator: int, generation: int, call: int = 0) -> Generators:
        """Generator of the i-th draw: of seed, generation, operator, call and i alone."""
        seed = self.config.search.seed
        return lambda index: np.random.default_rng([seed, generation, operator, call, index])

    def generators(self, operator: int, algorithm: Any) -> Generators:
        """Generator of the i-th child of this call of a pymoo operator."""
        generation = int(algorithm.n_iter)
        for old in [entry for entry in self._calls if entry[1] != generation]:
            del self._calls[old]
        call = self._calls[operator, generation]
        self._calls[operator, generation] += 1
        return self.draws(operator, generation, call)

    def crossed(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """One child of two parents, or the first parent as it is."""
        if rng.random() >= self.config.search.crossover:
            return first
        return crossover(first, second, rng, self.config.space, self.given.task)

    def mutated(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """A mutation at all three scales."""
        search = self.config.search
        rates = Rates(search.micro_rate, search.meso_rate, search.macro_rate)
        return mutate(genome, rng, self.config.space, self.given.task, rates)


class Candidates(Problem):
    """The problem as pymoo sees it; figures come from outside, by ask and tell."""

    def __init__(self, objectives: int, constraints: int) -> None:
        super().__init__(n_var=1, n_obj=objectives, n_ieq_constr=constraints)


class GenomeCrossover(Crossover):
    """`Operators.crossed`."""

    def __init__(self, shared: Operators) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._shared = shared

    def _do(self, problem: Problem, parents: Objects, *args: Any, algorithm: Any, **kwargs: Any) -> Objects:
        generator = self._shared.generators(CROSSOVER, algorithm)
        pairs = enumerate(zip(parents[0, :, 0], parents[1, :, 0], strict=True))
        children = [self._shared.crossed(a, b, generator(index)) for index, (a, b) in pairs]
        return _objects(children)[None, :, None]


class GenomeMutation(Mutation):
    """`Operators.mutated`."""

    def __init__(self, shared: Operators) -> None:
        super().__init__(prob=1.0)
        self._shared = shared

    def _do(self, problem: Problem, genomes: Objects, *args: Any, algorithm: Any, **kwargs: Any) -> Objects:
        generator = self._shared.generators(MUTATION, algorithm)
        changed = [
            self._shared.mutated(genome, generator(index)) for index, genome in enumerate(genomes[:, 0])
        ]
        return _objects(changed)[:, None]


class KnownElimination(DuplicateElimination):
    """Drops every architecture that this search has asked for before, so no evaluation is spent twice."""

    def __init__(self, shared: Operators) -> None:
        super().__init__()
        self._shared = shared

    def do(self, pop: Population, *others: Population, to_itself: bool = True, **kwargs: Any) -> Population:
        """The individuals of `pop` that are new; all of a first generation, which stands alone."""
        if not others:
            return pop
        shared = self._shared
        taken = {shared.key(individual.X[0]) for other in others for individual in other}
        new = []
        for index, individual in enumerate(pop):
            key = shared.key(individual.X[0])
            if key not in taken and key not in shared.known:
                taken.add(key)
                new.append(index)
        return pop[new]


def individuals(genomes: Sequence[Genome]) -> Objects:
    """Genomes as pymoo's variables [N, 1]."""
    return _objects(genomes)[:, None]


def _objects(genomes: Sequence[Genome]) -> Objects:
    array = np.empty(len(genomes), dtype=object)
    array[:] = genomes
    return array
