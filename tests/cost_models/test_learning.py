"""Which rules fit Loihi's learning engine; the strings of those that do go through Lava's own parser."""

from __future__ import annotations

import json
import subprocess
from itertools import pairwise

import nir
import numpy as np
import pytest

from cost_models.learning import check_learning
from targets.errors import ConfigError, TargetUnavailableError
from targets.graph.graph import SpikingGraph
from targets.lava.environment import WORKER, interpreter

PARSE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import shim
from lava.magma.core.learning.learning_rule import Loihi2FLearningRule, Loihi3FLearningRule
for dw, dt, two in json.loads(sys.argv[2]):
    kind = Loihi2FLearningRule if two else Loihi3FLearningRule
    rule = kind(dw=dw, dt=dt, t_epoch=1, x1_impulse=16, x1_tau=4, x2_impulse=16, x2_tau=8)
    assert rule.dw is not None and (dt is None or rule.dt is not None)
"""


def network(population: str = "lif") -> SpikingGraph:
    """8 - h1 (6) - h2 (5) - readout (3)."""
    nodes = {"input": nir.Input({"input": np.array([8])})}
    for name, (n, m) in zip(("h1", "h2", "out"), pairwise((8, 6, 5, 3)), strict=True):
        one = np.ones(m, np.float32)
        spiking = {"v_threshold": one, "v_reset": one * 0}
        nodes[f"w_{name}"] = nir.Linear(np.ones((m, n), np.float32))
        nodes[name] = {
            "lif": nir.LIF(tau=one * 5e-3, r=one, v_leak=one * 0, **spiking),
            "if": nir.IF(r=one, **spiking),
            "cubalif": nir.CubaLIF(one * 2e-3, one * 5e-3, one, one * 0, v_threshold=one),
        }[population]
    nodes["output"] = nir.Output({"output": np.array([3])})
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})


# Words beside the weights of h1: n_in 8, n_out 6, 3 classes.
@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("bp+dfa+trace", 8 + 18),
        ("bp+sdfa+trace", 8 + 18),
        ("bp+drtp+trace", 8 + 18),
        ("bp+local+trace", 8 + 36),
        ("bp+stdp", 8 + 6),
        ("bp+rstdp", 8 + 6 + 48),
        ("bp+softhebb", 8 + 12),
        ("bp+frozen", 0),
    ],
)
def test_state_of_what_fits(rule: str, words: int) -> None:
    (row,) = check_learning(network(), {"h1": rule}, "loihi2")
    assert row.fits, row.why
    assert row.state_words == words
    assert (row.dw is None) == (rule == "bp+frozen")


@pytest.mark.parametrize(
    ("rule", "device", "population", "why"),
    [
        ("bp", "loihi2", "lif", "through the weights of the layers above"),
        ("fa+trace", "loihi2", "lif", "through the weights of the layers above"),
        ("bp+dfa", "loihi2", "lif", "use trace"),
        ("bp+dfa+none", "loihi2", "lif", "use trace"),
        ("bp+dfa+trace", "loihi1", "lif", "chip is loihi1, allowed loihi2"),
        ("bp+drtp+trace", "loihi2", "if", "does not decay"),
        ("bp+stdp", "gpu-a100", "lif", "allowed loihi1, loihi2"),
    ],
)
def test_what_does_not_fit(rule: str, device: str, population: str, why: str) -> None:
    (row,) = check_learning(network(population), {"h1": rule}, device)
    assert not row.fits
    assert why in row.why


def test_readout_convolution_and_errors() -> None:
    rows = check_learning(network(), {"h1": "bp+stdp", "out": "bp+trace"}, "loihi2")
    assert [row.fits for row in rows] == [True, True]
    assert check_learning(network(), {"h1": "bp+stdp"}, "loihi1")[0].fits
    nodes = {
        "input": nir.Input({"input": np.array([1, 4, 4])}),
        "conv": nir.Conv2d((4, 4), np.ones((2, 1, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(2, np.float32)),
        "h": nir.IF(*(np.ones((2, 4, 4), np.float32) for _ in range(3))),
        "output": nir.Output({"output": np.array([2, 4, 4])}),
    }
    graph = SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3})
    (row,) = check_learning(graph, {"h": "bp+stdp"}, "loihi2")
    assert not row.fits
    assert "node 'conv' is a Conv2d, allowed Linear, Affine" in row.why
    uneven = network()
    uneven.nodes["h1"].tau[:] = np.linspace(3e-3, 6e-3, 6)
    assert "decay differently" in check_learning(uneven, {"h1": "bp+dfa+trace"}, "loihi2")[0].why
    for rules in ({"h9": "bp"}, {"h1": "bp+dfaa"}, {"h1": "readout"}):
        with pytest.raises(ConfigError, match="allowed"):
            check_learning(network(), rules, "loihi2")


def test_lava_parses_every_string() -> None:
    try:
        python = interpreter()
    except TargetUnavailableError as missing:
        pytest.skip(str(missing))
    rules = ("bp+dfa+trace", "bp+local+trace", "bp+stdp", "bp+rstdp", "bp+softhebb")
    rows = [
        row
        for population in ("lif", "cubalif")
        for rule in rules
        for row in check_learning(network(population), {"h1": rule}, "loihi2")
    ]
    assert all(row.fits for row in rows)
    strings = sorted({(row.dw, row.dt, "stdp" in row.rule.split("+")) for row in rows}, key=str)
    command = [str(python), "-E", "-s", "-c", PARSE, str(WORKER), json.dumps(strings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    wrong = json.dumps([("u0*x1*y2 - u2*x2*y2", None, False)])
    refused = subprocess.run([*command[:-1], wrong], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
