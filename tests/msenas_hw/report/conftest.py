from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from msenas_hw.config import Config, parse_config
from msenas_hw.search import Generation, Measured, RunFolder, Store, Study, Trial
from msenas_hw.space import CellGene, Genome, NodeGene

GENE = NodeGene("lif", 4.0, None, 1.0, 3)


def small(width: int, motif: str = "lateral_inhibition") -> Genome:
    """One cell between Input and readout."""
    nodes = (GENE,) * (2 if motif == "feed_forward_excitation" else 1)
    return Genome((CellGene(motif, width, True, nodes),), frozenset({(-1, 0), (0, 1)}))


ROWS = (
    Measured("slow", small(4).to_json(), 0.3, alive=True, energy_j=3e-6, latency_s=1e-4,
             spikes=20.0, synops=300.0, cores=2, parameters=40, motifs=("lateral_inhibition",)),
    Measured("lean", small(3).to_json(), 0.2, alive=True, energy_j=1e-6, latency_s=1e-4,
             spikes=10.0, synops=100.0, cores=1, parameters=30),
    Measured("poor<b>", small(5).to_json(), 0.1, alive=True, energy_j=5e-6, latency_s=2e-4,
             spikes=30.0, synops=500.0, cores=3, parameters=50),
    Measured("dead", small(2).to_json(), reason="draw 0, node 'cell1.E': silent"),
    Measured("wide", small(6).to_json(), 0.4, alive=True, cores=200, parameters=60, misfit=0.5,
             broken=({"rule": "cores_fit_chip", "node": "", "found": 200, "allowed": 128, "hint": ""},)),
)  # fmt: skip


@pytest.fixture
def rows() -> tuple[Measured, ...]:
    """The invented evaluations."""
    return ROWS


@pytest.fixture
def fill() -> Callable[..., Study]:
    """Put invented evaluations into a store: `fill(config, path, rows)`."""

    def make(config: Config, path: Path | None = None, rows: tuple[Measured, ...] = ROWS) -> Study:
        store = Store(path)
        for row in rows:
            store.add(row.arch, "s", replace(row, seconds=0.5))
        trials = [Trial(i, 1 + i // 3, row.arch, row) for i, row in enumerate(rows)]
        for generation in sorted({trial.generation for trial in trials}):
            told = [trial for trial in trials if trial.generation == generation]
            store.tell("s", told, Generation(generation, told[-1].number + 1, 2, 0.25 * generation))
        return Study(config, store)

    return make


@pytest.fixture
def study(fill: Callable[..., Study]) -> Study:
    """Two networks on the front, one dominated, one dead, one that does not fit."""
    return fill(Config())


@pytest.fixture
def config() -> Config:
    return parse_config(
        {
            "data": {"samples": 4, "steps": 4, "validation": 50},
            "budget": {"energy_j": 4e-6},
            "training": {"seeds": [0, 1]},
        },
        "test",
    )


@pytest.fixture
def run(tmp_path: Path, config: Config, fill: Callable[..., Study]) -> Path:
    """A run folder with the invented evaluations."""
    path = tmp_path / "run"
    path.mkdir()
    RunFolder(path, config, "complete", "slow").write()
    fill(config, path / "study.sqlite").store.close()
    return path


@pytest.fixture
def trained(run: Path, config: Config) -> Path:
    """The run folder with network `slow` trained and verified."""
    import targets
    from msenas_hw.search import setting
    from msenas_hw.space import decode

    place = run / "artifacts" / "slow"
    place.mkdir(parents=True)
    targets.save(decode(small(4), setting(config).task, 0), place / "model.nir")
    seeds = [
        {"seed": seed, "draw": seed, "validation_accuracy": 0.8 + seed / 10, "test_accuracy": 0.7 + seed / 10,
         "accuracy_fixed": 0.7, "energy_j": 2e-6, "latency_s": 1e-4, "spikes": 9.0, "synops": 90.0,
         "cores": 2, "parameters": 40, "within_budget": True}
        for seed in (0, 1)
    ]  # fmt: skip
    table: dict[str, Any] = {"arch": "slow", "model": "model.nir", "kept": 1, "runs": seeds}
    (place / "train.json").write_text(json.dumps(table))
    pair = {"a": "reference", "b": "onnx", "arithmetic": "float32", "compared": 50, "differing": 0,
            "states_differing": None, "first": None, "rounding": 0}  # fmt: skip
    agreement = {"agree": True, "pairs": [pair], "quantisation": None, "ran_on": {}, "skipped": {}}
    (place / "verify.json").write_text(json.dumps(agreement))
    return run
