"""A whole experiment: search, train, export, verify; for every fold where the data are dealt into folds.

    python examples/walk.py examples/nmnist.toml --run runs/nmnist
    msenas report runs/nmnist/fold-0

Each fold is an experiment of its own: the search, the choice of the network and its training see the fold's
training and validation parts alone, and its test part is read by the trained network alone. Prints each
command and the figures, and writes them to RUN/walk.json; killed, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import targets
from msenas_hw.cli.app import main as msenas
from msenas_hw.config import load_config

OVER_BUDGET = 3
MEASURED = ("test_accuracy", "accuracy_fixed", "energy_j", "latency_s", "spikes", "synops")
COUNTED = ("cores", "parameters")
# The last one is the chip's for which the program is written.
TARGETS = ("reference", "onnx", "loihi", "lava")


def call(*words: str) -> None:
    """One `msenas` command, shown first; what it ends with other than done or over budget ends the walk."""
    print("$ msenas", *words, flush=True)
    try:
        msenas(list(words))
    except SystemExit as end:
        if end.code not in (0, None, OVER_BUDGET):
            raise


def walk(config: Path, run: Path, changes: list[str], oracles: list[str]) -> dict[str, Any]:
    """Search, train, export and verify in the folder `run`; the figures of the network."""
    begin = time.perf_counter()
    if (run / "run.toml").exists():
        call("resume", str(run))
    else:
        call("search", str(config), "--run", str(run), *(word for one in changes for word in ("--set", one)))
    if not list(run.glob("artifacts/*/train.json")):
        call("train", str(run), "--arch", "chosen")
    (written,) = run.glob("artifacts/*/train.json")
    model = written.with_name("model.nir")
    call("compile", str(model), "--target", "onnx", "-o", str(written.with_name("model.onnx")))
    call("compile", str(model), "--target", oracles[-1], "-o", str(written.with_name("program.npz")))
    call("verify", str(model), *(word for one in oracles for word in ("--target", one)))
    proof = json.loads(written.with_name("verify.json").read_text())
    trained = json.loads(written.read_text())
    kept = trained["runs"][trained["kept"]]
    return {
        "run": str(run),
        "arch": trained["arch"],
        **{key: kept[key] for key in (*MEASURED, *COUNTED, "seed")},
        "pairs": len(proof["pairs"]),
        "compared": sum(pair["compared"] for pair in proof["pairs"]),
        "differing": sum(pair["differing"] for pair in proof["pairs"]),
        "seconds": time.perf_counter() - begin,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Mean and its standard error over the folds, of each measured figure."""
    columns = {key: [row[key] for row in rows] for key in MEASURED}
    return {
        key: [statistics.fmean(found), statistics.stdev(found) / math.sqrt(len(found))]
        for key, found in columns.items()
        if len(found) > 1
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument(
        "--target", action="append", help="what is verified; by default all that can run here"
    )
    asked = parser.parse_args()
    folds = load_config(asked.config).data.folds
    oracles = asked.target or [name for name in TARGETS if targets.find(name).unavailable() is None]
    rows = [
        walk(asked.config, place, changes, oracles)
        for place, changes in (
            [(asked.run / f"fold-{fold}", [f"data.fold={fold}"]) for fold in range(folds)]
            if folds
            else [(asked.run, [])]
        )
    ]
    told = {"folds": rows, "mean_and_standard_error": summary(rows)}
    (asked.run / "walk.json").write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
