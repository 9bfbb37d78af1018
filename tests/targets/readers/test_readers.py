"""What we say of other frameworks against what they do with our files: every verdict, every spike.

`tests/golden/readers/FRAMEWORK.json` holds what each computed, recorded by `record.py` beside it. With
MSENAS_PEERS, the folder of their environments (`tests/targets/profiles/test_frameworks.py` says how to
make them), each is run again and must give the same.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import targets
from targets import SpikingGraph
from targets.graph.implicit import RULES
from targets.graph.readers import READERS, REFUSES, markdown, readings

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "readers"
FRAMEWORKS = sorted(set(READERS) - {"nir"})
# Norse leaves out the Scale of this one.
LEFT_OUT = ("norse", "scaled")
ENVIRONMENTS = {"nirtorch": "spikingjelly"}
Own = Callable[[SpikingGraph], np.ndarray]


@pytest.fixture(scope="session")
def graphs(networks: Callable[[str], dict[str, SpikingGraph]]) -> dict[str, dict[str, SpikingGraph]]:
    """Every network for every framework, the cycles as they are written for it."""
    return {framework: networks(framework) for framework in FRAMEWORKS}


def outcome(result: dict[str, Any], own: np.ndarray) -> str:
    """What a framework did: "refuses", "reads" (the same output) or "loses"."""
    if "error" in result:
        return REFUSES
    found = np.array(result["output"])
    own = own.reshape(*own.shape[:2], -1)
    same = found.shape == own.shape and np.allclose(found, own, rtol=1e-5, atol=1e-5)
    return "reads" if same else "loses"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_does_what_we_say(
    framework: str,
    graphs: dict[str, dict[str, SpikingGraph]],
    cycles: dict[str, SpikingGraph],
    own: Own,
) -> None:
    recorded = json.loads((GOLDEN / f"{framework}.json").read_text())
    assert set(recorded) == set(graphs[framework])
    said, done = {}, {}
    for name, graph in graphs[framework].items():
        (reading,) = (r for r in readings(graph) if r.framework == framework)
        ours = cycles.get(name.removeprefix("cycle_"), graph)
        said[name], done[name] = reading.verdict, outcome(recorded[name], own(ours))
    if READERS[framework].comparison == ">=":
        # It says so of every network that fires, and no membrane here meets its threshold exactly.
        silent = {n for n in said if (said[n], done[n]) == ("loses", "reads")}
        assert all(graphs[framework][n].profile.comparison == ">" for n in silent)
        said.update(dict.fromkeys(silent, "reads"))
    assert done == said


@pytest.mark.parametrize("framework", sorted(RULES))
def test_cycles_without_delay_give_the_same_spikes(
    framework: str, cycles: dict[str, SpikingGraph], tmp_path: Path, own: Own
) -> None:
    """The framework's recording, the file read back, and the network with its Delay nodes."""
    recorded = json.loads((GOLDEN / f"{framework}.json").read_text())
    compared = 0
    for name, graph in cycles.items():
        try:
            targets.save(graph, tmp_path / "m.nir", implicit_delay=framework)
        except targets.UnsupportedNodeError:
            continue
        with pytest.warns(targets.AssumptionWarning, match="one step was put on that edge"):
            back = targets.load(tmp_path / "m.nir")
        spikes = own(graph)
        assert spikes.sum() > 30
        np.testing.assert_array_equal(own(back), spikes)
        if "output" in recorded.get(f"cycle_{name}", {}) and (framework, name) != LEFT_OUT:
            found = np.array(recorded[f"cycle_{name}"]["output"])
            assert (found != spikes.reshape(found.shape)).sum() == 0
            compared += spikes.size
    assert framework == "nirtorch" or compared >= 400


def test_nir_itself_reads_what_we_say(
    graphs: dict[str, dict[str, SpikingGraph]], written: Callable[..., None], tmp_path: Path
) -> None:
    import nir

    for name, graph in graphs["norse"].items():
        (reading,) = (r for r in readings(graph) if r.framework == "nir")
        written(tmp_path, {name: graph})
        if reading.verdict == REFUSES:
            with pytest.raises(ValueError, match="type mismatch"):
                nir.read(tmp_path / f"{name}.nir")
            assert nir.read(tmp_path / f"{name}.nir", type_check=False).nodes.keys() == graph.nodes.keys()
        else:
            assert nir.read(tmp_path / f"{name}.nir").nodes.keys() == graph.nodes.keys()


def test_the_page_is_what_the_table_says() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "readers.md"
    assert page.read_text() == markdown(), "run: python -m targets.graph.readers > docs/readers.md"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_recordings_are_reproduced_by_the_framework(
    framework: str,
    graphs: dict[str, dict[str, SpikingGraph]],
    written: Callable[..., None],
    tmp_path: Path,
) -> None:
    peers = Path(os.environ.get("MSENAS_PEERS", "/nonexistent"))
    python = peers / ENVIRONMENTS.get(framework, framework) / "bin/python"
    if not python.exists():
        pytest.skip(f"no environment for {framework}: set MSENAS_PEERS, as this file's first lines say")
    written(tmp_path, graphs[framework])
    command = [python, GOLDEN / "record.py", framework, tmp_path, tmp_path / "found.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    kept = json.loads((GOLDEN / f"{framework}.json").read_text())
    found = json.loads((tmp_path / "found.json").read_text())
    assert found.keys() == kept.keys()
    for name, result in kept.items():
        assert found[name].get("error") == result.get("error"), name
        if "output" in result:
            np.testing.assert_allclose(found[name]["output"], result["output"], atol=1e-5, err_msg=name)
