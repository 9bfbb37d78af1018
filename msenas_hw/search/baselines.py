"""Searches to compare with: other algorithms and seeds, each with the same number of evaluations.

They live in run folders of their own below the run's, `RUN/baselines/ALGORITHM-SEED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msenas_hw.config import BaselinesConfig, Config, SecondStageConfig
from msenas_hw.search.folder import RunFolder, create, open_run
from msenas_hw.search.study import Study

FOLDER = "baselines"


def planned(config: Config) -> Iterator[tuple[str, Config]]:
    """Name and configuration of every baseline, seed by seed."""
    search, section = config.search, config.baselines
    for seed in range(search.seed, search.seed + section.seeds):
        for algorithm in (search.algorithm, *section.algorithms):
            if (algorithm, seed) != (search.algorithm, search.seed):
                # A baseline has as many evaluations as the search, so it is never given up.
                changes = {
                    "algorithm": algorithm,
                    "seed": seed,
                    "infeasible_generations": search.generations,
                }
                yield (
                    f"{algorithm}-{seed}",
                    config.model_copy(
                        update={
                            "search": search.model_copy(update=changes),
                            "baselines": BaselinesConfig(),
                            "second_stage": SecondStageConfig(),
                        }
                    ),
                )


def opened(run: Path, name: str, config: Config) -> RunFolder:
    """The folder of a baseline, made where it is not there yet."""
    path = run / FOLDER / name
    return open_run(path) if (path / "run.toml").exists() else create(path, config)


def compared(run: Path) -> Mapping[str, Study]:
    """The search of a run folder and its baselines, finished or not, by `ALGORITHM-SEED`."""
    study = Study.open(run)
    config = study.config
    names = {f"{config.search.algorithm}-{config.search.seed}": study}
    for name, _ in planned(config):
        if (run / FOLDER / name / "run.toml").exists():
            names[name] = Study.open(run / FOLDER / name)
    return names
