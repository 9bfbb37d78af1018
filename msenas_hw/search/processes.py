"""Evaluations in processes of their own, which may die."""

from __future__ import annotations

import pickle
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.template import Template, ended
from msenas_hw.space import Genome
from targets.errors import MsenasError

Job = tuple[str, Genome]
# What the death of its worker weighs against a candidate, and how much is too much: two crashes, or
# four kills, since a kill may well come from outside.
CRASH, KILL, TOO_MUCH = 2, 1, 4
STARTS = 8
# A dying process closes its connection a moment before its end.
DYING_S = 2.0


class Worker:
    """One process that evaluates.

    Args:
        template: forks it.

    Attributes:
        process: its number.
        channel: to it; readable when it has a result, or is dead.
        job: position of the job that it evaluates; None while it waits.

    Raises:
        EOFError, OSError: the template is dead.
    """

    def __init__(self, template: Template) -> None:
        self.process, self.channel = template.fork()
        self.job: int | None = None
        self._template = template
        self._given = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since it was given its job."""
        return time.monotonic() - self._given

    def give(self, index: int, job: Job) -> None:
        """Hand over a job; a worker that is dead already stays without."""
        key, genome = job
        with suppress(OSError):
            self.channel.send((genome.to_json(), key))
            self.job, self._given = index, time.monotonic()

    def result(self) -> Measured:
        """What it found.

        Raises:
            EOFError: it is dead.
        """
        try:
            found: Measured = self.channel.recv()
        except OSError:  # it died while it told
            raise EOFError from None
        return found

    def end(self) -> int | None:
        """End it; its exit code, None where its template is dead and took it along."""
        self.channel.close()
        return self._template.reap(self.process)


class Processes:
    """Evaluations in processes of one thread each; a dead one costs only its candidate, which runs again.

    A candidate that crashes its worker twice, or takes longer than `timeout_s`, is a failure
    (`Measured.failure`). Processes start with the first job, and end with the process that started them.
    """

    def __init__(self, workers: int, setting: Setting, timeout_s: float | None = None) -> None:
        self.workers, self._timeout_s = workers, timeout_s
        self._setting = pickle.dumps(setting)
        self._template: Template | None = None
        self._crew: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._crew[:]:
            self._dismiss(worker)
        if self._template is not None:
            self._template.end()
            self._template = None

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results with the position of their job, as they are ready.

        Raises:
            MsenasError: no worker can be started.
        """
        waiting, blame, left = deque(range(len(jobs))), Counter[int](), len(jobs)
        try:
            while left:
                self._hand_out(jobs, waiting)
                results = [*self._results(jobs, waiting, blame), *self._overdue(jobs)]
                left -= len(results)
                self._hand_out(jobs, waiting)  # workers need not wait for what is done with the results
                yield from results
        finally:
            for worker in [worker for worker in self._crew if worker.job is not None]:
                self._dismiss(worker)

    def _hand_out(self, jobs: Sequence[Job], waiting: deque[int]) -> None:
        while waiting:
            idle = next((worker for worker in self._crew if worker.job is None), None)
            if idle is None and len(self._crew) == self.workers:
                return
            idle = idle or self._forked()
            idle.give(waiting[0], jobs[waiting[0]])
            if idle.job is None:
                self._dismiss(idle)
            else:
                waiting.popleft()

    def _forked(self) -> Worker:
        """A new worker, of a new template where the old one is dead."""
        cause = ""
        for _ in range(STARTS):
            try:
                self._template = self._template or Template(self._setting)
                self._crew.append(Worker(self._template))
                return self._crew[-1]
            except (EOFError, OSError) as error:
                cause = str(error)
                if self._template is not None:
                    cause = self._template.end(DYING_S)
                    self._template = None
        raise MsenasError(
            f"no worker process can be started, tried {STARTS} times: {cause}; mend that, or resume with "
            "fewer workers; finished evaluations are kept"
        )

    def _results(
        self, jobs: Sequence[Job], waiting: deque[int], blame: Counter[int]
    ) -> Iterator[tuple[int, Measured]]:
        """What the workers tell next; the job of a dead one waits again."""
        stirred = wait([worker.channel for worker in self._crew], self._patience())
        for worker in [worker for worker in self._crew if worker.channel in stirred]:
            index, seconds = worker.job, worker.seconds
            try:
                found = worker.result()
                worker.job = None
            except EOFError:
                code = self._dismiss(worker)
                if index is None:
                    continue
                blame[index] += _blame(code)
                if blame[index] < TOO_MUCH or code is None:
                    waiting.appendleft(index)
                    continue
                text = f"WorkerDied: the candidate ends its worker again and again ({ended(code)})"
                found = failed(jobs[index], text, seconds)
            if index is not None:
                yield index, found

    def _overdue(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Failures of candidates that take too long."""
        limit = self._timeout_s
        if limit is None:
            return
        for worker in [one for one in self._crew if one.job is not None and one.seconds >= limit]:
            index, seconds = worker.job, worker.seconds
            self._dismiss(worker)
            if index is not None:
                text = f"TimeoutError: no result within {limit:g} s (search.timeout_s)"
                yield index, failed(jobs[index], text, seconds)

    def _patience(self) -> float | None:
        """Seconds until the next candidate takes too long; None where none can."""
        busy = [worker.seconds for worker in self._crew if worker.job is not None]
        return max(0.0, self._timeout_s - max(busy)) if self._timeout_s is not None and busy else None

    def _dismiss(self, worker: Worker) -> int | None:
        self._crew.remove(worker)
        return worker.end()


def _blame(code: int | None) -> int:
    """What a death weighs against the candidate; nothing where the template took its workers along."""
    if code is None:
        return 0
    return KILL if code == -signal.SIGKILL else CRASH


def failed(job: Job, failure: str, seconds: float) -> Measured:
    """The record of a candidate that gave no result."""
    key, genome = job
    return Measured(key, genome.to_json(), failure=failure, seconds=seconds)
