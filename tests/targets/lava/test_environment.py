"""Finding, probing and making Lava's environment."""

from __future__ import annotations

import sys

import pytest

from targets.errors import ConfigError, TargetUnavailableError
from targets.lava import environment
from targets.lava.target import LavaTarget

# What a working interpreter of Python 3.10 tells.
SAID = '{"version": "0.10.0", "runs": "3.10.9", "lava_dl": "0.6.0"}'


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No environment in the current folder, beside the project, or by variable."""
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(environment, "FOLDER", ".venv-that-is-not-there")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_no_environment_says_where_it_looked_and_what_to_do(nowhere):
    with pytest.raises(TargetUnavailableError, match=r"(?s)MSENAS_LAVA_PYTHON.*doctor --install-lava"):
        environment.probe()
    assert "install-lava" in str(LavaTarget().unavailable())


def test_the_variable_comes_before_the_folder(nowhere, monkeypatch):
    inside = program(nowhere / ".venv-that-is-not-there" / "bin" / "python", "#!/bin/sh\n")
    assert environment.interpreter() == inside
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    assert str(environment.interpreter()) == sys.executable


def test_a_variable_that_names_no_program_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "python"))
    with pytest.raises(TargetUnavailableError, match="no program that runs"):
        environment.interpreter()


def test_an_interpreter_without_lava_names_the_missing_module():
    with pytest.raises(TargetUnavailableError, match="No module named 'lava'"):
        environment.probe(environment.Path(sys.executable))


def test_a_file_that_is_no_program_is_refused(tmp_path):
    with pytest.raises(TargetUnavailableError, match="does not run"):
        environment.probe(program(tmp_path / "python", "no interpreter line"))


def test_an_interpreter_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "PROBE_TIMEOUT_S", 0.3)
    with pytest.raises(TargetUnavailableError, match=r"did not import Lava in 0\.3 s"):
        environment.probe(program(tmp_path / "python", "#!/bin/sh\nexec sleep 30\n"))


@pytest.fixture
def fake_python(monkeypatch, tmp_path):
    """Make `python -m venv` give an environment whose python runs the given shell text."""

    def replace(inside):
        made = "mkdir -p $3/bin; touch $3/pyvenv.cfg; cat > $3/bin/python <<'EOF'"
        script = f"#!/bin/sh\n{made}\n#!/bin/sh\n{inside}\nEOF\nchmod +x $3/bin/python\n"
        monkeypatch.setattr(sys, "executable", str(program(tmp_path / "fake" / "python", script)))
        return tmp_path / "made"

    return replace


def test_a_failed_installation_leaves_nothing(fake_python):
    folder = fake_python("echo no such wheel; exit 7")
    with pytest.raises(TargetUnavailableError, match=r"(?s)exit code 7.*no such wheel"):
        environment.install(folder / "lava")
    assert list(folder.iterdir()) == []


def test_a_failed_installation_keeps_the_broken_one_and_a_good_one_replaces_it(fake_python):
    folder = fake_python("exit 7")
    old = program(folder / "lava" / "bin" / "python", "#!/bin/sh\nexit 1\n")
    (folder / "lava" / "pyvenv.cfg").touch()
    with pytest.raises(TargetUnavailableError):
        environment.install(folder / "lava")
    assert old.exists()
    fake_python(f"echo '{SAID}'")
    made = environment.install(folder / "lava")
    assert made == environment.Environment(old, "0.10.0", "3.10.9", "0.6.0")
    assert [path.name for path in folder.iterdir()] == ["lava"]


def test_an_environment_that_works_is_left_as_it_is(fake_python):
    folder = fake_python("exit 7")
    python = program(folder / "lava" / "bin" / "python", f"#!/bin/sh\necho '{SAID}'\n")
    (folder / "lava" / "pyvenv.cfg").touch()
    assert environment.install(folder / "lava").python == python


def test_lava_dl_is_added_where_it_is_missing(tmp_path):
    """The interpreter keeps what pip was asked for, and tells of lava-dl from then on."""
    asked = tmp_path / "asked"
    without = SAID.replace('"0.6.0"', "null")
    text = f"""#!/bin/sh
if [ "$2" = pip ]; then echo "$@" > {asked}; exit; fi
[ -e {asked} ] && echo '{SAID}' || echo '{without}'
"""
    program(tmp_path / "lava" / "bin" / "python", text)
    (tmp_path / "lava" / "pyvenv.cfg").touch()
    assert environment.probe(tmp_path / "lava" / "bin" / "python").lava_dl is None
    assert environment.install(tmp_path / "lava").lava_dl == "0.6.0"
    assert "--no-deps --ignore-requires-python" in asked.read_text()
    assert "lava-dl==0.6.0" in asked.read_text()
    assert "lava-nc" not in asked.read_text()


def test_a_broken_python_is_named_with_its_version(tmp_path):
    text = '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.9 && exit\necho "ImportError: numpy" >&2\nexit 1\n'
    with pytest.raises(TargetUnavailableError, match=r"\(Python 3\.10\.9\) cannot import Lava: ImportError"):
        environment.probe(program(tmp_path / "python", text))


def test_what_is_no_python_is_refused(tmp_path):
    with pytest.raises(TargetUnavailableError, match="it said 'hello'"):
        environment.probe(program(tmp_path / "python", "#!/bin/sh\necho hello\n"))


def test_a_folder_that_is_no_environment_is_not_touched(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no virtual environment"):
        environment.install(tmp_path)
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_the_found_environment_is_the_pinned_version():
    try:
        found = environment.probe()
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    pinned = environment.REQUIREMENTS.read_text().splitlines()
    assert f"lava-nc=={found.version}" in pinned
    assert found.lava_dl is None or f"lava-dl=={found.lava_dl}" in pinned
