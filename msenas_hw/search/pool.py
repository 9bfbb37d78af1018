"""Where evaluations run: in this process, in several, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from msenas_hw.search.evaluation import Measured, Setting, evaluate
from msenas_hw.search.processes import Job, Processes

__all__ = ["Alone", "Job", "Pool", "pool"]


class Pool(Protocol):
    """Where evaluations run.

    Attributes:
        workers: evaluations at a time, once it is entered.
    """

    workers: int

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results with the position of their job, in the order in which they are ready."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def pool(
    workers: int | None,
    setting: Setting,
    timeout_s: float | None = None,
    ray: str | None = None,
    apart: bool = False,
) -> Pool:
    """A pool of processes.

    Args:
        workers: how many; by default one, with Ray one on every CPU of the cluster.
        timeout_s: an evaluation that takes longer is a failure.
        ray: address of a Ray cluster, or "local" for one of its own on this machine (`ray_pool`).
        apart: whether even one worker is a process of its own, so that a candidate which kills it does
            not end the search; else one worker without a time-out is this process.

    Raises:
        ConfigError: Ray is asked for and not installed, or does not answer.
    """
    if ray is not None:
        from msenas_hw.search.ray_pool import Cluster

        return Cluster(workers, setting, timeout_s, ray)
    count = workers or 1
    if count == 1 and timeout_s is None and not apart:
        return Alone(setting)
    return Processes(count, setting, timeout_s)


class Alone:
    """Evaluations one after another in this process, on one thread."""

    workers = 1

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
