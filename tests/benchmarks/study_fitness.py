"""Fitness against trained accuracy in our own space: digits.

    python tests/benchmarks/study_fitness.py train [--networks 46] [--seed 2] [--batch 64]
    python tests/benchmarks/study_fitness.py rank [--format json]

`train` draws networks at random, trains each for 30 epochs and appends one row each to the table
(`own_space_digits.csv`); it goes on where it was interrupted. `rank` computes the fitness of each, untrained,
by the function that the search uses, and prints Kendall's tau-b with the validation accuracy. The
search never sees an accuracy. Digits of scikit-learn: 697 train, 600
validation; the test part is not read.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_spikenas import interval, tau
from numpy.typing import NDArray

import cost_models
import targets
from msenas_hw.config import Config, parse_config
from msenas_hw.data import Dataset, load
from msenas_hw.fitness import DEFAULT, VARIANTS, Fitness, Recording, fitness, score
from msenas_hw.search import Setting, setting
from msenas_hw.search.devices import parameters
from msenas_hw.search.remeasure import cost
from msenas_hw.space import Genome, arch_id, sample
from msenas_hw.training import train
from msenas_hw.training.initial import initial
from targets.errors import DoesNotFitError

TABLE = Path(__file__).with_name("own_space_digits.csv")
DEVICE = "loihi1-sanafe"
CONFIG: dict[str, Any] = {
    "data": {"name": "digits", "encoding": "rate", "steps": 5, "samples": 64, "validation": 600},
    "space": {"cells": [1, 2], "widths": [4, 8, 16, 32], "max_halvings": 1},
    "training": {"epochs": 30, "batch": 64},
}
COLUMNS = (
    "arch", "parameters", "validation_accuracy", "energy_untrained_j", "energy_trained_j",
    "spikes_untrained", "spikes_trained", "seconds", "genome",
)  # fmt: skip


def networks(config: Config, given: Setting, seed: int) -> Iterator[tuple[str, Genome, Fitness]]:
    """Random networks of the space that balancing brings to life, each architecture once."""
    rng, seen = np.random.default_rng(seed), set()
    while True:
        genome = sample(rng, config.space, given.task)
        arch = arch_id(genome, given.task)
        if arch not in seen:
            seen.add(arch)
            found = fitness(genome, given.task, given.x, given.draws)
            if found.alive:
                yield arch, genome, found


def row(
    arch: str, genome: Genome, found: Fitness, data: Dataset, config: Config, given: Setting
) -> dict[str, Any]:
    """Train one network; its accuracy, and its cost before and after."""
    started, section = time.perf_counter(), config.data
    graph, _ = initial(genome, given, 0)
    trained = train(graph, data, section.encoding, section.steps, config.training, 0)
    x, _ = data.inputs("validation", section.encoding, section.steps, section.samples)
    before = figures(lambda: cost_models.estimate(found.graph, found.runs[0], DEVICE).as_json())
    after = figures(lambda: cost(trained.graph, x, DEVICE))
    values = (
        arch,
        parameters(found.graph),
        round(trained.validation_accuracy, 5),
        before["energy_j"],
        after["energy_j"],
        before["spikes"],
        after["spikes"],
        round(time.perf_counter() - started, 1),
        genome.to_json(),
    )
    return dict(zip(COLUMNS, values, strict=True))


def figures(measured: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The cost that `measured` gives; empty for a network that the chip does not hold."""
    try:
        return measured()
    except DoesNotFitError:
        return {"energy_j": "", "spikes": ""}


def rows(table: Path) -> list[dict[str, str]]:
    """The rows of the table so far."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def train_all(options: argparse.Namespace, config: Config, given: Setting) -> None:
    """Append the rows that the table lacks."""
    data = load(config.data.name, validation=config.data.validation)
    done = {found["arch"] for found in rows(options.table)}
    for number, (arch, genome, found) in enumerate(networks(config, given, options.seed), 1):
        if arch not in done:
            new = row(arch, genome, found, data, config, given)
            with options.table.open("a", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                if not done:
                    writer.writeheader()
                writer.writerow(new)
            done.add(arch)
            print(f"{number} of {options.networks}: {list(new.values())[:-1]}", file=sys.stderr, flush=True)
        if number == options.networks:
            return


def rank(options: argparse.Namespace, config: Config, given: Setting) -> dict[str, Any]:
    """Tau-b of every variant and of the parameters with the accuracy, and that of the energies."""
    found = rows(options.table)
    genomes = [Genome.from_json(row["genome"]) for row in found]
    accuracy = column(found, "validation_accuracy")
    scores = [every_variant(genome, given) for genome in genomes]
    values = {"parameters": column(found, "parameters")}
    values |= {name: np.array([one[name] for one in scores]) for name in VARIANTS}
    costed = [row for row in found if row["energy_trained_j"]]
    default, parameters = values[DEFAULT], values["parameters"]
    return {
        "rows": len(found),
        "tau": {"default": tau(default, accuracy)} | {n: tau(v, accuracy) for n, v in values.items()},
        "ci95_difference": interval(default, parameters, accuracy, options.seed),
        "energy": {
            "rows": len(costed),
            "tau": tau(column(costed, "energy_untrained_j"), column(costed, "energy_trained_j")),
            "spikes_tau": tau(column(costed, "spikes_untrained"), column(costed, "spikes_trained")),
        },
    }


def every_variant(genome: Genome, given: Setting) -> dict[str, float]:
    """Each variant, mean over the draws; the default as the search computes it, the others of whole runs."""
    found = fitness(genome, given.task, given.x, given.draws)
    recordings = []
    for graph in found.graphs:
        run = targets.compile(graph, "reference").run(given.x, record=graph.populations, states=True)
        potentials = {name: state["v"] for name, state in run.states.items()}
        recordings.append(Recording(run.spikes, potentials))
    others = {name: float(np.mean([score(name, one) for one in recordings])) for name in VARIANTS}
    return others | {DEFAULT: found.mean}


def column(found: Sequence[Mapping[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) for row in found])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["train", "rank"])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--networks", type=int, default=46)
    parser.add_argument("--seed", type=int, default=2, help="of the networks drawn")
    parser.add_argument("--batch", type=int, default=CONFIG["training"]["batch"])
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    training = CONFIG["training"] | {"batch": options.batch}
    config = parse_config(CONFIG | {"training": training}, "CONFIG")
    given = setting(config)
    if options.verb == "train":
        train_all(options, config, given)
        return
    found = rank(options, config, given)
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return
    for name, value in found["tau"].items():
        print(f"{name:22} {value:.3f}")
    low, high = found["ci95_difference"]
    print(f"{found['rows']} networks; default - parameters: 95 % interval {low:.3f} to {high:.3f}")
    print(f"energy before and after training: {found['energy']['tau']:.3f} on {found['energy']['rows']}")


if __name__ == "__main__":
    main()
