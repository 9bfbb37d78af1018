"""Events into frames, and the time that samples take of a training, on one thread.

    python tests/benchmarks/bench_data.py --folder FOLDER [--tonic PYTHON] [--repeats 5] [--format json]

FOLDER holds nmnist_1100.npz; without it as many recordings are drawn at random (4,100 events of 34 x 34 x 2).

    nmnist-1100 frames    all 1,100 recordings to T = 10 frames in batches of 64, from events in memory
    packed                the same from the cache's files, through the system's memory
    load                  reading, verifying and counting nmnist_1100.npz
    fashion rate          10,000 pictures of 28 x 28 encoded to T = 8 steps
    training              an epoch of 900 recordings, T = 10, two convolutions; `limits` holds the share of
                          its time that went into samples

Ratios are other ways to the same frames, each recording after the other, above 1 where ours is faster:
`add-at` and `bincount` and `histogramdd` of numpy, and `tonic` (ToFrame, in the environment of --tonic).
`differing` counts cells that are not those of `histogramdd`. `limits` also has the seconds that the issue's
goal allows over those needed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nir
import numpy as np
from numpy.typing import NDArray

from msenas_hw.data import Binning, Dataset, encode, load
from msenas_hw.data.frames import Frames
from msenas_hw.data.recordings import in_memory, packed
from msenas_hw.data.source import Recording
from targets import SpikingGraph

SENSOR, STEPS, BATCH, COUNT = (2, 34, 34), 10, 64, 1100
GOAL_S = 3.0
TONIC = """
import sys, time, numpy as np
from tonic.transforms import ToFrame
with np.load(sys.argv[1]) as f:
    e = np.zeros(len(f["t"]), dtype=[("x", int), ("y", int), ("t", int), ("p", int)])
    for k in "xytp":
        e[k] = f[k]
    start = f["start"]
to_frame = ToFrame(sensor_size=(34, 34, 2), n_time_bins=int(sys.argv[2]))
begin = time.process_time()
for a, b in zip(start[:-1], start[1:]):
    to_frame(e[a:b])
print(time.process_time() - begin)
"""


def recordings(folder: Path | None) -> list[Recording]:
    """The 1,100 recordings, or as many drawn."""
    if folder is None:
        rng = np.random.default_rng(0)
        return [_drawn(rng, number) for number in range(COUNT)]
    with np.load(folder / "nmnist_1100.npz") as file:
        t, off, y = file["t"].astype(np.int64), file["off"].tolist(), file["y"].tolist()
        x, row, p = file["xyp"].astype(np.int64).T
    return [
        Recording("train", y[i], (i,), t[a:b], x[a:b], row[a:b], p[a:b])
        for i, (a, b) in enumerate(pairwise(off))
    ]


def _drawn(rng: np.random.Generator, number: int) -> Recording:
    t = np.sort(rng.integers(0, 336_000, 4100))
    p, y, x = (rng.integers(0, limit, len(t)) for limit in SENSOR)
    return Recording("train", number % 10, (number,), t, x, y, p)


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """Median of the processor's seconds."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        action()
        found.append(time.process_time() - begin)
    return statistics.median(found)


def batched(frames: Frames) -> None:
    for at in range(0, len(frames), BATCH):
        frames[at : at + BATCH]


def _step(item: Recording) -> NDArray[np.int64]:
    return item.t * STEPS // (item.t.max() + 1)


def add_at(items: list[Recording]) -> None:
    for item in items:
        np.add.at(np.zeros((STEPS, *SENSOR), np.float32), (_step(item), item.p, item.y, item.x), 1)


def bincount(items: list[Recording]) -> None:
    size = STEPS * int(np.prod(SENSOR))
    for item in items:
        cell = np.ravel_multi_index((_step(item), item.p, item.y, item.x), (STEPS, *SENSOR))
        np.bincount(cell, minlength=size).reshape(STEPS, *SENSOR).astype(np.float32)


def histogram(item: Recording) -> NDArray[np.float64]:
    edges = [np.arange(n + 1) for n in (STEPS, *SENSOR)]
    return np.histogramdd((_step(item), item.p, item.y, item.x), edges)[0]


def tonic(python: str, items: list[Recording]) -> float:
    """Processor's seconds of tonic's ToFrame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        columns = {key: np.concatenate([getattr(item, key) for item in items]) for key in "xytp"}
        np.savez(path, start=np.cumsum([0, *(len(item.t) for item in items)]), **columns)
        command = [python, "-c", TONIC, str(path), str(STEPS)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def binning_case(items: list[Recording], options: argparse.Namespace) -> dict[str, Any]:
    """Against other ways to the same frames, which count events; ours does too here."""
    store, parts = in_memory("bench", "bench", SENSOR, items)
    frames = Frames(store, parts["train"][0], Binning(STEPS, counts=True))
    ours = seconds(lambda: batched(frames), options.repeats)
    some = items[:100]
    differing = sum(int((frames[i : i + 1][0] != histogram(item)).sum()) for i, item in enumerate(some))
    others = {
        "add-at": seconds(lambda: add_at(items), options.repeats),
        "bincount": seconds(lambda: bincount(items), options.repeats),
        "histogramdd": seconds(lambda: [histogram(item) for item in some], 1) * len(items) / len(some),
        **({"tonic": tonic(options.tonic, items)} if options.tonic else {}),
    }
    return {
        **_case("nmnist-1100 frames", len(items), STEPS, ours),
        "differing": differing,
        "ratios": {name: round(other / ours, 2) for name, other in others.items()},
        "limits": {"goal-3s": round(GOAL_S / ours, 1)},
    }


def packed_case(items: list[Recording], repeats: int) -> dict[str, Any]:
    """From the cache's files, without and with the number of events."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        begin = time.process_time()
        store, parts = packed("bench", "bench", SENSOR, items)
        written = time.process_time() - begin
        frames = Frames(store, parts["train"][0], Binning(STEPS))
        needed = seconds(lambda: batched(frames), repeats)
    return {**_case("packed", len(items), STEPS, needed), "limits": {"goal-3s": round(GOAL_S / needed, 1)},
            "pack_s": round(written, 2)}  # fmt: skip


