"""`msenas cost`: several networks, several devices, a run's front, an own device file."""

from __future__ import annotations

import json
from itertools import pairwise

import nir
import numpy as np
import pytest
from scipy.stats import kendalltau

import cost_models
import targets
from msenas_hw.search import Study

DATA = ("--data", "digits", "--steps", "6", "--samples", "4", "--format", "json")
DEVICES = ("--device", "loihi1-sanafe", "--device", "spinnaker2", "--device", "gpu-h100")
CONFIG = """
[data]
steps = 4
samples = 4
[space]
cells = [1, 2]
widths = [2, 3]
kernels = [3]
[search]
population = 6
generations = 2
seed = 1
"""


@pytest.fixture
def models(tmp_path):
    """Three networks on digits; more hidden neurons reach a lower share of targets."""
    found = []
    for width, density in ((8, 1.0), (24, 0.2), (40, 0.6)):
        rng = np.random.default_rng(width)

        def neurons(count: int) -> nir.IF:
            return nir.IF(r=np.full(count, 1000.0), v_threshold=np.ones(count), v_reset=np.zeros(count))

        first = rng.integers(-16, 33, (width, 64)) / 256 * (rng.random((width, 64)) < density)
        nodes = {
            "input": nir.Input({"input": np.array([64])}),
            "w1": nir.Linear(first),
            "a": neurons(width),
            "w2": nir.Linear(rng.integers(-16, 33, (10, width)) / 256),
            "b": neurons(10),
            "output": nir.Output({"output": np.array([10])}),
        }
        graph = targets.SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})
        targets.save(graph, tmp_path / f"{width}.nir")
        found.append(tmp_path / f"{width}.nir")
    return found


def test_several_networks_and_devices_rank(run, models):
    code, out, err = run("cost", *models, *DEVICES, *DATA)
    costs = json.loads(out)
    assert code == 0
    assert [cost["model"] for cost in costs] == [str(path) for path in models for _ in range(3)]
    energies = {d: [c["energy_j"] for c in costs if c["device"] == d] for d in DEVICES[1::2]}
    expected = kendalltau(energies["loihi1-sanafe"], energies["spinnaker2"]).statistic
    assert costs[0]["kendall_tau"]["spinnaker2"] == pytest.approx(expected)
    assert set(costs[0]["kendall_tau"]) == {"spinnaker2", "gpu-h100"}
    assert "least under every device" in err
    assert "values were not recorded" not in err


def test_one_network_has_no_rank_and_shows_sources_bands_and_kinds(run, models):
    code, out, err = run("cost", models[0], *DEVICES, *DATA[:-2])
    assert code == 0
    for word in (
        "low_j",
        "high_j",
        "static_j",
        "grade",
        "scope",
        "measured",
        "vendor",
        "SANA-FE",
        "soma_access",
    ):
        assert word in out
    assert "kendall_tau" not in out
    assert "spinnaker2 leaves out: static power" in err


def test_a_batch_lowers_the_share_of_a_sample_on_a_gpu_only(run, models):
    one, many = (json.loads(run("cost", models[0], *DEVICES, *DATA, "--batch", b)[1]) for b in (1, 64))
    shares = {a["device"]: b["energy_j"] / a["energy_j"] for a, b in zip(one, many, strict=True)}
    assert shares["gpu-h100"] < 0.05
    assert shares["loihi1-sanafe"] == shares["spinnaker2"] == 1


def test_a_device_is_a_file_too(run, models, tmp_path):
    text = cost_models.device.files("cost_models").joinpath("devices/spinnaker2.toml").read_text()
    (tmp_path / "mine.toml").write_text(
        text.replace('name = "spinnaker2"', 'name = "mine"').replace("450e-12", "900e-12")
    )
    device = ("--device", "spinnaker2", "--device", tmp_path / "mine.toml")
    ours, mine = json.loads(run("cost", models[0], *device, *DATA)[1])
    assert mine["device"] == "mine"
    assert mine["terms"]["synapse"] == pytest.approx(2 * ours["terms"]["synapse"])
    code, _, err = run("cost", models[0], "--device", "spinaker2", *DATA)
    assert code == 2
    assert "did you mean 'spinnaker2'" in err


def test_no_device_and_one_without_costs_are_usage_errors(run, models):
    assert run("cost", models[0], *DATA)[0] == 2
    code, _, err = run("cost", models[0], "--device", "loihi2", *DATA)
    assert code == 2
    assert "'loihi2' has limits and no energy model" in err


def test_a_run_gives_the_costs_of_its_front_as_the_search_found_them(run, tmp_path):
    (tmp_path / "tiny.toml").write_text(CONFIG)
    assert run("search", tmp_path / "tiny.toml", "--run", tmp_path / "run")[0] == 0
    code, out, _ = run("cost", tmp_path / "run", "--device", "loihi1-sanafe", "--format", "json")
    found = {cost["model"]: cost["energy_j"] for cost in json.loads(out)}
    front = {trial.key: trial.measured.energy_j for trial in Study.open(tmp_path / "run").front()}
    assert code == 0
    assert found == pytest.approx(front, rel=1e-9)
