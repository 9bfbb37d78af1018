"""A study as an Optuna storage, for optuna-dashboard and Optuna's plots."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from msenas_hw.report import goals
from msenas_hw.search import Study, Trial
from msenas_hw.search.objectives import violations
from msenas_hw.space import Genome
from msenas_hw.space.motifs import MOTIFS
from targets.errors import MsenasError
from targets.files import replacing

Genes = dict[str, bool | int | float | str]
# Genes of a population that are searched.
_GENES = ("model", "tau", "tau_syn", "threshold", "kernel")


def write_storage(study: Study, name: str, path: Path) -> int:
    """Write the trials of a study into an SQLite file that Optuna reads; the number of trials.

    Values are the objectives, constraints the relative violations of the budget, parameters the genes.
    A trial without figures (silent, failed, or not fitting the chip) becomes a failed one. A study keeps
    how long an evaluation took and not when it began: trials are laid end to end, the last one ends with the
    study's last write.

    Args:
        name: of the study in the storage.

    Raises:
        MsenasError: optuna is not installed.
        ConfigError: `path` is no regular file.
    """
    optuna = _optuna()
    trials = study.trials()
    genes = [_genes(Genome.from_json(trial.measured.genome)) for trial in trials]
    ranges = {key: _distribution(optuna, values) for key, values in _values(genes).items()}
    shown = goals.objectives(study.config)
    with replacing(path) as temporary, _quiet(optuna):
        storage = optuna.storages.RDBStorage(f"sqlite:///{temporary.resolve()}")
        _hasten(storage.engine)
        made = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["maximize" if goal.larger_is_better else "minimize" for goal in shown],
        )
        made.set_metric_names([goal.name for goal in shown])
        made.set_user_attr("config", study.config.model_dump(mode="json", exclude_none=True))
        made.add_trials(_frozen(optuna, study, trials, genes, ranges))
        storage.remove_session()
        storage.engine.dispose()
    return len(trials)


def _optuna() -> Any:
    try:
        return import_module("optuna")
    except ImportError:
        raise MsenasError(
            "an Optuna storage needs optuna; install it with: pip install 'msenas-hw[optuna]'"
        ) from None


def _genes(genome: Genome) -> Genes:
    """The genes of a genome as flat parameters; populations are called by their place."""
    found: Genes = {
        "cells": len(genome.cells),
        "forward": len(genome.forward),
        "feedback": len(genome.feedback),
    }
    for number, cell in enumerate(genome.cells, start=1):
        place = f"cell{number}"
        found |= {f"{place}.motif": cell.motif, f"{place}.width": cell.width, f"{place}.halve": cell.halve}
        for population, gene in zip(MOTIFS[cell.motif].populations, cell.nodes, strict=True):
            values = {key: getattr(gene, key) for key in _GENES}
            found |= {f"{place}.{population}.{k}": v for k, v in values.items() if v is not None}
    return found


def _values(genes: Sequence[Genes]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in genes:
        for key, value in one.items():
            found.setdefault(key, []).append(value)
    return found


def _distribution(optuna: Any, values: Sequence[Any]) -> Any:
    """The range of a gene over all trials."""
    kinds = optuna.distributions
    if isinstance(values[0], bool | str):
        return kinds.CategoricalDistribution(sorted(set(values)))
    kind = kinds.IntDistribution if isinstance(values[0], int) else kinds.FloatDistribution
    return kind(min(values), max(values))


def _frozen(
    optuna: Any, study: Study, trials: Sequence[Trial], genes: Sequence[Genes], ranges: Mapping[str, Any]
) -> Iterator[Any]:
    """The trials in Optuna's form."""
    budget, names = study.config.budget, [goal.name for goal in goals.objectives(study.config)]
    states = optuna.trial.TrialState
    begin = _begin(study, trials)
    for trial, parameters in zip(trials, genes, strict=True):
        values = [goals.value(trial.measured, name) for name in names]
        known = None not in values
        made = optuna.trial.create_trial(
            state=states.COMPLETE if known else states.FAIL,
            values=values if known else None,
            params=parameters,
            distributions={key: ranges[key] for key in parameters},
            user_attrs=_attributes(study, trial),
            system_attrs={"constraints": list(violations(trial.measured, budget).values())} if known else {},
        )
        made.datetime_start = begin
        begin += timedelta(seconds=trial.measured.seconds)
        made.datetime_complete = begin
        yield made


def _attributes(study: Study, trial: Trial) -> dict[str, Any]:
    measured = trial.measured
    figures = {goal.name: goals.value(measured, goal.name) for goal in goals.figures(study.config)}
    said = [measured.failure, measured.reason, *(f"breaks {rule['rule']}" for rule in measured.broken)]
    why = "; ".join(one for one in said if one)
    return {
        "arch": trial.key,
        "generation": trial.generation,
        **{name: value for name, value in figures.items() if value is not None},
        **({"why_not": why} if why else {}),
    }


def _begin(study: Study, trials: Sequence[Trial]) -> datetime:
    path = study.store.path
    end = datetime.fromtimestamp(path.stat().st_mtime) if path else datetime.now()
    return end - timedelta(seconds=sum(trial.measured.seconds for trial in trials))


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna logs every study, and warns of names of objectives, which it has had since 3.2."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _hasten(engine: Any) -> None:
    """No wait for the disk at each trial: the file replaces another only once it is whole."""
    listen: Callable[..., Any] = import_module("sqlalchemy.event").listen

    def faster(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    engine.dispose()
    listen(engine, "connect", faster)