def load_case(folder: Path, repeats: int) -> dict[str, Any]:
    return _case("load", COUNT, STEPS, seconds(lambda: load("nmnist-1100", folder=str(folder)), repeats))


def rate_case(repeats: int) -> dict[str, Any]:
    x = np.random.default_rng(0).random((10_000, 1, 28, 28), dtype=np.float32)

    def all_batches() -> None:
        for at in range(0, len(x), BATCH):
            encode(x[at : at + BATCH], "rate", 8)

    return _case("fashion rate", len(x), 8, seconds(all_batches, repeats))


def network() -> SpikingGraph:
    """16 and 32 channels of 3 x 3, stride 2, LIF, and 10 outputs."""
    rng = np.random.default_rng(0)

    def conv(inputs: int, outputs: int, side: int) -> nir.Conv2d:
        weight = rng.normal(size=(outputs, inputs, 3, 3)).astype(np.float32) / (3 * inputs**0.5)
        return nir.Conv2d((side, side), weight, 2, 1, 1, 1, np.zeros(outputs, np.float32))

    def lif(*shape: int) -> nir.LIF:
        one = np.ones(shape, np.float32)
        return nir.LIF(one * 2e-3, one * 2, one * 0, one, one * 0)

    dense = rng.normal(size=(10, 32 * 81)).astype(np.float32) / 50
    nodes = {
        "input": nir.Input({"input": np.array(SENSOR)}),
        "c1": conv(2, 16, 34), "l1": lif(16, 17, 17), "c2": conv(16, 32, 17), "l2": lif(32, 9, 9),
        "flatten": nir.Flatten({"input": np.array([32, 9, 9])}, 0, -1),
        "dense": nir.Affine(dense, np.zeros(10, np.float32)), "l3": lif(10),
        "output": nir.Output({"output": np.array([10])}),
    }  # fmt: skip
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


def training_case(items: list[Recording]) -> dict[str, Any]:
    """An epoch, and the share of it that samples took."""
    from msenas_hw.training import TrainingConfig, train

    store, parts = in_memory("bench", "bench", SENSOR, items)
    rows, y = parts["train"]
    frames = Frames(store, rows, Binning(STEPS))
    cuts = {"train": slice(900), "validation": slice(900, 1000), "test": slice(1000, None)}
    columns = {f"{part}_x": frames.take(cut) for part, cut in cuts.items()}
    labels = {f"{part}_y": y[cut] for part, cut in cuts.items()}
    data = _Timed("bench", **columns, **labels, classes=10, recorded=True)
    begin = time.process_time()
    train(network(), data, "events", STEPS, TrainingConfig(epochs=1, batch=BATCH), seed=0)
    needed = time.process_time() - begin
    return {**_case("training", 900, STEPS, needed), "phase": "training",
            "limits": {"samples-share": round(_Timed.spent / needed, 4)}}  # fmt: skip


class _Timed(Dataset):
    """A data set that adds up the processor's seconds of its samples."""

    spent = 0.0

    def encoded(self, *arguments: Any) -> Any:
        begin = time.process_time()
        found = super().encoded(*arguments)
        _Timed.spent += time.process_time() - begin
        return found


def _case(name: str, samples: int, steps: int, needed: float) -> dict[str, Any]:
    return {
        "name": name, "phase": "forward", "batch": BATCH, "steps": steps, "differing": 0, "ratios": {},
        "limits": {}, "seconds": round(needed, 4), "samples_per_s": round(samples / needed),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tonic", metavar="PYTHON")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--format", choices=("json", "table"), default="table")
    options = parser.parse_args()
    items = recordings(options.folder)
    cases = [binning_case(items, options), packed_case(items, options.repeats), rate_case(options.repeats)]
    if options.folder is not None:
        cases.append(load_case(options.folder, options.repeats))
    cases.append(training_case(items))
    if options.format == "json":
        json.dump({"cases": cases}, sys.stdout, indent=2)
        return
    for case in cases:
        print(f"{case['name']:20} {case['seconds']:8.3f} s  {case['samples_per_s']:8} /s  "
              f"{case['ratios']} {case['limits']} differing {case['differing']}")  # fmt: skip


if __name__ == "__main__":
    main()
