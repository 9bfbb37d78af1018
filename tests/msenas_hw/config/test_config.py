from __future__ import annotations

from pathlib import Path

import pytest

from msenas_hw.config import Config, load_config, parse_config
from targets.errors import ConfigError

GOOD = """
[data]
steps = 6
[search]
population = 8
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "experiment.toml"
    file.write_text(text)
    return file


def test_sections_left_out_take_defaults(tmp_path):
    config = load_config(written(tmp_path, GOOD))
    assert (config.data.steps, config.search.population) == (6, 8)
    assert config.budget.device == "loihi1-sanafe"
    assert config.budget.limits == {}


def test_overrides_are_toml_values_or_bare_text(tmp_path):
    file = written(tmp_path, GOOD)
    config = load_config(file, ["search.population=64", "budget.energy_j=1e-6", "data.encoding=latency"])
    assert config.search.population == 64
    assert config.budget.limits == {"energy_j": 1e-6}
    assert config.data.encoding == "latency"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[search]\npopulaton = 3\n", ("search.populaton", "'population'", "experiment.toml")),
        ("[serch]\n", ("'serch'", "'search'")),
        ("[data]\nwidths = [3]\n", ("data.widths", "'space.widths'")),
        ("[data]\nsteps = 0\n", ("data.steps", "found 0", "greater than or equal to 1")),
        ("[data]\nencoding = 'x'\n", ("data.encoding", "found 'x'", "'rate', 'latency'")),
        ("[search]\nseed = 'one'\n", ("search.seed", "found 'one'", "integer")),
        ("[budget]\nenergy_j = -1.0\n", ("budget.energy_j", "found -1.0", "greater than 0")),
        ("[data\n", ("not valid TOML", "experiment.toml")),
    ],
)
def test_a_wrong_config_names_key_found_and_allowed(tmp_path, text, wanted):
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    for part in wanted:
        assert part in str(caught.value)


def test_all_problems_are_listed_at_once():
    with pytest.raises(ConfigError, match="2 problems") as caught:
        parse_config({"data": {"steps": 0}, "search": {"seeed": 1}}, "here")
    assert "data.steps" in str(caught.value)
    assert "did you mean 'seed'" in str(caught.value)


def test_a_missing_or_binary_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.toml")
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file)


@pytest.mark.parametrize("override", ["population=3=", "search.population", "=3", "search..population=3"])
def test_a_malformed_override_is_refused(tmp_path, override):
    with pytest.raises(ConfigError):
        load_config(written(tmp_path, GOOD), [override])


def test_an_override_cannot_go_below_a_value(tmp_path):
    with pytest.raises(ConfigError, match="is a value"):
        load_config(written(tmp_path, GOOD), ["data.steps.more=1"])


def test_a_relative_npz_starts_at_the_config(tmp_path):
    config = load_config(written(tmp_path, "[data]\nname = 'own.npz'\n"))
    assert config.data.name == str((tmp_path / "own.npz").resolve())


def test_the_resolved_config_reads_back_equal():
    config = parse_config({"budget": {"energy_j": 2e-6}, "training": {"seeds": [1, 2]}}, "here")
    assert parse_config(config.model_dump(mode="json", exclude_none=True), "again") == config


def test_training_and_workers_do_not_change_the_search():
    base = Config()
    assert base.same_search(parse_config({"search": {"workers": 2}, "training": {"epochs": 1}}, "x"))
    assert not base.same_search(parse_config({"search": {"seed": 1}}, "x"))


def test_the_quickstart_is_valid():
    file = Path(__file__).parents[3] / "examples" / "quickstart.toml"
    assert load_config(file).data.name == "digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data = 3", r"data: found 3, allowed a section"),
        ("[space]\ncells = [3, 1]", r"space\.cells: found \(3, 1\), allowed \(fewest, most\)"),
        ("[space]\ncells = []", r"space\.cells\.0: missing; space\.cells is \[\]"),
        ("[budget]\nenergy_j = inf", r"budget\.energy_j: found inf, allowed a finite number"),
    ],
)
def test_wrong_shapes_are_told_in_plain_words(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path, text))


def test_paths_start_at_the_file_or_in_overrides_at_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = written(tmp_path, '[data]\nname = "own.npz"\n[budget]\nchip = "my.toml"\n')
    config = load_config(file)
    assert (config.data.name, config.budget.chip) == (str(tmp_path / "own.npz"), str(tmp_path / "my.toml"))
    config = load_config(file, ["data.name=other.npz"])
    assert config.data.name == str(tmp_path / "here" / "other.npz")


def test_devices_are_a_list_or_tables_and_the_first_is_the_device():
    listed = parse_config({"budget": {"devices": ["loihi2-empirical", "gpu-h100"], "energy_j": 1e-3}}, "test")
    assert (listed.budget.device, list(listed.budget.devices)) == ("loihi2-empirical", ["gpu-h100"])
    assert listed.budget.limits == {"energy_j": 1e-3}
    tables = parse_config(
        {"budget": {"devices": {"loihi2-empirical": {"cores": 9}, "gpu-h100": {"latency_s": 2e-3}}}}, "test"
    )
    assert (tables.budget.device, tables.budget.limits) == ("loihi2-empirical", {"cores": 9.0})
    assert tables.budget.devices["gpu-h100"].limits == {"latency_s": 2e-3}
    beside = parse_config(
        {"budget": {"device": "loihi1-sanafe", "devices": {"gpu-h100": {"energy_j": 1.0}}}}, "test"
    )
    assert beside.budget.device == "loihi1-sanafe"
    for config in (listed, tables, beside):
        assert parse_config(config.model_dump(mode="json", exclude_none=True), "again") == config


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"devices": ["gpu-h100", "gpu-h100"]}, "each device once"),
        ({"device": "gpu-h100", "devices": {"gpu-h100": {}}}, "budget.devices: found 'gpu-h100' again"),
        ({"device": "gpu-h100", "devices": {"xylo-a2": {"energy": 1}}}, "did you mean"),
    ],
)
def test_devices_that_make_no_sense_are_refused(budget, message):
    with pytest.raises(ConfigError) as caught:
        parse_config({"budget": budget}, "test")
    assert message in str(caught.value)
