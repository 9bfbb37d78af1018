"""Multi-objective search over spiking architectures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from msenas_hw.config import Config
from msenas_hw.data import configured
from msenas_hw.search import second_stage
from msenas_hw.search.engine import Engine, Progress, Report, silent
from msenas_hw.search.evaluation import Measured, Setting, evaluate, setting
from msenas_hw.search.folder import RunFolder, create, held, open_run, run_of
from msenas_hw.search.second_stage import Told
from msenas_hw.search.store import Generation, Short, Store, Trial
from msenas_hw.search.study import Study
from targets.errors import BudgetError

__all__ = [
    "Generation",
    "Measured",
    "Progress",
    "Report",
    "RunFolder",
    "Setting",
    "Short",
    "Store",
    "Study",
    "Trial",
    "evaluate",
    "open_run",
    "resume",
    "run_of",
    "search",
    "setting",
]


def untold(short: Short, total: int) -> None:
    """Say nothing of a short training."""


def search(
    config: Config,
    run: Path | None = None,
    workers: int | None = None,
    report: Report = silent,
    told: Told = untold,
) -> Study:
    """Search for networks inside the budget.

    Args:
        config: the experiment.
        run: folder to make and write; without it the study lives in memory.
        workers: evaluating processes, in place of `config.search.workers`; no result depends on it.
            More than one starts processes, so a script must guard its main part with
            `if __name__ == "__main__":`.
        report: called with the state after each evaluation and generation.
        told: called after each short training of the second stage, with the number of all.

    Raises:
        BudgetError: nothing meets the budget; says what binds, found against allowed.
        ConfigError, DataError: the experiment cannot start.
    """
    given = setting(config)
    if run is None:
        study = Study(config, Store(None))
        _fill(study, given, workers, report, told)
        return study
    return _into(create(run, config), given, workers, report, told)


def resume(run: Path, workers: int | None = None, report: Report = silent, told: Told = untold) -> Study:
    """Continue a search that was interrupted, to the trials that it would have had without.

    Raises:
        ConfigError: `run` is no run folder.
        BudgetError: as in `search`.
    """
    folder = open_run(run)
    return _into(folder, setting(folder.config), workers, report, told)


def _fill(study: Study, given: Setting, workers: int | None, report: Report, told: Told) -> None:
    """Both stages of a search."""
    config = study.config
    Engine(config, given, study.store, report).run(workers or config.search.workers)
    if config.budget.robust and not study.front():
        raise BudgetError(
            f"budget.robust: {', '.join((config.budget.device, *config.budget.models))} agree on no network "
            "of the front; set it to false, or compare fewer models"
        )
    if config.second_stage.candidates:
        second_stage.run(config, given, configured(config.data), study.front(), study.store, told)


def _into(folder: RunFolder, given: Setting, workers: int | None, report: Report, told: Told) -> Study:
    config = folder.config
    with held(folder):
        study = Study(config, Store(folder.study))
        try:
            _fill(study, given, workers, report, told)
        except BudgetError:
            replace(folder, status="infeasible", chosen=None).write()
            raise
        replace(folder, status="complete", chosen=study.chosen).write()
    return study


class _Verb(ModuleType):
    """`msenas_hw.search` is both this package and the verb, so the package can be called."""

    def __call__(
        self,
        config: Config,
        run: Path | None = None,
        workers: int | None = None,
        report: Report = silent,
        told: Told = untold,
    ) -> Study:
        return search(config, run, workers, report, told)


sys.modules[__name__].__class__ = _Verb
