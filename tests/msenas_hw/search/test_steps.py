"""Steps of a sample as a gene: every genome is measured and trained on input of its own T."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msenas_hw.config import Config
from msenas_hw.data import configured, encode
from msenas_hw.search.evaluation import evaluate, setting
from msenas_hw.space import CellGene, Genome, NodeGene, arch_id
from msenas_hw.training.initial import initial
from targets.errors import ConfigError

Make = Callable[..., Config]
CELL = CellGene("lateral_inhibition", 2, False, (NodeGene("lif", 4.0, None, 0.75, 3),))
GENOME = Genome((CELL,), frozenset({(-1, 0), (0, 1)}))


def test_there_is_one_encoded_batch_of_the_same_samples_for_every_t(config: Make) -> None:
    made = config(space={"steps": [3, 6]})
    given, data = setting(made), configured(made.data)
    rows = np.linspace(0, len(data.train_y) - 1, made.data.samples).round().astype(int)
    for steps in (3, 4, 6):
        genome = replace(GENOME, steps=steps)
        wanted = encode(np.asarray(data.part("train")[0])[rows], "rate", steps)
        assert np.array_equal(given.inputs(genome), wanted)
    assert given.inputs(GENOME) is given.x
    with pytest.raises(ConfigError, match=r"genome of 5 steps: allowed 3, 4, 6"):
        given.inputs(replace(GENOME, steps=5))


def test_the_digest_covers_every_batch_and_is_the_old_one_without_the_gene(config: Make) -> None:
    plain, own, more = (setting(config(space=s)).digest() for s in ({}, {"steps": [4]}, {"steps": [4, 6]}))
    assert plain == own != more


def test_the_number_of_steps_decides_what_is_measured(config: Make) -> None:
    given = setting(config(space={"steps": [4, 8]}))
    found = {}
    for steps in (4, 8):
        genome = replace(GENOME, steps=steps)
        found[steps] = evaluate(genome, arch_id(genome, given.task), given)
        assert not found[steps].failure
        assert found[steps].alive
    assert found[8].latency_s > 1.3 * found[4].latency_s
    assert found[8].parameters == found[4].parameters
    # A search on data of 8 steps finds the same network under the same name.
    long = setting(config(data={"steps": 8, "samples": 4}))
    same = evaluate(GENOME, arch_id(GENOME, long.task), long)
    assert (same.arch, same.fitness, same.energy_j) == (found[8].arch, found[8].fitness, found[8].energy_j)


def test_training_begins_with_the_network_balanced_on_its_own_steps(config: Make) -> None:
    given, long = setting(config(space={"steps": [8]})), setting(config(data={"steps": 8, "samples": 4}))
    (one, draw), (other, again) = (
        initial(replace(GENOME, steps=8), given, 0),
        initial(GENOME, long, 0),
    )
    assert draw == again
    assert one.metadata["msenas_steps"] == other.metadata["msenas_steps"] == 8
    for name, node in one.nodes.items():
        assert not hasattr(node, "weight") or np.array_equal(node.weight, other.nodes[name].weight)


def test_recordings_have_their_own_steps(config: Make, tmp_path: Path) -> None:
    events: Any = (np.random.default_rng(0).random((12, 4, 1, 3, 3)) < 0.3).astype(np.float32)
    np.savez(tmp_path / "e.npz", x=events, y=np.arange(12) % 2)
    section = {
        "name": str(tmp_path / "e.npz"),
        "encoding": "events",
        "steps": 4,
        "samples": 2,
        "validation": 2,
    }
    assert setting(config(data=section, space={"steps": [4]})).x.shape[0] == 4
    with pytest.raises(ConfigError, match=r"space\.steps: found 6.*recorded in 4 steps"):
        setting(config(data=section, space={"steps": [4, 6]}))
