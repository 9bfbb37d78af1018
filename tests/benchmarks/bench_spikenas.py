"""Fitness against a table of trained networks that others made: SpikeNAS-Bench, CIFAR-10.

    python tests/benchmarks/bench_spikenas.py --table CSV --images NPZ [--sample N] [--seed S] [--channels 8]
        [--samples 32] [--draws 1] [--workers 1] [--scores FILE] [--variants NAME ...] [--format json]

Rows of the table that trained (test accuracy above 15 %) are drawn at random, all of them without
`--sample`. Each network is built untrained (`spikenas_cells.py`) and scored by `msenas_hw.fitness.score`, the
function of the search, for the same images. Printed is Kendall's tau-b with the test accuracy, of every
variant and of

    parameters          the table's own
    convolutions        LIF and convolution operations of a cell
    used_convolutions   those of them on a path to the output
    firing_rate         mean over the populations of the untrained network

and the 95 % interval of tau(default) - tau(parameters) by a bootstrap over rows. With `--scores` each network
is appended to a file of JSON lines, and those in it are not computed again.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from spikenas_cells import EDGES, Cell, draws, images

from msenas_hw.fitness import DEFAULT, VARIANTS, score

LIVE = 15.0
RESAMPLES = 1000
REPORT_EVERY = 50
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """What a score depends on, besides the network."""

    images: str
    samples: int
    seed: int
    channels: int
    draws: int
    variants: tuple[str, ...]

    def key(self, cell: Cell) -> str:
        """Name of a network in the file of scores."""
        parts = (cell.operations, self.samples, self.seed, self.channels, self.draws)
        return json.dumps(parts)


class Scorer:
    """Scores of one cell; holds the images of its process."""

    def __init__(self, setting: Setting) -> None:
        torch.set_num_threads(1)
        self.setting = setting
        self.x = images(setting.images, setting.samples, setting.seed)

    def __call__(self, cell: Cell) -> Scores:
        """Every variant and the firing rate, means over the draws; all 0 for a dead network."""
        found: dict[str, list[float]] = {name: [] for name in (*self.setting.variants, "firing_rate")}
        if not cell.alive:
            return dict.fromkeys(found, 0.0)
        for recording in draws(cell, self.setting.channels, self.setting.draws, self.x):
            for name in self.setting.variants:
                found[name].append(score(name, recording))
            rates = [spikes.mean() for spikes in recording.spikes.values()]
            found["firing_rate"].append(float(np.mean(rates)))
        return {name: float(np.mean(values)) for name, values in found.items()}


_scorer: Scorer


def _begin(setting: Setting) -> None:
    global _scorer
    _scorer = Scorer(setting)


def _scored(cell: Cell) -> tuple[Cell, Scores]:
    return cell, _scorer(cell)


def scored(cells: Sequence[Cell], setting: Setting, workers: int) -> Iterator[tuple[Cell, Scores]]:
    """Each cell with its scores, in any order."""
    if workers == 1:
        _begin(setting)
        yield from map(_scored, cells)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _begin, (setting,)) as pool:
        yield from pool.imap_unordered(_scored, cells, chunksize=4)


def all_scores(
    cells: Sequence[Cell], setting: Setting, workers: int, file: Path | None
) -> dict[Cell, Scores]:
    """Scores of every cell, equal ones once; kept in `file` as they come."""
    known = _read(file)
    wanted = {*setting.variants, "firing_rate"}
    found = {cell: known[key] for cell in cells if wanted <= known.get(key := setting.key(cell), {}).keys()}
    left = [cell for cell in dict.fromkeys(cells) if cell not in found]
    started = time.perf_counter()
    print(f"{len(left)} networks to score, {len(found)} known", file=sys.stderr, flush=True)
    for number, (cell, scores) in enumerate(scored(left, setting, workers), 1):
        found[cell] = scores
        if file is not None:
            with file.open("a") as lines:
                lines.write(json.dumps({"key": setting.key(cell), "scores": scores}) + "\n")
        if number % REPORT_EVERY == 0 or number == len(left):
            spent = time.perf_counter() - started
            print(f"{number} of {len(left)}, {spent / number:.2f} s each", file=sys.stderr, flush=True)
    return found


def _read(file: Path | None) -> dict[str, dict[str, float]]:
    """Scores by key; a line cut short by an interruption is left out."""
    known: dict[str, dict[str, float]] = {}
    if file is not None and file.exists():
        for line in file.read_text().splitlines():
            if line.endswith("}}"):
                row = json.loads(line)
                known.setdefault(row["key"], {}).update(row["scores"])
    return known


def table(path: Path, count: int | None, seed: int, skip: int) -> list[dict[str, str]]:
    """Live rows of the CSV in random order: `count` of them after the first `skip`."""
    with path.open(newline="") as file:
        live = [row for row in csv.DictReader(file) if float(row["test_acc"]) > LIVE]
    order = np.random.default_rng(seed).permutation(len(live))[skip:]
    return [live[i] for i in order[:count]]


def tau(scores: Sequence[float] | NDArray[np.float64], accuracy: NDArray[np.float64]) -> float:
    return float(kendalltau(scores, accuracy).statistic)


def interval(
    a: NDArray[np.float64], b: NDArray[np.float64], accuracy: NDArray[np.float64], seed: int
) -> list[float]:
    """95 % percentile interval of tau(a) - tau(b) over rows drawn with replacement."""
    rng, differences = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(accuracy), len(accuracy))
        differences.append(tau(a[rows], accuracy[rows]) - tau(b[rows], accuracy[rows]))
    return [float(edge) for edge in np.quantile(differences, (0.025, 0.975))]


def report(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed."""
    rows = table(options.table, options.sample, options.seed, options.skip)
    cells = [Cell(tuple(int(row[f"op{edge}"]) for edge in EDGES)) for row in rows]
    used = [cell.used() for cell in cells]
    variants = tuple(dict.fromkeys((DEFAULT, *options.variants)))
    setting = Setting(
        str(options.images), options.samples, options.image_seed, options.channels, options.draws, variants
    )
    found = all_scores(used, setting, options.workers, options.scores)
    accuracy = np.array([float(row["test_acc"]) for row in rows])
    values = {name: np.array([found[cell][name] for cell in used]) for name in (*variants, "firing_rate")}
    values["parameters"] = np.array([float(row["params"]) for row in rows])
    values["convolutions"] = np.array([float(cell.convolutions) for cell in cells])
    values["used_convolutions"] = np.array([float(cell.convolutions) for cell in used])
    others = sorted(values.keys() - {"parameters", "convolutions", "used_convolutions", "firing_rate"})
    order = ("parameters", "convolutions", "used_convolutions", "firing_rate", *others)
    return {
        "rows": len(rows),
        "distinct": len(set(used)),
        "default": DEFAULT,
        "tau": {"default": tau(values[DEFAULT], accuracy)} | {n: tau(values[n], accuracy) for n in order},
        "ci95_difference": interval(values[DEFAULT], values["parameters"], accuracy, options.seed),
        "ci95_difference_used_convolutions": interval(
            values[DEFAULT], values["used_convolutions"], accuracy, options.seed
        ),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--sample", type=int, help="rows; all by default")
    parser.add_argument("--skip", type=int, default=0, help="rows left out before, in the order of the seed")
    parser.add_argument("--seed", type=int, default=0, help="of the rows and of the bootstrap")
    parser.add_argument("--image-seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=32, help="images")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--scores", type=Path, help="file of JSON lines to append to and to continue from")
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = report(options)
    if options.format == "json":
        print(json.dumps(found, indent=2))
        return
    for name, value in found["tau"].items():
        print(f"{name:22} {value:.3f}")
    low, high = found["ci95_difference"]
    print(f"{found['rows']} rows; default - parameters: 95 % interval {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
