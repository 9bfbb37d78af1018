"""Search against random search on Fashion-MNIST under one Loihi 2 budget.

    python tests/benchmarks/study_search.py RUNS [--stages search trained final] [--seeds 5] ...

`search`: NSGA-II and random search, each with every seed and the same evaluations. `trained`: of each
search the networks that hold most of its hypervolume train shortly, and the hypervolume is measured
again with validation accuracy and trained costs. `final`: the network of NSGA-II with the best validation
accuracy trains on more data, beside random networks inside the budget (the first of each random search)
and a hand-made LIF convolution net of equal energy; each reads the test part once.

A stage that was interrupted goes on where it was: searches live in run folders below RUNS, trainings are
lines of RUNS/trainings.jsonl. Rows are printed as JSON lines; `search.json`, `trained.json` and
`final.json` hold the last of each stage.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study_digits import plain_graph

from msenas_hw.config import Config, load_config, parse_config
from msenas_hw.data import configured
from msenas_hw.report.goals import objectives as goals_of
from msenas_hw.report.volume import curves
from msenas_hw.search import Study, Trial, resume, search, setting
from msenas_hw.search.archive import Scale, front
from msenas_hw.search.objectives import feasible, objectives
from msenas_hw.search.remeasure import figures
from msenas_hw.space import Genome
from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.initial import initial
from msenas_hw.training.samples import Samples, evaluate
from targets import SpikingGraph

ALGORITHMS = ("nsga2", "random")
CHANCE = 0.1
WIDTHS = (1, 32)
SPACE = {
    "cells": [1, 3], "widths": [4, 8, 12, 16], "max_halvings": 2, "taus": [2.0, 4.0, 8.0],
    "taus_syn": [2.0, 4.0], "thresholds": [0.75, 1.0, 1.5], "kernels": [3, 5],
}  # fmt: skip
Build = Callable[[int], SpikingGraph]


def experiment(options: argparse.Namespace, algorithm: str, seed: int) -> Config:
    """The configuration of one search."""
    limits = {"energy_j": options.energy, "latency_s": options.latency, "cores": options.cores}
    config = parse_config(
        {
            "data": {
                "name": "fashion-mnist", "steps": options.steps, "samples": options.samples,
                "validation": options.validation, "train_samples": options.train,
            },
            "space": SPACE,
            "budget": {"device": "loihi2-empirical", **limits},
            "search": {
                "algorithm": algorithm, "seed": seed, "population": options.population,
                "generations": options.generations, "draws": options.draws,
                "infeasible_generations": options.generations, "workers": options.workers,
            },
            "training": {"batch": options.batch},
        },
        "study",
    )  # fmt: skip
    return load_config(config, options.change)


def searched(options: argparse.Namespace) -> dict[tuple[str, int], Study]:
    """Every search, run or continued where it has to be."""
    found = {}
    for seed in range(options.seeds):
        for algorithm in ALGORITHMS:
            run = options.runs / f"{algorithm}-{seed}"
            config = experiment(options, algorithm, seed)
            study = resume(run) if (run / "run.toml").exists() else search(config, run)
            if not study.config.same_search(config):
                raise SystemExit(f"{run} holds a search with other options; choose another folder")
            found[algorithm, seed] = study
            trials = study.trials()
            show({"stage": "search", "algorithm": algorithm, "seed": seed, "evaluations": len(trials),
                  "front": len(study.front()), "own_hypervolume": study.generations()[-1].hypervolume,
                  "seconds": sum(trial.measured.seconds for trial in trials)})  # fmt: skip
    return found


def compared(studies: Mapping[tuple[str, int], Study]) -> dict[str, Any]:
    """Hypervolume of every search in one box, over its evaluations."""
    config = next(iter(studies.values())).config
    named = {f"{algorithm}-{seed}": study for (algorithm, seed), study in studies.items()}
    lines = curves(named, goals_of(config))
    ends = {name: line[-1][1] for name, line in lines.items()}
    return {"stage": "search", "hypervolume": ends, "wins": wins(ends), "curves": lines}


def wins(volumes: Mapping[str, float]) -> str:
    """On how many seeds the search is above random search."""
    seeds = sorted({name.rpartition("-")[2] for name in volumes})
    above = sum(volumes[f"nsga2-{seed}"] > volumes[f"random-{seed}"] for seed in seeds)
    return f"{above} of {len(seeds)}"


def representatives(study: Study, count: int) -> list[Trial]:
    """The networks that hold most of the hypervolume, one by one; then those of the next front."""
    config = study.config
    budget, names = config.budget, config.search.objectives
    left, found = study.trials(), list[Trial]()
    scale = Scale.of([trial.measured for trial in left], budget, names)
    while scale is not None and len(found) < count and (layer := front(left, budget, names)):
        while layer and len(found) < count:
            taken = [objectives(one.measured, names) for one in found]
            volumes = [scale.volume([*taken, objectives(one.measured, names)]) for one in layer]
            found.append(layer.pop(int(np.argmax(volumes))))
        keys = {trial.key for trial in found}
        left = [trial for trial in left if trial.key not in keys]
    return found


class Trainings:
    """Trainings of one setting, kept in a file of JSON lines."""

    def __init__(self, options: argparse.Namespace, config: Config) -> None:
        self.options, self.config, self.given = options, config, setting(config)
        self.section = config.data.model_copy(update={"validation": options.trained_validation})
        self.path = options.runs / "trainings.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.done = {self._key(line): line for line in map(json.loads, lines)}
        self._data: dict[int, Any] = {}

    @staticmethod
    def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
        keys = ("network", "seed", "epochs", "train", "held_out", "tested")
        return tuple(line[key] for key in keys)

    def of(self, genome: Genome) -> Build:
        """The untrained network of a genome, by training seed."""
        return lambda seed: initial(genome, self.given, seed)[0]

    def measure(
        self, network: str, build: Build, samples: int, epochs: int, seed: int, test: bool
    ) -> dict[str, Any]:
        """Validation accuracy and costs of one training; the test part is read with `test` only."""
        line = {"network": network, "seed": seed, "epochs": epochs, "train": samples,
                "held_out": self.section.validation, "tested": test}  # fmt: skip
        known = self.done.get(self._key(line))
        if known is None:
            known = {**line, **self._trained(build(seed), samples, epochs, seed, test)}
            with self.path.open("a") as file:
                file.write(json.dumps(known) + "\n")
            self.done[self._key(line)] = known
        return dict(known)

    def _trained(
        self, graph: SpikingGraph, samples: int, epochs: int, seed: int, test: bool
    ) -> dict[str, Any]:
        section, budget = self.section, self.config.budget
        data, steps = self._dataset(samples), section.steps
        few, _ = data.inputs("validation", section.encoding, steps, section.samples)
        settings = TrainingConfig(epochs=epochs, batch=self.options.batch)
        trained = train(graph, data, section.encoding, steps, settings, seed,
                        lambda one: figures(one, few, budget).excess(budget))  # fmt: skip
        costs = figures(trained.graph, few, budget)
        row = {
            "validation": trained.validation_accuracy,
            "energy_j": costs.energy_j,
            "latency_s": costs.latency_s,
            "cores": costs.cores,
            "parameters": costs.parameters,
            "within_budget": costs.within(budget),
        }
        if not test:
            return row
        part = Samples.of(data, "test", section.encoding, steps, data.input_shape)
        return {**row, "test": evaluate(trained.graph, part).accuracy}

    def _dataset(self, samples: int) -> Any:
        if samples not in self._data:
            section = self.section.model_copy(update={"train_samples": samples or None})
            self._data = {samples: configured(section)}
        return self._data[samples]


def trained_stage(
    options: argparse.Namespace, studies: Mapping[tuple[str, int], Study], trainings: Trainings
) -> dict[str, dict[str, Any]]:
    """Short trainings of the representatives of every search, by network."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for (algorithm, seed), study in studies.items():
        name = f"{algorithm}-{seed}"
        rows[name] = []
        for trial in representatives(study, options.networks):
            genome = Genome.from_json(trial.measured.genome)
            row = trainings.measure(
                trial.key, trainings.of(genome), options.short_train, options.epochs, 0, False
            )
            rows[name].append({**row, "genome": trial.measured.genome, "fitness": trial.measured.fitness})
            show({"stage": "trained", "search": name, **row})
    budget = next(iter(studies.values())).config.budget
    pooled = {a: [row for name in rows if name.startswith(a) for row in rows[name]] for a in ALGORITHMS}
    accuracies = [row["validation"] for found in rows.values() for row in found]
    results = {}
    for label, floor, unit in (
        ("hypervolume", min(accuracies), max(accuracies) - min(accuracies)),
        ("hypervolume_from_chance", CHANCE, 1 - CHANCE),
    ):
        scale = trained_scale(floor, unit, budget.limits)
        volumes = {name: trained_volume(found, scale) for name, found in rows.items()}
        results[label] = {**volumes, "wins": wins(volumes)} | {
            f"pooled {algorithm}": trained_volume(found, scale) for algorithm, found in pooled.items()
        }
    show({"stage": "trained", **results, "networks": {a: len(found) for a, found in pooled.items()}},
         options.runs / "trained.json")  # fmt: skip
    return {row["network"]: row for name, found in rows.items() if name.startswith("nsga2") for row in found}


