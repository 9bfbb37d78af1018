from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from msenas_hw.config import Config, parse_config
from msenas_hw.search import Measured, pool
from msenas_hw.space import Genome


def invented(genome: Genome, arch: str, given: Any) -> Measured:
    """Figures that depend on the genome alone and can be had at once."""
    text = genome.to_json()
    chance = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    size = sum(cell.width * len(cell.nodes) for cell in genome.cells)
    return Measured(
        arch,
        text,
        fitness=chance * size**0.5,
        per_draw=(chance, chance + 0.01),
        alive=chance > 0.1,
        energy_j=size * 1e-8,
        latency_s=len(genome.cells) * 1e-5,
        spikes=10.0,
        synops=100.0,
        cores=size,
        parameters=size * 9,
        motifs=tuple(cell.motif for cell in genome.cells),
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations in this process cost nothing."""
    monkeypatch.setattr(pool, "evaluate", invented)
    monkeypatch.setattr(pool, "Processes", lambda workers, setting, timeout_s: pool.Alone(setting))


@pytest.fixture
def config() -> Callable[..., Config]:
    """A small experiment; keywords replace sections."""

    def make(**sections: dict[str, Any]) -> Config:
        search = {"population": 8, "generations": 4, "seed": 3} | sections.pop("search", {})
        given = {"data": {"samples": 4, "steps": 4}, "search": search, **sections}
        return parse_config(given, "test")

    return make
