"""What a search would face: size of the space, feasible part, time."""

from __future__ import annotations

from typing import Any

import numpy as np

from msenas_hw.config import Config
from msenas_hw.search.evaluation import setting
from msenas_hw.search.objectives import closest, feasible
from msenas_hw.search.pool import pool
from msenas_hw.space import arch_id, sample, size
from targets.errors import MsenasError

SAMPLES = 20


def preview(config: Config, workers: int, samples: int | None = None) -> dict[str, Any]:
    """Evaluate random networks and extrapolate.

    Returns:
        `space_size` (networks, an estimate), `samples`, `feasible_fraction`, `fits_fraction` (within the
        limits that need no spikes; only these are run), `alive_fraction` (of those), `evaluations`,
        `seconds_per_evaluation` (a search replaces what does not fit; the time for that is in it),
        `workers`, `estimated_seconds`, and `closest`: what binds, where nothing is feasible.
    """
    samples = samples or SAMPLES
    given = setting(config)
    rng = np.random.default_rng([config.search.seed, samples])
    genomes = [sample(rng, config.space, given.task) for _ in range(samples)]
    jobs = [(arch_id(genome, given.task), genome) for genome in genomes]
    with pool(workers, given, config.search.timeout_s) as workplace:
        found = [one for _, one in workplace.measure(jobs)]
    failures = [one.failure for one in found if one.failure]
    if len(failures) == len(found):
        raise MsenasError(f"all {len(found)} evaluations failed; the first: {failures[0]}")
    good = [one for one in found if feasible(one, config.budget)]
    evaluations = config.search.population * config.search.generations
    run = [one for one in found if not one.rejected]
    seconds = sum(one.seconds for one in found) / max(1, len(run))
    return {
        "space_size": size(config.space, given.task),
        "samples": samples,
        "feasible_fraction": len(good) / samples,
        "alive_fraction": sum(one.alive for one in run) / max(1, len(run)),
        "fits_fraction": len(run) / samples,
        "evaluations": evaluations,
        "seconds_per_evaluation": seconds,
        "workers": workers,
        "estimated_seconds": seconds * evaluations / workers,
        "closest": None if good else str(closest(found, config.budget)),
    }
