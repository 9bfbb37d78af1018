"""Evaluations on a Ray cluster; needs extra `ray`."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from msenas_hw.search.evaluation import Measured, Setting
from msenas_hw.search.processes import STARTS, Job, Processes, failed
from msenas_hw.space import Genome
from targets.errors import ConfigError, MsenasError

LOCAL = "local"
# Actors that a candidate may lose; a crash or a time-out of its worker is not among them.
LOSSES = 4
PROBE_S = 5.0
# Without a single actor at work: after how long that is said, and after how long it is an error.
NOTICE_S, PATIENCE_S = 15.0, 600.0


class Post:
    """A Ray actor with a worker process of its own, so that a candidate does not end the actor."""

    def __init__(self, setting: Setting, timeout_s: float | None) -> None:
        self._setting = setting
        self._processes = Processes(1, setting, timeout_s)

    def digest(self) -> str:
        """Digest of the setting by the versions and devices of this node."""
        return self._setting.digest()

    def measure(self, text: str, key: str) -> Measured:
        """One evaluation."""
        ((_, found),) = self._processes.measure([(key, Genome.from_json(text))])
        return found


class Cluster:
    """Evaluations by actors of one CPU each; a lost node costs only its candidates, which run again.

    Failures are those of `Processes`. Every node needs the versions of this process, since results depend
    on them.

    Args:
        workers: actors; None for one on every CPU that the cluster has now.
        address: of a cluster, as `ray.init` takes it, or "local" for one on this machine that ends with
            the search. A cluster to which this process is connected already is used in its place.

    Raises:
        ConfigError: Ray is missing, no cluster answers, or it has no CPU.
    """

    def __init__(self, workers: int | None, setting: Setting, timeout_s: float | None, address: str) -> None:
        self._ray = _imported()
        self._asked, self._address = workers, address
        self._setting, self._timeout_s = setting, timeout_s
        # Actors that start, by the reference of their first answer.
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int]] = {}
        self._stillborn = 0

    def __enter__(self) -> Self:
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect()
        total = int(self._ray.cluster_resources().get("CPU", 0))
        if not total:
            raise ConfigError(
                f"--ray {self._address}: the cluster has no CPU, and an actor takes one; add a node"
            )
        self.workers = self._asked or total
        self._digest = self._setting.digest()
        self._actor = self._ray.remote(num_cpus=1)(Post)
        self._shared = self._ray.put(self._setting)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()

    def measure(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Measured]]:
        """Results with the position of their job, as they are ready.

        Raises:
            MsenasError: the actors do not start, find no free CPU, or another version runs on a node.
        """
        waiting, losses, left = deque(range(len(jobs))), Counter[int](), len(jobs)
        try:
            while left:
                self._hand_out(jobs, waiting)
                results = list(self._results(jobs, waiting, losses))
                left -= len(results)
                self._hand_out(jobs, waiting)
                yield from results
        finally:
            for actor, _ in self._busy.values():
                self._ray.kill(actor)
            self._busy.clear()

    def _hand_out(self, jobs: Sequence[Job], waiting: deque[int]) -> None:
        while self._idle and waiting:
            actor, index = self._idle.pop(), waiting.popleft()
            key, genome = jobs[index]
            self._busy[actor.measure.remote(genome.to_json(), key)] = actor, index
        free = self.workers - len(self._starting) - len(self._idle) - len(self._busy)
        for _ in range(min(free, len(waiting) - len(self._starting))):
            actor = self._actor.remote(self._shared, self._timeout_s)
            self._starting[actor.digest.remote()] = actor

    def _results(
        self, jobs: Sequence[Job], waiting: deque[int], losses: Counter[int]
    ) -> Iterator[tuple[int, Measured]]:
        """What the actors tell next; the job of a lost one waits again."""
        for told in self._answers():
            if told in self._starting:
                self._welcome(told)
                continue
            actor, index = self._busy.pop(told)
            try:
                found = self._ray.get(told)
            except self._ray.exceptions.RayTaskError as error:
                raise _explained(error) from None
            except self._ray.exceptions.RayError as error:
                self._ray.kill(actor)
                losses[index] += 1
                if losses[index] < LOSSES:
                    waiting.appendleft(index)
                else:
                    text = f"WorkerDied: the candidate loses its Ray actor again and again ({_line(error)})"
                    yield index, failed(jobs[index], text, 0.0)
                continue
            self._idle.append(actor)
            yield index, found

    def _answers(self) -> list[Any]:
        """The next answer of an actor; a warning and at last an error where none comes to work."""
        begin, warned = time.monotonic(), False
        while True:
            ready: list[Any]
            ready, _ = self._ray.wait([*self._busy, *self._starting], num_returns=1, timeout=NOTICE_S)
            if ready:
                return ready
            waited = time.monotonic() - begin
            if self._busy:
                begin = time.monotonic()
            elif waited >= PATIENCE_S:
                raise MsenasError(
                    f"{self._shortage(waited)}; free some, or give another cluster. Finished evaluations "
                    "are kept: msenas resume RUN"
                )
            elif not warned:
                warned = True
                warnings.warn(f"{self._shortage(waited)}; waits up to {PATIENCE_S:g} s", stacklevel=2)

    def _shortage(self, waited_s: float) -> str:
        total, free = (
            found.get("CPU", 0.0)
            for found in (self._ray.cluster_resources(), self._ray.available_resources())
        )
        return (
            f"--ray {self._address}: none of {len(self._starting)} actors of one CPU each has started after "
            f"{waited_s:.0f} s; of the cluster's {total:g} CPUs {free:g} are free"
        )

    def _welcome(self, told: Any) -> None:
        """Take a started actor into service, once it is sure to compute the same."""
        actor = self._starting.pop(told)
        try:
            digest = self._ray.get(told)
        except self._ray.exceptions.RayTaskError as error:
            raise _explained(error) from None
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)
            self._stillborn += 1
            if self._stillborn == STARTS:
                raise MsenasError(
                    f"--ray {self._address}: {STARTS} actors in a row died while they started "
                    f"({_line(error)}); is msenas-hw installed on every node?"
                ) from None
            return
        if digest != self._digest:
            raise MsenasError(
                f"--ray {self._address}: a node has another version of msenas-hw, torch, numpy or of the "
                "devices; install on every node what is installed here"
            )
        self._stillborn = 0
        self._idle.append(actor)

    def _connect(self) -> None:
        own: dict[str, Any] = {}
        if self._address == LOCAL:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            own = {"num_cpus": self._asked, "include_dashboard": False}
        try:
            _probe(self._address)
            self._ray.init(self._address, logging_level="error", log_to_driver=False, **own)
        except (OSError, RuntimeError, ValueError, SystemExit) as error:
            raise ConfigError(
                f"--ray {self._address}: no Ray cluster answers ({_line(error)}); start one with: "
                f"ray start --head, or give --ray {LOCAL} for one on this machine"
            ) from None


def _probe(address: str) -> None:
    """OSError where nothing listens at HOST:PORT; Ray itself gives up only after minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()


def _explained(error: Any) -> Exception:
    """The error of a node, in the words of this project where it has some."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    return cause if isinstance(cause, MsenasError) else MsenasError(f"a Ray node failed: {_line(cause)}")


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _imported() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise ConfigError(
            "--ray: the package ray is missing; install it with: pip install 'msenas-hw[ray]'"
        ) from None
