"""The search: an algorithm by ask and tell, evaluations from the store where it has them.

The search is a pure function of configuration, seed and evaluations. To resume is to run it again
from the seed; known evaluations come from the store, so it is soon where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msenas_hw.config import Config
from msenas_hw.search.algorithms import Proposer, proposer
from msenas_hw.search.archive import Archive, Scale
from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.objectives import MAXIMISED, closest, feasible, objectives, violations
from msenas_hw.search.operators import Operators
from msenas_hw.search.pool import Job, Pool, pool
from msenas_hw.search.store import Generation, Store, Trial
from msenas_hw.space import Genome
from targets.errors import MsenasError

# Candidates that are not run, in populations, after which a generation is filled with them.
UNFIT_MOST = 10


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Attributes:
        generation: the running or just finished one, from 1.
        evaluated: trials with a result so far.
        cached: those of them that came from the store.
        failed: those of them whose evaluation failed.
        front: feasible trials that none dominates, after the last finished generation.
        hypervolume: of that front (`archive.Scale`).
        best: best value of each objective on that front, by name; empty where it is empty.
        finished: whether this report closes a generation.
        seconds_left: estimate from the evaluations of this session; None before the first.
        baseline: name of the baseline that is running; empty for the search itself.
    """

    generation: int
    generations: int
    total: int
    evaluated: int = 0
    cached: int = 0
    failed: int = 0
    front: int = 0
    hypervolume: float = 0.0
    best: Mapping[str, float] = field(default_factory=dict)
    finished: bool = False
    seconds_left: float | None = None
    baseline: str = ""


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
        self._operators = Operators(config, given)
        self._archive = Archive(config.budget, config.search.objectives)
        self._scale: Scale | None = None
        # What the errors of a hopeless search tell about; None once a network is feasible.
        self._hopeless: list[Measured] | None = []
        self._trials = 0
        section = config.search
        self._progress = Progress(0, section.generations, section.population * section.generations)
        self._timed, self._seconds = 0, 0.0

    def run(self, workers: int | None = None, ray: str | None = None) -> None:
        """Search, generation by generation; the trials go to the store.

        Args:
            workers, ray: as of `pool`. A search that is kept on disk evaluates in processes of their own.

        Raises:
            BudgetError: no network met the budget within `search.infeasible_generations` generations.
            MsenasError: every evaluation of the first generation failed, or no worker can be started.
        """
        algorithm = proposer(self._operators)
        limit, apart = self._config.search.timeout_s, self._store.path is not None
        with pool(workers, self._given, limit, ray, apart) as workplace:
            for generation in range(1, self._config.search.generations + 1):
                self._progress = replace(self._progress, generation=generation, finished=False)
                found = self._generation(algorithm, workplace)
                if not found:
                    break
                self._finish(generation, found)
                algorithm.advance()

    def _generation(self, algorithm: Proposer, workplace: Pool) -> list[Measured]:
        """Results of a generation, in the order asked.

        Candidates that were not run, since they break a limit that needs no spikes, are replaced; where too
        many are, those nearest to the limits fill the generation.
        """
        wanted, budget = self._config.search.population, self._config.budget
        found: list[Measured] = []
        unfit: list[tuple[Genome, Measured]] = []
        while len(found) < wanted and len(unfit) < UNFIT_MOST * wanted:
            asked = algorithm.ask(wanted - len(found))
            if not asked:
                break
            measured = self._measure(asked, workplace)
            both = list(zip(asked, measured, strict=True))
            run = [(genome, one) for genome, one in both if not one.rejected]
            algorithm.tell([genome for genome, _ in run], [one for _, one in run])
            found.extend(one for _, one in run)
            unfit.extend((genome, one) for genome, one in both if one.rejected)
        unfit.sort(key=lambda pair: sum(violations(pair[1], budget).values()))
        nearest = unfit[: wanted - len(found)]
        algorithm.tell([genome for genome, _ in nearest], [one for _, one in nearest])
        self._count(evaluated=len(nearest))
        return [*found, *(one for _, one in nearest)]

    def _measure(self, asked: Sequence[Genome], workplace: Pool) -> list[Measured]:
        """Results of a round, in the order asked."""
        jobs: list[Job] = [(self._operators.key(genome), genome) for genome in asked]
        self._operators.known.update(key for key, _ in jobs)
        results = [self._store.find(key, self._digest) for key, _ in jobs]
        # A stored failure is tried again: its cause may be mended, and if not it fails again.
        results = [None if found is not None and found.failure else found for found in results]
        kept = [found for found in results if found is not None]
        self._count(evaluated=sum(not found.rejected for found in kept), cached=len(kept))
        missing = [index for index, found in enumerate(results) if found is None]
        for position, found in workplace.measure([jobs[index] for index in missing]):
            index = missing[position]
            self._store.add(jobs[index][0], self._digest, found)
            results[index] = found
            self._seconds += found.seconds
            self._timed += not found.rejected
            self._count(int(not found.rejected), failed=int(bool(found.failure)), workers=workplace.workers)
            self._report(self._progress)
        return [found for found in results if found is not None]

    def _count(self, evaluated: int, cached: int = 0, failed: int = 0, workers: int = 1) -> None:
        now = self._progress
        done = now.evaluated + evaluated
        mean = self._seconds / self._timed / workers if self._timed else None
        left = None if mean is None else mean * max(0, now.total - done)
        self._progress = replace(
            now, evaluated=done, cached=now.cached + cached, failed=now.failed + failed, seconds_left=left
        )

    def _finish(self, generation: int, measured: Sequence[Measured]) -> None:
        """Store a generation, report it, and stop a search that leads nowhere."""
        budget, names = self._config.budget, self._config.search.objectives
        new = [Trial(self._trials + index, generation, one.arch, one) for index, one in enumerate(measured)]
        self._trials += len(new)
        for trial in new:
            self._archive.add(trial)
        self._scale = self._scale or Scale.of(measured, budget, names)
        best = self._archive.front()
        points = [objectives(trial.measured, names) for trial in best]
        volume = self._scale.volume(points) if self._scale else 0.0
        self._store.tell(self._digest, new, Generation(generation, self._trials, len(best), volume))
        least = [min(column) for column in zip(*points, strict=True)]
        top: dict[str, float] = {
            name: -value if name in MAXIMISED else value for name, value in zip(names, least, strict=False)
        }
        self._progress = replace(self._progress, front=len(best), hypervolume=volume, best=top, finished=True)
        self._report(self._progress)
        self._stop_if_hopeless(generation, measured)

    def _stop_if_hopeless(self, generation: int, measured: Sequence[Measured]) -> None:
        if self._hopeless is None:
            return
        found = self._hopeless = [*self._hopeless, *measured]
        if all(one.failure for one in found):
            raise MsenasError(
                f"all {len(found)} evaluations failed; the first, network {found[0].arch}: {found[0].failure}"
            )
        if any(feasible(one, self._config.budget) for one in measured):
            self._hopeless = None
            return
        section = self._config.search
        if generation >= min(section.infeasible_generations, section.generations):
            raise closest(found, self._config.budget)
