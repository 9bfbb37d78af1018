"""`msenas`: the verbs put together, and how errors end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

from msenas_hw.cli.bench import bench
from msenas_hw.cli.check import check
from msenas_hw.cli.compare import compare
from msenas_hw.cli.compile import compile_model
from msenas_hw.cli.cost import cost
from msenas_hw.cli.data import data
from msenas_hw.cli.doctor import doctor
from msenas_hw.cli.export import export
from msenas_hw.cli.front import front
from msenas_hw.cli.init import init
from msenas_hw.cli.inventory import list_devices, list_targets
from msenas_hw.cli.report import report
from msenas_hw.cli.resume import resume
from msenas_hw.cli.search import search
from msenas_hw.cli.show import show
from msenas_hw.cli.train import train
from msenas_hw.cli.verify import verify

VERBS: dict[str, Callable[..., None]] = {
    "init": init,
    "search": search,
    "resume": resume,
    "front": front,
    "train": train,
    "check": check,
    "cost": cost,
    "compile": compile_model,
    "export": export,
    "verify": verify,
    "bench": bench,
    "report": report,
    "compare": compare,
    "show": show,
    "targets": list_targets,
    "devices": list_devices,
    "doctor": doctor,
}
FAILED, USAGE, OVER, DISAGREE = 1, 2, 3, 4

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Search, train, cost, compile and verify spiking networks for neuromorphic chips.

    Data go to stdout, talk to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 does not fit or over
    budget, 4 targets disagree.
    """


for name, verb in VERBS.items():
    app.command(name)(verb)
app.add_typer(data, name="data")


def main(arguments: list[str] | None = None) -> None:
    """Entry point; ends the process with the exit code."""
    # Small networks run fastest on one thread, and its sums have one order; the user's setting stands.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A scheduler that ends the job interrupts it: half-written files go, and it is said how to continue.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    with warnings.catch_warnings():
        warnings.showwarning = _warn  # type: ignore[assignment]
        try:
            app(args=[argument for argument in given if argument != "--debug"], prog_name="msenas")
        except Exception as error:
            if debug:
                raise
            sys.exit(_explained(error))


def _explained(error: Exception) -> int:
    """Say what went wrong; the exit code."""
    from msenas_hw.cli.output import say
    from targets.errors import (
        BudgetError,
        ConfigError,
        DisagreementError,
        DoesNotFitError,
        MsenasError,
    )

    codes: dict[type[Exception], int] = {
        ConfigError: USAGE,
        DoesNotFitError: OVER,
        BudgetError: OVER,
        DisagreementError: DISAGREE,
    }
    if isinstance(error, MsenasError):
        say(f"error: {error}")
        return codes.get(type(error), FAILED)
    if isinstance(error, OSError):
        say(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return FAILED
    say(f"error: {type(error).__name__}: {error} (a defect of msenas; --debug shows where)")
    return FAILED


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    from msenas_hw.cli.output import say

    say(f"warning: {message}")
