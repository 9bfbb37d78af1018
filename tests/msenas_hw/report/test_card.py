from __future__ import annotations

import json

import numpy as np
import pytest

import targets
from cost_models import load_device
from msenas_hw.report.card import PREFIX, card, metadata, write_cards
from targets.errors import DataError


def test_a_card_says_data_accuracy_counts_estimates_and_licence(trained):
    (file,) = write_cards(trained)
    text = file.read_text()
    assert file == trained / "artifacts" / "slow" / "card.md"
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Data", "Accuracy", "Counts", "Estimates", "Agreement of the targets", "Licence", "Versions",
    ]  # fmt: skip
    deviation = float(np.std([0.7, 0.8], ddof=1))
    assert f"Test accuracy 0.7500 in the mean of seeds 0, 1 (standard deviation {deviation:.4f})" in text
    assert "* chance: 0.1\n" in text
    assert "reference and onnx in float32: 0 of 50 neuron-steps differ" in text
    for said in load_device("loihi1-sanafe").omitted:
        assert f"* {said}\n" in text
    assert "UCI" in text.split("## Licence")[1]


def test_bands_are_those_of_the_device(trained):
    low, high = load_device("loihi1-sanafe").band("energy")
    found = card(trained, "slow")["estimates"]
    assert found["energy_band"] == [pytest.approx(2e-6 * low), pytest.approx(2e-6 * high)]


def test_controls_are_chance_and_every_other_trained_network(trained):
    source = trained / "artifacts" / "slow" / "train.json"
    for place in ("artifacts/lean", "baselines/random-0/artifacts/other"):
        (trained / place).mkdir(parents=True)
        (trained / place / "train.json").write_text(source.read_text())
    assert [row["what"] for row in card(trained, "slow")["accuracy"]["controls"]] == [
        "chance",
        "network lean of the same search",
        "network other of baselines/random-0",
    ]


def test_keys_survive_a_nir_file(trained, tmp_path):
    keys = metadata(card(trained, "slow"))
    assert all(key.startswith(PREFIX) and isinstance(value, str) for key, value in keys.items())
    assert json.loads(keys["card.accuracy.seeds"]) == [0, 1]
    graph = targets.load(trained / "artifacts" / "slow" / "model.nir")
    targets.save(graph.replace(metadata=keys), tmp_path / "m.nir")
    assert {k: v for k, v in targets.load(tmp_path / "m.nir").metadata.items() if k in keys} == keys


def test_a_network_that_is_not_trained_has_no_card(trained):
    with pytest.raises(DataError, match=r"no trained network; make one with: msenas train .* --arch lean"):
        card(trained, "lean")
