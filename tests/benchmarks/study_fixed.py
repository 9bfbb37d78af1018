"""What fixed point costs in accuracy: after calibration, and after training for it.

    python tests/benchmarks/study_fixed.py --output FILE.jsonl [--data digits] [--networks 3] [--seeds 3]
    python tests/benchmarks/study_fixed.py --output FILE.jsonl --data NMNIST.npz [--folds 5]

Each network is trained in floating point, run on the Loihi simulator as it is and with formats calibrated on
training samples, then trained further with its weights on the chip's grid and run again. Accuracies are those
of the test part; every choice, of an epoch or of a format, is made on the other parts. A row is printed and
appended to FILE as it is done; rows that FILE holds are not computed again. `--models` keeps the trained
networks in a folder and takes those that it holds. At the end stands the table of README.md, in points of
accuracy against floating point.

digits: the first networks of the quickstart's space that a Loihi core can hold, with new weights for each
seed. NMNIST.npz: recordings (`xyp`, `t`, `off`, `y`), binned in 10 steps, a network of two convolutions;
cross-validation over all recordings, a tenth of what is left for training validates.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

import targets
from msenas_hw.data import Dataset, load
from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import SpaceConfig, Task, decode, sample
from msenas_hw.training import TrainingConfig, train
from msenas_hw.training.initial import redrawn
from targets import SpikingGraph

BITS = (8, 4)
# Training samples that initial weights are scaled on, and that formats are chosen on.
SAMPLES = 64
CALIBRATION = 256
FLOAT = {"digits": 30, "nmnist": 12}
FURTHER = {"digits": 15, "nmnist": 6}
# For weights that are trained already.
GENTLE = 0.03
STEPS = {"digits": 8, "nmnist": 10}
ENCODING = {"digits": "rate", "nmnist": "events"}


@dataclass(frozen=True, eq=False)
class Case:
    """A network to train on some data; `key` names its row."""

    kind: str
    key: dict[str, Any]
    data: Dataset
    graph: SpikingGraph
    seed: int

    @property
    def encoded(self) -> tuple[str, int]:
        """Encoding and steps."""
        return ENCODING[self.kind], STEPS[self.kind]

    def trained(
        self, graph: SpikingGraph, config: TrainingConfig, name: str, folder: Path | None
    ) -> SpikingGraph:
        """`graph` after training, or the network of that `name` that `folder` holds."""
        label = "-".join(str(value) for value in (*self.key.values(), name))
        path = folder / f"{label}.nir" if folder else None
        if path and path.exists():
            return targets.load(path)
        found = train(graph, self.data, *self.encoded, config, self.seed).graph
        if path:
            targets.save(found, path)
        return found


def digits(networks: int, seeds: int) -> Iterator[Case]:
    """Random networks of the quickstart's space."""
    data = load("digits")
    task = Task((1, 8, 8), classes=10, steps=STEPS["digits"])
    x, _ = data.inputs("train", "rate", task.steps, SAMPLES)
    for number, graph in zip(range(networks), _random(task, x), strict=False):
        for seed in range(seeds):
            drawn = redrawn(graph, x, seed)[0]
            yield Case("digits", {"data": "digits", "network": number, "run": seed}, data, drawn, seed)


def _random(task: Task, x: NDArray[np.float32]) -> Iterator[SpikingGraph]:
    space = SpaceConfig(cells=(2, 3), widths=(12, 16, 24), max_halvings=1)
    for seed in range(1000):
        rng = np.random.default_rng([seed, 7])
        found = balance(decode(sample(rng, space, task), task), x)
        if isinstance(found, Balanced) and not targets.find("loihi").check(found.graph):
            yield found.graph


