"""The driver's end of the process that forks workers (`worker.py`)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Template:
    """A process that has everything imported, so that a worker starts in milliseconds.

    Args:
        setting: of the evaluations, pickled.
    """

    def __init__(self, setting: bytes) -> None:
        self._control, theirs = Pipe()
        script = Path(__file__).with_name("worker.py")
        paths = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(script), str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # out of reach of Ctrl-C, which the search answers
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": paths},
            )
        with suppress(OSError):  # a template that is dead already is found when it is asked
            self._control.send_bytes(setting)

    def fork(self) -> tuple[int, Connection]:
        """A new worker: its process number, and a connection to it.

        Raises:
            EOFError, OSError: the template is dead.
        """
        ours, theirs = Pipe()
        with theirs, socket.socket(fileno=os.dup(self._control.fileno())) as plain:
            self._control.send(("fork",))
            socket.send_fds(plain, [b"-"], [theirs.fileno()])
        return self._control.recv(), ours

    def reap(self, process: int) -> int | None:
        """Kill a worker, or find it dead; its exit code, None where the template is dead."""
        try:
            self._control.send(("reap", process))
            return int(self._control.recv())
        except (EOFError, OSError):
            return None

    def end(self, patience_s: float = 0.0) -> str:
        """End it and its workers, after a while in which it may end by itself; how it ended, in words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        self._control.close()
        return ended(self._process.wait())


def ended(code: int) -> str:
    """How a process ended, in words, by its exit code."""
    if code >= 0:
        return f"exit code {code}"
    hint = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
    return signal.Signals(-code).name + hint
