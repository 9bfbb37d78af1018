"""Multi-objective search over spiking architectures."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from msenas_hw.config import Config
from msenas_hw.data import configured
from msenas_hw.search import baselines, second_stage
from msenas_hw.search.bounds import require_possible
from msenas_hw.search.engine import Engine, Progress, Report, silent
from msenas_hw.search.evaluation import Measured, Setting, evaluate, setting
from msenas_hw.search.folder import RunFolder, create, held, open_run, run_of
from msenas_hw.search.second_stage import Told
from msenas_hw.search.store import Generation, Short, Store, Trial
from msenas_hw.search.study import Study
from targets.errors import BudgetError, ConfigError

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
    ray: str | None = None,
) -> Study:
    """Search for networks inside the budget.

    Args:
        config: the experiment.
        run: folder to make and write; without it the study lives in memory.
        workers: evaluating processes, in place of `config.search.workers`; no result depends on it.
            Without a run folder and a time-out, one worker is this process.
        report: called with the state after each evaluation and generation.
        told: called after each short training of the second stage, with the number of all.
        ray: address of a Ray cluster that evaluates, or "local" for one on this machine; `workers` is then
            by default one on every CPU of the cluster.

    Raises:
        BudgetError: nothing meets the budget; says what binds, found against allowed.
        ConfigError, DataError: the experiment cannot start.
    """
    if run is None and any(baselines.planned(config)):
        raise ConfigError("baselines: they are kept below a run folder; give one, or leave them out")
    given = setting(config)
    if run is None:
        study = Study(config, Store(None))
        _fill(study, given, workers, report, told, ray)
        return study
    return _into(create(run, config), given, workers, report, told, ray)


def resume(
    run: Path,
    workers: int | None = None,
    report: Report = silent,
    told: Told = untold,
    ray: str | None = None,
) -> Study:
    """Continue a search that was interrupted, to the trials that it would have had without.

    Raises:
        ConfigError: `run` is no run folder.
        BudgetError: as in `search`.
    """
    folder = open_run(run)
    return _into(folder, setting(folder.config), workers, report, told, ray)


def _fill(
    study: Study, given: Setting, workers: int | None, report: Report, told: Told, ray: str | None
) -> None:
    """Both stages of a search."""
    config = study.config
    second_stage.require_rules(config, given.task)
    require_possible(config, given)
    count = workers or (None if ray else config.search.workers)
    Engine(config, given, study.store, report).run(count, ray)
    if config.budget.robust and not study.front():
        raise BudgetError(
            f"budget.robust: {', '.join((config.budget.device, *config.budget.models))} agree on no network "
            "of the front; set it to false, or compare fewer models"
        )
    if config.second_stage.candidates:
        second_stage.run(config, given, configured(config.data), study.front(), study.store, told)


def _into(
    folder: RunFolder, given: Setting, workers: int | None, report: Report, told: Told, ray: str | None
) -> Study:
    config = folder.config
    with held(folder):
        study = Study(config, Store(folder.study))
        try:
            _fill(study, given, workers, report, told, ray)
        except BudgetError:
            replace(folder, status="infeasible", chosen=None).write()
            raise
        for name, other in baselines.planned(config):
            sub = baselines.opened(folder.path, name, other)
            with suppress(BudgetError):  # a baseline that finds nothing is a result, kept in its folder
                _into(sub, given, workers, _named(report, name), told, ray)
        replace(folder, status="complete", chosen=study.chosen).write()
    return study


def _named(report: Report, name: str) -> Report:
    """Reports that say of which baseline they are."""
    return lambda progress: report(replace(progress, baseline=name))


class _Verb(ModuleType):
    """`msenas_hw.search` is both this package and the verb, so the package can be called."""

    def __call__(
        self,
        config: Config,
        run: Path | None = None,
        workers: int | None = None,
        report: Report = silent,
        told: Told = untold,
        ray: str | None = None,
    ) -> Study:
        return search(config, run, workers, report, told, ray)


sys.modules[__name__].__class__ = _Verb
