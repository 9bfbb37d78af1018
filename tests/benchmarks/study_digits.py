"""Searched networks against random ones and a plain convolution net: the digits table.

    python tests/benchmarks/study_digits.py RUN [--seeds 3] [--random 5]

RUN is a finished run folder (`msenas search examples/quickstart.toml --run RUN`). All networks get the
same data, training and budget. Rows are printed as JSON lines; `tests/benchmarks/README.md` holds the
table of the last run.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np

import targets
from msenas_hw.config import Config
from msenas_hw.data import Dataset, load
from msenas_hw.search import Setting, Study, evaluate, setting
from msenas_hw.search.objectives import feasible
from msenas_hw.search.remeasure import figures
from msenas_hw.space import Genome, Task, arch_id, sample
from msenas_hw.training import train
from msenas_hw.training.initial import first_alive, initial
from targets import SpikingGraph

WIDTHS = range(4, 65, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=5)
    options = parser.parse_args()
    study = Study.open(options.run)
    config, given = study.config, setting(study.config)
    data = load(config.data.name, validation=config.data.validation)
    chosen = study.genome("chosen")
    rows = [measure("searched", genome_graph(chosen, given), data, config, options.seeds)]
    energy_j = float(np.mean([row["energy_j"] for row in rows[0]["runs"]]))
    for number, genome in enumerate(random_genomes(config, given, options.random)):
        rows.append(measure(f"random {number}", genome_graph(genome, given), data, config, options.seeds))
    width = width_for(energy_j, given, config)
    rows.append(measure(f"plain, width {width}", plain_graph(width, given), data, config, options.seeds))
    summary(rows)


def measure(
    name: str, initial: Callable[[int], SpikingGraph], data: Dataset, config: Config, seeds: int
) -> dict[str, object]:
    """Train with each seed; accuracies on test, figures of the trained network on test samples."""
    section = config.data
    sample_x, _ = data.inputs("validation", section.encoding, section.steps, section.samples)
    x, y = data.inputs("test", section.encoding, section.steps)
    runs = []
    for seed in range(seeds):
        trained = train(
            initial(seed),
            data,
            section.encoding,
            section.steps,
            config.training,
            seed,
            lambda graph: figures(graph, sample_x, config.budget).excess(config.budget),
        )
        found = figures(trained.graph, x, config.budget)
        runs.append(
            {
                "seed": seed,
                "validation_accuracy": trained.validation_accuracy,
                "test_accuracy": accuracy(trained.graph, x, y, "reference"),
                "fixed_accuracy": accuracy(trained.graph, x, y, "loihi"),
                "energy_j": found.energy_j,
                "latency_s": found.latency_s,
                "parameters": found.parameters,
                "within_budget": found.within(config.budget),
            }
        )
    row = {"network": name, "runs": runs}
    print(json.dumps(row), flush=True)
    return row


def accuracy(graph: SpikingGraph, x: np.ndarray, y: np.ndarray, target: str) -> float:
    return float((targets.compile(graph, target).run(x).classes() == y).mean())


def genome_graph(genome: Genome, given: Setting) -> Callable[[int], SpikingGraph]:
    return lambda seed: initial(genome, given, seed)[0]


def random_genomes(config: Config, given: Setting, count: int) -> list[Genome]:
    """The first `count` random networks of the space that are inside the budget."""
    rng = np.random.default_rng([config.search.seed, 12345])
    found: dict[str, Genome] = {}
    while len(found) < count:
        genome = sample(rng, config.space, given.task)
        arch = arch_id(genome, given.task)
        if feasible(evaluate(genome, arch, given), config.budget):
            found[arch] = genome
    return list(found.values())


def plain_graph(width: int, given: Setting) -> Callable[[int], SpikingGraph]:
    return lambda seed: first_alive(lambda draw: plain(width, given.task, draw), given, seed)[0]


def plain(width: int, task: Task, draw: int) -> SpikingGraph:
    """Conv 3x3 - LIF - conv 3x3 / 2 (twice the width) - LIF - dense - IF; tau = 2 steps."""
    rng = np.random.default_rng([draw, 99])
    channels, rows, columns = task.input_shape
    half = (-(-rows // 2), -(-columns // 2))

    def conv(inputs: int, outputs: int, stride: int) -> nir.Conv2d:
        weight = rng.standard_normal((outputs, inputs, 3, 3)) / np.sqrt(9 * inputs)
        return nir.Conv2d(None, weight.astype(np.float32), stride, 1, 1, 1, np.zeros(outputs, np.float32))

    def lif(shape: tuple[int, ...]) -> nir.LIF:
        one = np.ones(shape, np.float32)
        return nir.LIF(tau=2 * task.dt * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)

    inner = (2 * width, *half)
    size = int(np.prod(inner))
    one = np.ones(task.classes, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array(task.input_shape)}),
        "conv1": conv(channels, width, 1),
        "lif1": lif((width, rows, columns)),
        "conv2": conv(width, 2 * width, 2),
        "lif2": lif(inner),
        "flatten": nir.Flatten({"input": np.array(inner)}, 0, -1),
        "dense": nir.Affine(
            (rng.standard_normal((task.classes, size)) / np.sqrt(size)).astype(np.float32), 0 * one
        ),
        "readout": nir.IF(r=one / task.dt, v_threshold=one, v_reset=0 * one),
        "output": nir.Output({"output": np.array([task.classes])}),
    }
    names = list(nodes)
    return SpikingGraph.build(nodes, list(itertools.pairwise(names)), {"dt": task.dt})


def width_for(energy_j: float, given: Setting, config: Config) -> int:
    """Width of the plain net whose energy, untrained on the fitness batch, is nearest to `energy_j`."""

    def distance(width: int) -> float:
        found = figures(plain_graph(width, given)(0), given.x, config.budget)
        return abs(found.energy_j - energy_j)

    return min(WIDTHS, key=distance)


def summary(rows: list[dict[str, object]]) -> None:
    print(
        f"\n{'network':<18}{'test':>8}{'worst':>8}{'fixed':>8}{'energy_j':>11}{'parameters':>12}  in budget"
    )
    for row in rows:
        runs = row["runs"]
        assert isinstance(runs, list)

        def mean(key: str, runs: list[dict[str, float]] = runs) -> float:
            return float(np.mean([run[key] for run in runs]))

        worst = min(run["test_accuracy"] for run in runs)
        inside = sum(run["within_budget"] for run in runs)
        print(
            f"{row['network']:<18}{mean('test_accuracy'):>8.3f}{worst:>8.3f}{mean('fixed_accuracy'):>8.3f}"
            f"{mean('energy_j'):>11.3g}{mean('parameters'):>12.0f}  {inside}/{len(runs)}"
        )


if __name__ == "__main__":
    main()