def trained_scale(floor: float, unit: float, limits: Mapping[str, float]) -> Scale:
    """Accuracy above `floor` in units of `unit`; energy and latency below their limits, in units of these."""
    costs = (limits["energy_j"], limits["latency_s"])
    return Scale(("fitness", "energy_j", "latency_s"), (-floor, *costs), (unit, *costs))


def trained_volume(rows: Sequence[Mapping[str, Any]], scale: Scale) -> float:
    """Hypervolume of (validation accuracy, energy, latency) of the networks inside the budget."""
    return scale.volume(
        [(-row["validation"], row["energy_j"], row["latency_s"]) for row in rows if row["within_budget"]]
    )


def final_stage(
    options: argparse.Namespace,
    studies: Mapping[tuple[str, int], Study],
    trainings: Trainings,
    short: Mapping[str, Mapping[str, Any]],
) -> None:
    """The winner, random networks inside the budget and a hand-made one, trained alike and tested once."""
    winner = max((row for row in short.values() if row["within_budget"]), key=lambda row: row["validation"])
    builds: dict[str, Build] = {
        f"searched {winner['network']}": trainings.of(Genome.from_json(winner["genome"]))
    }
    for seed in range(options.random):
        study = studies["random", seed % options.seeds]
        trial = inside(study)[seed // options.seeds]
        builds[f"random {trial.key}"] = trainings.of(Genome.from_json(trial.measured.genome))
    width = width_for(winner["energy_j"], trainings)
    builds[f"plain width {width}"] = plain_graph(width, trainings.given)
    rows = [
        trainings.measure(name, build, options.final_train, options.final_epochs, seed, True)
        for name, build in builds.items()
        for seed in range(options.final_seeds)
    ]
    show({"stage": "final", "rows": rows}, options.runs / "final.json")
    for row in rows:
        print(f"| {row['network']} | {row['seed']} | {row['test']:.4f} | "
              f"{row['energy_j']:.3g} | {row['parameters']} | {row['within_budget']} |")  # fmt: skip


def width_for(energy_j: float, trainings: Trainings) -> int:
    """Width of the hand-made net whose energy, untrained on the fitness batch, is nearest to `energy_j`."""
    given, budget = trainings.given, trainings.config.budget
    found: dict[int, float] = {}

    def energy(width: int) -> float:
        if width not in found:
            found[width] = figures(plain_graph(width, given)(0), given.x, budget).energy_j
        return found[width]

    low, high = WIDTHS
    while high - low > 1:  # energy grows with width
        middle = (low + high) // 2
        low, high = (middle, high) if energy(middle) < energy_j else (low, middle)
    return min((low, high), key=lambda width: abs(energy(width) - energy_j))


def inside(study: Study) -> list[Trial]:
    """Networks of a search that are inside the budget, in the order in which it found them."""
    return [trial for trial in study.trials() if feasible(trial.measured, study.config.budget)]


def show(row: Mapping[str, Any], file: Path | None = None) -> None:
    """Print a row, and keep it in a file."""
    print(json.dumps(row), flush=True)
    if file is not None:
        file.write_text(json.dumps(row, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--stages", nargs="+", default=["search", "trained", "final"])
    whole = {
        "seeds": 5, "population": 16, "generations": 16, "steps": 4, "samples": 32, "draws": 2,
        "validation": 1000, "train": 4000, "short-train": 10000, "trained-validation": 2000,
        "epochs": 4, "networks": 4, "final-train": 0, "final-epochs": 2,
        "final-seeds": 1, "random": 5, "batch": 100, "workers": 1, "cores": 16,
    }  # fmt: skip
    for name, value in whole.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--set", dest="change", nargs="*", default=[], help="SECTION.KEY=VALUE, for all")
    parser.add_argument("--energy", type=float, default=4.5e-4, help="joules a sample")
    parser.add_argument("--latency", type=float, default=1.25e-3, help="seconds a sample")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.runs.mkdir(parents=True, exist_ok=True)
    studies = searched(options)
    show(compared(studies), options.runs / "search.json")
    if options.stages == ["search"]:
        return
    trainings = Trainings(options, studies["nsga2", 0].config)
    short = trained_stage(options, studies, trainings)
    if "final" in options.stages:
        final_stage(options, studies, trainings, short)


if __name__ == "__main__":
    main()
