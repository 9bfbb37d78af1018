"""Every execution profile, against the reference to the last bit and against recordings of frameworks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
import pytest

import targets
from targets.graph.graph import SpikingGraph

DT, N = 1e-3, 5
SHARED = Path(os.environ.get("MSENAS_SHARED", Path(__file__).parents[4] / "shared"))
CHOICES = {
    "integrator": ("euler", "exponential"),
    "reset": ("to_value", "subtract", "subtract_late"),
    "comparison": (">", ">="),
    "spikes_per_step": ("one", "many"),
    "clip": (None, -0.25, "-threshold", "-threshold of IF"),
}
PROFILES = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]


def every_neuron(profile: dict[str, Any]) -> SpikingGraph:
    """All six neuron models fed with the input, and an IF behind the leaky one."""
    rng = np.random.default_rng(2)

    def draw(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, N)

    fires = {"v_threshold": np.full(N, 0.5), "v_reset": np.full(N, -0.125)}
    leaky = {"tau": draw(2e-3, 9e-3), "r": draw(2, 4), "v_leak": draw(-0.1, 0.1)}
    cuba = {"tau_mem": draw(2e-3, 9e-3), "tau_syn": draw(2e-3, 9e-3), "r": draw(2, 4), "v_leak": np.zeros(N)}
    neurons: dict[str, nir.NIRNode] = {
        "i": nir.I(r=draw(100, 900)),
        "if": nir.IF(r=np.full(N, 1 / DT), **fires),
        "li": nir.LI(**leaky),
        "lif": nir.LIF(**leaky, **fires),
        "cubali": nir.CubaLI(**cuba, w_in=draw(1, 3)),
        "cubalif": nir.CubaLIF(**cuba, w_in=draw(1, 3), **fires),
    }
    nodes = {"in": nir.Input({"input": np.array([N])}), **neurons}
    nodes["wait"] = nir.Delay(np.full(N, 2 * DT))
    nodes["after"] = nir.IF(r=np.full(N, 0.5 / DT), **fires)
    nodes["out"] = nir.Output({"output": np.array([N])})
    edges = [("in", name) for name in neurons] + [("lif", "after"), ("after", "wait"), ("wait", "lif")]
    edges += [(name, "out") for name in (*neurons, "after")]
    return SpikingGraph.build(nodes, edges, {"dt": DT, **profile})


@pytest.mark.parametrize("reset", CHOICES["reset"])
def test_every_profile_equals_the_reference(reset: str) -> None:
    """Inputs are multiples of 1/8, so that membranes of `if` meet the threshold exactly."""
    x = np.random.default_rng(5).integers(-4, 8, size=(24, 2, N)) / 8
    seen = set()
    # The integrator changes coefficients only, so each half of the other choices sees one of the two.
    for profile in (p for p in PROFILES[:48:2] + PROFILES[49::2] if p["reset"] == reset):
        graph = every_neuron(profile)
        ours = targets.compile(graph, "onnx").run(x, graph.populations, states=True)
        theirs = targets.compile(graph, "reference").run(x, graph.populations, states=True)
        for name in graph.populations:
            assert np.array_equal(ours.spikes[name], theirs.spikes[name]), (profile, name)
            for key, value in theirs.states[name].items():
                assert np.array_equal(ours.states[name][key], value), (profile, name, key)
        for name, counts in theirs.spike_counts.items():
            assert np.array_equal(ours.spike_counts[name], counts), (profile, name)
        seen.add(theirs.spikes["if"].tobytes())
    assert len(seen) >= 4


def test_a_population_is_a_node_of_its_nir_kind() -> None:
    model = targets.compile(every_neuron(PROFILES[-1]), "onnx").model
    onnx.checker.check_model(model, full_check=True)
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    body = next(a.g for a in scan.attribute if a.name == "body")
    kinds = {node.name: node.op_type for node in body.node if node.domain == "org.nir"}
    # Two variants of a model have names of their own.
    assert kinds == {
        "i": "I", "if": "IFDriven", "li": "LI", "lif": "LIF", "cubali": "CubaLI", "cubalif": "CubaLIF",
        "after": "IF",
    }  # fmt: skip
    assert {function.name for function in model.functions} == set(kinds.values())


def test_thresholds_that_a_profile_divides_by_are_all_named() -> None:
    graph = every_neuron({"spikes_per_step": "many"})
    zero = nir.IF(r=np.ones(N), v_threshold=np.zeros(N), v_reset=np.zeros(N))
    graph = graph.replace(nodes={**graph.nodes, "if": zero, "after": zero})
    assert [refusal.node for refusal in targets.find("onnx").check(graph)] == ["if", "after"]
    with pytest.raises(targets.UnsupportedNodeError, match=r"(?s)'if'.*allowed > 0.*'after'"):
        targets.compile(graph, "onnx")


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_of_every_kind(random_graph: Callable[[int], SpikingGraph], seed: int) -> None:
    """Weights are rounded to 2^-4 and inputs are small integers, so that sums are exact in any order."""
    graph = random_graph(seed)
    rng = np.random.default_rng(seed)
    for node in graph.nodes.values():
        for key in ("weight", "bias", "scale"):
            if hasattr(node, key):
                setattr(node, key, np.round(np.asarray(getattr(node, key)) * 16) / 16)
    profile = PROFILES[int(rng.integers(len(PROFILES)))]
    graph = SpikingGraph.build(graph.nodes, graph.edges, {"dt": DT, **profile})
    x = rng.integers(0, 3, (8, 2, *graph.shapes["in"])).astype(np.float32)
    ours = targets.compile(graph, "onnx").run(x, graph.populations)
    theirs = targets.compile(graph, "reference").run(x, graph.populations)
    for name in graph.populations:
        if hasattr(graph.nodes[name], "v_threshold"):
            assert np.array_equal(ours.spikes[name], theirs.spikes[name]), name
        np.testing.assert_allclose(ours.spikes[name], theirs.spikes[name], rtol=1e-4, atol=1e-4)


FILES = {
    "braille_zero.nir": {"dt": 1e-4},
    "braille_zero_subgraph.nir": {"dt": 1e-4},
    "feedback_nengo.nir": {"dt": 1e-3},
    "lif_norse.nir": {"dt": 1e-4},
    "scnn_sinabs.nir": {"dt": 1e-4, "reset": "subtract", "comparison": ">=", "spikes_per_step": "many"},
}


@pytest.mark.filterwarnings("ignore::targets.AssumptionWarning")
@pytest.mark.parametrize("file", FILES)
def test_shared_graphs(file: str) -> None:
    path = SHARED / "nir" / file
    if not path.exists():
        pytest.skip("the shared files are absent")
    graph = targets.load(path, profile=FILES[file])
    rng = np.random.default_rng(0)
    x = (rng.random((12, 2, *graph.shapes[graph.inputs[0]])) < 0.4).astype(np.float32)
    spiking = [n for n in graph.populations if hasattr(graph.nodes[n], "v_threshold")]
    ours = targets.compile(graph, "onnx").run(x, spiking)
    theirs = targets.compile(graph, "reference").run(x, spiking)
    for name in spiking:
        assert np.array_equal(ours.spikes[name], theirs.spikes[name]), name