def nmnist(path: Path, folds: int) -> Iterator[Case]:
    """Cross-validation over all recordings."""
    x, y = recordings(path, STEPS["nmnist"])
    order = np.random.default_rng(0).permutation(len(y))
    for fold, test in enumerate(np.array_split(order, folds)):
        rest = np.setdiff1d(order, test, assume_unique=True)
        rest = np.random.default_rng([fold, 1]).permutation(rest)
        checked, learned = rest[: len(rest) // 10], rest[len(rest) // 10 :]
        parts = [part for rows in (learned, checked, test) for part in (x[rows], y[rows])]
        data = Dataset("nmnist", *parts, classes=10, recorded=True)
        first = x[learned[:SAMPLES]].swapaxes(0, 1)
        graph = redrawn(convolutions(), np.ascontiguousarray(first), fold)[0]
        yield Case("nmnist", {"data": "nmnist", "network": 0, "run": fold}, data, graph, fold)


def recordings(path: Path, steps: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Binary frames [N, steps, 2, 34, 34] of even duration, and classes [N]."""
    with np.load(path) as file:
        xyp, t, off, y = (file[name] for name in ("xyp", "t", "off", "y"))
    frames = np.zeros((len(y), steps, 2, 34, 34), np.float32)
    for i, (start, stop) in enumerate(pairwise(off)):
        times = t[start:stop].astype(np.float64)
        step = np.minimum(steps - 1, (times / (times.max() + 1) * steps).astype(int))
        column, row, polarity = xyp[start:stop].T
        frames[i, step, polarity, row, column] = 1
    return frames, y.astype(np.int64)


def convolutions() -> SpikingGraph:
    """Conv 5x5 / 2, 8 channels - LIF - conv 3x3 / 2, 16 channels - LIF - dense - IF; tau of 2 steps."""

    def lif(*shape: int) -> nir.LIF:
        one = np.ones(shape, np.float32)
        return nir.LIF(tau=2e-3 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)

    def conv(inputs: int, outputs: int, kernel: int, size: int) -> nir.Conv2d:
        weight = np.ones((outputs, inputs, kernel, kernel), np.float32)
        return nir.Conv2d((size, size), weight, 2, kernel // 2, 1, 1, np.zeros(outputs, np.float32))

    one = np.ones(10, np.float32)
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([2, 34, 34])}),
        "conv1": conv(2, 8, 5, 34),
        "lif1": lif(8, 17, 17),
        "conv2": conv(8, 16, 3, 17),
        "lif2": lif(16, 9, 9),
        "flatten": nir.Flatten({"input": np.array([16, 9, 9])}, 0, -1),
        "dense": nir.Affine(np.ones((10, 1296), np.float32), 0 * one),
        "readout": nir.IF(r=one * 1e3, v_threshold=one, v_reset=0 * one),
        "output": nir.Output({"output": np.array([10])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def measured(case: Case, models: Path | None) -> dict[str, Any]:
    """Accuracies of a network, before and after training for fixed point."""
    config = TrainingConfig(epochs=FLOAT[case.kind])
    first = case.trained(case.graph, config, "float", models)
    row: dict[str, Any] = {**case.key, "float": accuracy(case, first, "reference")}
    x, _ = case.data.inputs("train", *case.encoded, CALIBRATION)
    x = x.reshape(*x.shape[:2], *first.shapes[first.inputs[0]])
    for bits in BITS:
        row[f"fixed{bits}"] = accuracy(case, first, "loihi", weight_bits=bits)
        row[f"calibrated{bits}"] = accuracy(case, first, "loihi", weight_bits=bits, calibration=x)
        further = config.model_copy(
            update={
                "epochs": FURTHER[case.kind],
                "learning_rate": GENTLE,
                "weight_bits": bits,
                "float_share": 0.0,
            }
        )
        after = case.trained(first, further, f"{bits}bits", models)
        row[f"trained{bits}_float"] = accuracy(case, after, "reference")
        row[f"trained{bits}"] = accuracy(case, after, "loihi", weight_bits=bits)
    return row


def accuracy(case: Case, graph: SpikingGraph, target: str, **options: Any) -> float:
    """Fraction of the test part that a target classifies rightly."""
    x, y = case.data.inputs("test", *case.encoded)
    x = x.reshape(*x.shape[:2], *graph.shapes[graph.inputs[0]])
    return float((targets.compile(graph, target, **options).run(x).classes() == y).mean())


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the runs of each network, for README.md; differences to floating point in points."""
    kinds = [f"{how}{bits}" for bits in BITS for how in ("fixed", "calibrated", "trained")]
    names = [f"{how}, {bits} bits" for bits in BITS for how in ("as it is", "calibrated", "trained for it")]
    lines = [f"| network | float | {' | '.join(names)} |", "|" + "---|" * (len(names) + 2)]
    for key in sorted({(row["data"], row["network"]) for row in rows}):
        found = [row for row in rows if (row["data"], row["network"]) == key]
        base = np.array([row["float"] for row in found])
        cells = [f"{key[0]} {key[1]} ({len(found)} runs)", f"{base.mean():.4f}"]
        cells += [f"{100 * (np.array([row[k] for row in found]) - base).mean():+.2f}" for k in kinds]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", default="digits", help="digits, or the path of N-MNIST recordings")
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="a folder for the trained networks")
    options = parser.parse_args()
    if options.models:
        options.models.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["data"], row["network"], row["run"]) for row in rows}
    is_digits = options.data == "digits"
    cases = (
        digits(options.networks, options.seeds) if is_digits else nmnist(Path(options.data), options.folds)
    )
    for case in cases:
        if tuple(case.key.values()) in done:
            continue
        rows.append(measured(case, options.models))
        line = json.dumps(rows[-1])
        print(line, flush=True)
        with options.output.open("a") as file:
            file.write(line + "\n")
            os.fsync(file.fileno())
    print(table(rows))


if __name__ == "__main__":
    main()
