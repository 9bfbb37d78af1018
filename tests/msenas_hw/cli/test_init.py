from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from msenas_hw.cli.app import main
from msenas_hw.cli.init import attributes, template
from msenas_hw.config import Config, SearchConfig, load_config, parse_config


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["init", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_what_is_written_reads_as_the_defaults(capsys):
    code, out, _ = call(capsys)
    assert code == 0
    assert parse_config(tomllib.loads(out), "init") == Config()


def test_every_key_stands_there_once(capsys):
    _, out, _ = call(capsys)
    for section, field in Config.model_fields.items():
        part = out.split(f"\n[{section}]\n")[1].split("\n[")[0]
        found = re.findall(r"^(?:# )?(\w+) = ", part, re.M)
        assert found == list(field.annotation.model_fields), section


def test_meaning_and_allowed_values_stand_above_a_key(capsys):
    _, out, _ = call(capsys)
    assert attributes(SearchConfig)["draws"] == "weight draws over which the fitness is averaged"
    assert "# weight draws over which the fitness is averaged\n# allowed: at least 2\ndraws = 2\n" in out
    assert "# allowed: rate | latency | graded | events\n" in out
    assert all(len(line) <= 102 for line in out.splitlines() if line.startswith("#"))


def test_data_and_device_are_written_and_checked(capsys, tmp_path):
    path = tmp_path / "config.toml"
    code, out, err = call(capsys, "--data", "nmnist", "--device", "loihi2-empirical", "-o", path)
    assert (code, out) == (0, "")
    assert f"msenas search {path}" in err
    config = load_config(path)
    assert (config.data.name, config.data.encoding) == ("nmnist", "events")
    assert config.budget.device == "loihi2-empirical"
    before = path.read_text()
    code, _, err = call(capsys, "-o", path)
    assert (code, path.read_text()) == (2, before)
    assert "exists already" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "fashon-mnist"], "did you mean 'fashion-mnist'?"),
        (["--device", "loihi2"], "allowed loihi2-empirical"),
        (["--device", "loihi9"], "loihi9"),
        (["-o", "no/folder/c.toml"], "does not exist; make it first"),
    ],
)
def test_refusals(capsys, arguments, message):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_value_of_the_user_is_toml():
    text = template({"data": {"name": 'C:\\"x".npz'}})
    assert tomllib.loads(text)["data"]["name"] == 'C:\\"x".npz'


def test_the_shell_completes_verbs():
    program = [sys.executable, "-c", "from msenas_hw.cli.app import main; main()"]
    environment = {
        "PATH": "", "_MSENAS_COMPLETE": "complete_bash", "COMP_WORDS": "msenas comp", "COMP_CWORD": "1",
    }  # fmt: skip
    root = Path(__file__).parents[3]
    found = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["compile", "compare"] or found.stdout.split() == ["compare", "compile"]
