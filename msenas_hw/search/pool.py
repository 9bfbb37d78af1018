"""Evaluations in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from msenas_hw.search.evaluation import Measured, Setting, evaluate
from msenas_hw.space import Genome
from targets.errors import MsenasError

Job = tuple[str, Genome]


class Pool(Protocol):
    """Where evaluations run."""

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results with the position of their job, in the order in which they are ready."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def pool(workers: int, setting: Setting) -> Pool:
    """A pool of `workers` processes; one worker is this process."""
    return Alone(setting) if workers == 1 else Several(workers, setting)


class Alone:
    """Evaluations one after another in this process, on one thread."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def __enter__(self) -> Self:
        import torch

        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import torch

        torch.set_num_threads(self._threads)

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results in order."""
        for index, (key, genome) in enumerate(jobs):
            yield index, evaluate(genome, key, self._setting)


class Several:
    """Evaluations in spawned processes of one thread each."""

    def __init__(self, workers: int, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(setting,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results as they are ready.

        Raises:
            MsenasError: a worker died, of too little memory for example.
        """
        try:
            with _deaf():
                futures = {
                    self._executor.submit(_evaluate, genome.to_json(), key): index
                    for index, (key, genome) in enumerate(jobs)
                }
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise MsenasError(
                "a worker process died, perhaps for want of memory; "
                "resume with fewer workers, finished evaluations are kept"
            ) from None


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, which reaches the whole group: the search answers it.

    The mask is inherited, so it also holds while a worker imports. This process hears it on leaving.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_settings: list[Setting] = []


def _start(setting: Setting) -> None:
    """Set a worker up once."""
    import torch

    torch.set_num_threads(1)
    _settings.append(setting)
    # A worker holds both ends of its queue, so it would wait for ever after the search was killed.
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _evaluate(text: str, key: str) -> Measured:
    return evaluate(Genome.from_json(text), key, _settings[-1])
