"""Device files: every constant has a source, and a wrong file is named with its key."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import cost_models
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.run import Run

GOOD = cost_models.device.files("cost_models").joinpath("devices/loihi1-sanafe.toml").read_text()


def graph_and_run():
    one = np.ones(2, np.float32)
    nodes = {
        "input": nir.Input(np.array([3])),
        "w": nir.Linear(np.ones((2, 3), np.float32)),
        "lif": nir.LIF(tau=one * 0.01, r=one, v_leak=one * 0, v_threshold=one, v_reset=one * 0),
        "output": nir.Output(np.array([2])),
    }
    graph = SpikingGraph.build(nodes, [("input", "w"), ("w", "lif"), ("lif", "output")], {"dt": 1e-3})
    counts = {"input": np.array([4, 0, 2]), "lif": np.array([1, 1])}
    return graph, Run({}, counts, {}, "by hand", 0.0, 5, 2)


def test_bundled_devices_give_source_grade_scope_and_point():
    found = cost_models.devices()
    assert {"loihi1", "loihi1-sanafe", "loihi2", "gpu-h100", "cmos45-fp32"} <= set(found)
    for name, device in found.items():
        assert device.name == name
        assert device.omitted
        for constant in device.constants.values():
            assert constant.source
            assert constant.scope
            assert constant.operating_point
            assert constant.grade in ("measured", "simulated", "derived", "vendor")


@pytest.mark.parametrize("band", ["[1.1, 2.0]", "[0.5, 0.9]", "[1.0]", "2.0"])
def test_a_band_holds_the_estimate(tmp_path, band):
    graph, run = graph_and_run()
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("value = [0.88, 1.12]", f"value = {band}"))
    with pytest.raises(ConfigError, match=r"constants\.band_energy: found"):
        cost_models.estimate(graph, run, path)


def test_own_file_changes_the_price(tmp_path):
    graph, run = graph_and_run()
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("value = 35.5e-12", "value = 71.0e-12").replace('"loihi1-sanafe"', '"mine"'))
    ours, mine = (cost_models.estimate(graph, run, d) for d in ("loihi1-sanafe", path))
    assert mine.terms["synapse"] == pytest.approx(2 * ours.terms["synapse"])
    assert mine.device == "mine"
    assert cost_models.check(graph, str(path)).cores == 1
    path.write_text(GOOD)
    assert cost_models.estimate(graph, run, path).energy_j == ours.energy_j


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "J"\n', "", "constants.energy_synapse_dense.unit is missing"),
        ('grade = "measured"', 'grade = "guess"', "constants.energy_synapse_dense.grade: found 'guess'"),
        ("value = 35.5e-12", 'value = "35.5 pJ"', "constants.energy_synapse_dense.value: found '35.5 pJ'"),
        ("value = 35.5e-12", "value = -1.0", "found -1.0, allowed a finite number >= 0"),
        ("value = 35.5e-12", "value = nan", "allowed a finite number"),
        ("[constants.energy_axon_out]", "[constants.energy_axonout]", "constants.energy_axon_out is missing"),
        ('model = "loihi1_sanafe"', 'model = "loihi9"', "model: found 'loihi9'"),
        ('model = "loihi1_sanafe"', 'modle = "loihi1_sanafe"', "did you mean 'model'"),
        ('chip = "loihi1"', 'chip = "loihi3"', "unknown device 'loihi3'"),
        ('chip = "loihi1"', 'chip = "loihi1', "is not TOML"),
        ("[[1, 0.6e-6], [2, 1.0e-6]", "[[2, 0.6e-6], [1, 1.0e-6]", "ascending"),
    ],
)
def test_a_wrong_file_names_file_and_key(tmp_path, old, new, said):
    graph, run = graph_and_run()
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        cost_models.estimate(graph, run, path)
    assert said in str(caught.value)
    assert "mine.toml" in str(caught.value) or "unknown device" in str(caught.value)


def test_unknown_devices_and_missing_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'loihi1-sanafe'"):
        cost_models.load_device("loihi1-sanfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        cost_models.load_device(tmp_path / "none.toml")
