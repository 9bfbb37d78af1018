"""Learning rules as genes: they belong to the genome and not to the architecture."""

from __future__ import annotations

import numpy as np

from msenas_hw.space import (
    Genome,
    SpaceConfig,
    Task,
    arch_id,
    canonical,
    decode,
    rules_of,
    sample,
    vary_rules,
)

TASK = Task((1, 8, 8), 10, 6)
CONFIG = SpaceConfig.model_validate({"rules": ("bp", "usf", "dfa+trace")})


def test_rules_leave_name_and_network_of_an_architecture_as_they_are() -> None:
    genome = sample(np.random.default_rng(1), CONFIG, TASK)
    varied = vary_rules(genome, np.random.default_rng(2), CONFIG)

    assert varied != genome
    assert arch_id(varied, TASK) == arch_id(genome, TASK) == arch_id(genome.without_rules(), TASK)
    for name, node in decode(genome.without_rules(), TASK).nodes.items():
        if hasattr(node, "weight"):
            assert np.array_equal(node.weight, decode(varied.without_rules(), TASK).nodes[name].weight)


def test_every_layer_of_the_network_has_a_rule_and_the_text_keeps_it() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        genome = vary_rules(sample(rng, CONFIG, TASK), rng, CONFIG)
        assert set(rules_of(genome, TASK)) == set(decode(genome, TASK).populations)
        assert Genome.from_json(genome.to_json()) == genome
        again = canonical(Genome.from_json(genome.to_json()), TASK)
        assert rules_of(again, TASK) == rules_of(genome, TASK)


def test_a_rate_of_zero_varies_nothing_and_one_reaches_every_rule() -> None:
    rng = np.random.default_rng(4)
    genome = sample(rng, CONFIG, TASK)
    assert vary_rules(genome, rng, CONFIG, 0.0) == genome
    varied = [vary_rules(genome, rng, CONFIG) for _ in range(50)]
    assert {genome.readout_rule for genome in varied} == set(CONFIG.rules)
    assert {genome.cells[0].nodes[0].rule for genome in varied} == set(CONFIG.rules)
    assert {rules_of(genome, TASK)["readout"] for genome in varied} == {"bp", "usf", "bp+trace"}


def test_a_space_of_one_rule_is_the_space_without_rules() -> None:
    plain = SpaceConfig.model_validate({})
    for seed in range(5):
        genome = sample(np.random.default_rng(seed), plain, TASK)
        assert genome == genome.without_rules()
        assert "rule" not in genome.to_json()
