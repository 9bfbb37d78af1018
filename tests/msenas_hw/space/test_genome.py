from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from msenas_hw.space import CellGene, Genome, NodeGene, SpaceConfig, Task, sample
from targets.errors import ConfigError

CELL = CellGene("lateral_inhibition", 4, False, (NodeGene("if", None, None, 1.0, 3),))


def test_json_round_trip_is_exact() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        genome = sample(rng, SpaceConfig(), Task((1, 8, 8), 10, 8))
        text = genome.to_json()
        assert Genome.from_json(text) == genome
        assert Genome.from_json(text).to_json() == text
        assert sorted(json.loads(text)) == ["cells", "feedback", "forward"]


def test_what_goes_without_saying_is_not_written_and_old_text_still_reads() -> None:
    plain = Genome((CELL,), frozenset({(-1, 0), (0, 1)}))
    written = json.loads(plain.to_json())
    assert sorted(written["cells"][0]["nodes"][0]) == ["kernel", "model", "tau", "tau_syn", "threshold"]
    spoken = Genome(
        (CellGene("lateral_inhibition", 4, False, (NodeGene("if", None, None, 1.0, 3, weight_bits=5),)),),
        plain.forward,
        readout_bits=4,
        steps=6,
    )
    assert Genome.from_json(spoken.to_json()) == spoken
    written = json.loads(spoken.to_json())
    assert (written["readout_bits"], written["steps"]) == (4, 6)
    assert written["cells"][0]["nodes"][0]["weight_bits"] == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [({"steps": 0}, "steps: found 0"), ({"steps": "6"}, "steps: found '6'"), ({"readout_bits": 9}, "is 9")],
)
def test_genome_refuses_bad_genes(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Genome((CELL,), frozenset({(-1, 0), (0, 1)}), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("forward", "feedback"),
    [({(-1, 2)}, set()), ({(1, 1)}, set()), ({(0, 3)}, set()), (set(), {(0, 1)}), (set(), {(1, 1)})],
)
def test_connection_outside_its_range_is_refused(forward: set[object], feedback: set[object]) -> None:
    with pytest.raises(ConfigError, match="connection"):
        Genome((CELL, CELL), frozenset(forward), frozenset(feedback))  # type: ignore[arg-type]


def test_number_of_node_genes_must_match_the_motif() -> None:
    with pytest.raises(ConfigError, match=r"mutual_inhibition.*1 node genes, allowed 2"):
        Genome((CellGene("mutual_inhibition", 4, False, CELL.nodes),), frozenset({(-1, 0), (0, 1)}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": [{}], "forward": [], "feedback": []}'])
def test_text_that_is_no_genome_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a genome"):
        Genome.from_json(text)


@pytest.mark.parametrize(
    "bad",
    [
        {"width": (8,)},
        {"cells": (3, 2)},
        {"kernels": (4,)},
        {"taus": (0.5,)},
        {"models": ("if", "if")},
        {"weight_bits": (3,)},
        {"weight_bits": (9,)},
        {"weight_bits": ()},
        {"steps": (2,)},
        {"steps": (4, 4)},
    ],
)
def test_space_refuses_unknown_keys_and_bad_ranges(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SpaceConfig(**bad)


@pytest.mark.parametrize(
    "bad", [((1, 1, 1), 10, 8), ((0, 8, 8), 10, 8), ((1, 8, 8), 1, 8), ((1, 8, 8), 10, 2)]
)
def test_task_refuses_bad_ranges(bad: tuple[tuple[int, int, int], int, int]) -> None:
    with pytest.raises(ConfigError, match="task"):
        Task(*bad)


@pytest.mark.parametrize(
    ("gene", "message"),
    [
        (("alif", 2.0, None, 1.0, 3), "model"),
        (("lif", None, None, 1.0, 3), "tau is None"),
        (("cubalif", 2.0, 0.5, 1.0, 3), "tau_syn is 0.5"),
        (("if", None, None, 0.0, 3), "threshold"),
        (("if", None, None, 1.0, 4), "kernel"),
    ],
)
def test_node_gene_refuses_bad_values(gene: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NodeGene(*gene)  # type: ignore[arg-type]
