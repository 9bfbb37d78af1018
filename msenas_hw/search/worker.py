"""The processes that evaluate: a template that has everything imported, and workers that it forks.

It is started as a script, so that it is tied to the search before it imports anything that takes time.
A worker evaluates one candidate after another, on one thread, until the search is gone.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

PR_SET_PDEATHSIG = 1
OOM_SCORE = "800"
NEEDED = ("cost_models", "msenas_hw.fitness", "msenas_hw.search.evaluation")


def main() -> None:
    """Serve the socket whose descriptor the command line names, for the parent that it names."""
    descriptor, parent = map(int, sys.argv[1:])
    _die_with(parent)
    # Where memory runs out, the kernel ends a worker before the search: it is replaced.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(OOM_SCORE)
    _template(descriptor)


def _template(descriptor: int) -> None:
    """Fork a worker for each connection that comes as ("fork",), end the one of ("reap", worker)."""
    control = Connection(descriptor)
    try:
        payload = control.recv_bytes()
    except (EOFError, ConnectionError):  # the search may end before it has sent anything
        return
    setting = _prepared(payload)
    with suppress(EOFError, ConnectionError):
        while True:
            verb, *rest = control.recv()
            control.send(_VERBS[verb](control, setting, *rest))


def _prepared(payload: bytes) -> Any:
    """The setting, with all imported and compiled that an evaluation needs."""
    setting = pickle.loads(payload)
    for name in NEEDED:
        import_module(name)

    import torch

    from targets.reference.kernels.build import kernels

    torch.set_num_threads(1)
    kernels()
    return setting


def _fork(control: Connection, setting: Any) -> int:
    """A worker's process number."""
    with socket.socket(fileno=os.dup(control.fileno())) as plain:
        _, (descriptor,), _, _ = socket.recv_fds(plain, 1, 1)
    template = os.getpid()
    worker = os.fork()
    if worker:
        os.close(descriptor)
        return worker
    try:
        _die_with(template)
        control.close()
        _work(Connection(descriptor), setting)
    finally:
        os._exit(1)


def _reap(control: Connection, setting: Any, worker: int) -> int:
    """Kill a worker, or find it dead; its exit code."""
    os.kill(worker, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])


_VERBS: dict[str, Callable[..., int]] = {"fork": _fork, "reap": _reap}


def _work(channel: Connection, setting: Any) -> None:
    from msenas_hw.search import evaluation
    from msenas_hw.space import Genome

    with suppress(EOFError, ConnectionError):
        while True:
            text, key = channel.recv()
            channel.send(evaluation.evaluate(Genome.from_json(text), key, setting))


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that happens.

    Elsewhere than on Linux it ends after its evaluation, when it finds the connection closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
