"""The search: NSGA-II by ask and tell, evaluations from the store where it has them.

The search is a pure function of configuration, seed and evaluations. To resume is to run it again
from the seed; known evaluations come from the store, so it is soon where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.config import Config as PymooConfig
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.problems.static import StaticProblem

from msenas_hw.config import Config
from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.objectives import closest, feasible, front, hypervolume, objectives, violations
from msenas_hw.search.operators import (
    Candidates,
    GenomeCrossover,
    GenomeMutation,
    GenomeSampling,
    KnownElimination,
    Operators,
)
from msenas_hw.search.pool import Job, Pool, pool
from msenas_hw.search.store import Generation, Store, Trial
from targets.errors import MsenasError

PymooConfig.warnings["not_compiled"] = False
# Matings a generation until it is full; in a space that is used up, pymoo's 100 take minutes.
MATING_ATTEMPTS = 10


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        generation: the running or just finished one, from 1.
        evaluated: trials with a result so far.
        cached: those of them that came from the store.
        failed: those of them whose evaluation failed.
        front: feasible trials that none dominates, after the last finished generation.
        hypervolume: of that front (`objectives.hypervolume`).
        best: best value of each objective on that front; empty where it is empty.
        finished: whether this report closes a generation.
        seconds_left: estimate from the evaluations of this session; None before the first.
    """

    generation: int
    generations: int
    total: int
    evaluated: int = 0
    cached: int = 0
    failed: int = 0
    front: int = 0
    hypervolume: float = 0.0
    best: tuple[float, float, float] | None = None
    finished: bool = False
    seconds_left: float | None = None


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""


class Engine:
    """One search over one store.

    Args:
        config: the experiment.
        given: setting of the evaluations.
        store: where evaluations are kept.
        report: called after each evaluation and each generation.
    """

    def __init__(self, config: Config, given: Setting, store: Store, report: Report = silent) -> None:
        self._config, self._store, self._report = config, store, report
        self._digest = given.digest()
        self._given = given
        self._operators = Operators(config.space, given.task, config.search)
        self._trials: list[Trial] = []
        section = config.search
        self._progress = Progress(0, section.generations, section.population * section.generations)
        self._spent: list[float] = []

    def run(self, workers: int) -> list[Trial]:
        """All trials, generation by generation.

        Raises:
            BudgetError: no network met the budget within `search.infeasible_generations` generations.
            MsenasError: every evaluation of the first generation failed, or a worker died.
        """
        algorithm = self._algorithm()
        with pool(workers, self._given) as workplace:
            for generation in range(1, self._config.search.generations + 1):
                asked = algorithm.ask()
                if asked is None or not len(asked):
                    break
                measured = self._measure(generation, asked, workplace, workers)
                self._finish(generation, measured)
                algorithm.tell(infills=self._told(asked, measured))
        return self._trials

    def _algorithm(self) -> NSGA2:
        shared, section = self._operators, self._config.search
        algorithm = NSGA2(
            pop_size=section.population,
            sampling=GenomeSampling(shared),
            crossover=GenomeCrossover(shared),
            mutation=GenomeMutation(shared),
            eliminate_duplicates=KnownElimination(shared),
            seed=section.seed,
        )
        algorithm.mating.n_max_iterations = MATING_ATTEMPTS
        return algorithm.setup(Candidates(), termination=("n_gen", section.generations))

    def _measure(self, generation: int, asked: Population, workplace: Pool, workers: int) -> list[Measured]:
        """Results of a generation, in the order asked."""
        jobs: list[Job] = [(self._operators.key(one.X[0]), one.X[0]) for one in asked]
        self._operators.known.update(key for key, _ in jobs)
        self._progress = replace(self._progress, generation=generation, finished=False)
        results = [self._store.find(key, self._digest) for key, _ in jobs]
        # A stored failure is tried again: its cause may be mended, and if not it fails again.
        results = [None if found is not None and found.failure else found for found in results]
        missing = [index for index, found in enumerate(results) if found is None]
        self._count(evaluated=len(jobs) - len(missing), cached=len(jobs) - len(missing))
        for position, found in workplace.measure([jobs[index] for index in missing]):
            index = missing[position]
            self._store.add(jobs[index][0], self._digest, found)
            results[index] = found
            self._spent.append(found.seconds)
            self._count(evaluated=1, failed=int(bool(found.failure)), workers=workers)
            self._report(self._progress)
        return [found for found in results if found is not None]

    def _count(self, evaluated: int, cached: int = 0, failed: int = 0, workers: int = 1) -> None:
        now = self._progress
        done = now.evaluated + evaluated
        mean = sum(self._spent) / len(self._spent) / workers if self._spent else None
        left = None if mean is None else mean * max(0, now.total - done)
        self._progress = replace(
            now, evaluated=done, cached=now.cached + cached, failed=now.failed + failed, seconds_left=left
        )

    def _finish(self, generation: int, measured: Sequence[Measured]) -> None:
        """Store a generation, report it, and stop a search that leads nowhere."""
        begin = len(self._trials)
        new = [Trial(begin + index, generation, one.arch, one) for index, one in enumerate(measured)]
        self._trials.extend(new)
        best = front(self._trials, self._config.budget)
        volume = hypervolume(self._trials, self._config.budget)
        self._store.tell(self._digest, new, Generation(generation, len(self._trials), len(best), volume))
        points = [objectives(trial.measured) for trial in best]
        top = tuple(min(column) for column in zip(*points, strict=True)) if points else None
        self._progress = replace(
            self._progress, front=len(best), hypervolume=volume, best=_fitness_first(top), finished=True
        )
        self._report(self._progress)
        self._stop_if_hopeless(generation)

    def _stop_if_hopeless(self, generation: int) -> None:
        found = [trial.measured for trial in self._trials]
        if all(measured.failure for measured in found):
            raise MsenasError(
                f"all {len(found)} evaluations failed; the first, network {found[0].arch}: {found[0].failure}"
            )
        section = self._config.search
        last = min(section.infeasible_generations, section.generations)
        if generation >= last and not any(feasible(measured, self._config.budget) for measured in found):
            raise closest(found, self._config.budget)

    def _told(self, asked: Population, measured: Sequence[Measured]) -> Population:
        """The population with its objectives and constraint violations."""
        budget = self._config.budget
        costs: NDArray[np.float64] = np.array([objectives(one) for one in measured])
        over = np.array([list(violations(one, budget).values()) for one in measured])
        Evaluator().eval(StaticProblem(Candidates(), F=costs, G=over), asked)
        return asked


def _fitness_first(top: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    """Minimised objectives as (fitness, energy, latency)."""
    return None if top is None else (-top[0], top[1], top[2])
