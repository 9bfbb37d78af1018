"""Every profile against the equations in numpy, its gradient, and where it is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

import targets
from targets.graph.dynamics import dynamics
from targets.graph.writers import WRITERS
from targets.reference.scan import Coefficients, scan
from targets.reference.surrogate import SLOPE

N, T, DT = 6, 60, 1e-3
RULES = list(
    itertools.product(
        ("euler", "exponential"),
        ("to_value", "subtract", "subtract_late"),
        (">", ">="),
        ("one", "many"),
        (None, -0.25, "-threshold", "-threshold of IF"),
    )
)


def build(model: str, **profile: Any) -> targets.SpikingGraph:
    one = np.ones(N)
    fires = {"v_threshold": one * 0.5, "v_reset": one * -0.125}
    neurons: dict[str, nir.NIRNode] = {
        "IF": nir.IF(r=one * 1e3, **fires),
        "LIF": nir.LIF(tau=one * 4e-3, r=one * 4, v_leak=one * 0.125, **fires),
        "CubaLIF": nir.CubaLIF(one * 2e-3, one * 4e-3, one * 4, one * 0, w_in=one * 2, **fires),
    }
    shape = np.array([N])
    nodes = {
        "input": nir.Input({"input": shape}),
        "n": neurons[model],
        "output": nir.Output({"output": shape}),
    }
    return targets.SpikingGraph.build(nodes, [("input", "n"), ("n", "output")], {"dt": DT, **profile})


def expected(model: str, x: np.ndarray, rule: tuple[Any, ...]) -> np.ndarray:
    """One neuron at a time, from the wording of `targets.graph.dynamics`; x [T, N]."""
    integrator, reset, comparison, per_step, clip = rule
    rate, rate_synapse = 0.25, 0.5
    keep = {"euler": lambda r: 1 - r, "exponential": lambda r: float(np.float32(np.exp(-r)))}[integrator]
    floor = {None: None, "-threshold": -0.5, "-threshold of IF": -0.5 if model == "IF" else None}.get(
        clip, clip
    )
    out = np.zeros_like(x)

    def count(v: float) -> float:
        n = 0
        while v > 0.5 * (n + 1) or (comparison == ">=" and v == 0.5 * (n + 1)):
            n += 1
        return n if per_step == "many" else min(n, 1)

    for neuron in range(x.shape[1]):
        u = v = owed = 0.0
        for t in range(x.shape[0]):
            if model == "IF":
                v = v + x[t, neuron]
            elif model == "LIF":
                v = keep(rate) * v + x[t, neuron] + 0.25 * 0.125
            else:
                u = keep(rate_synapse) * u + x[t, neuron]
                v = keep(rate) * v + u
            v -= owed
            n = out[t, neuron] = count(v)
            owed = n * 0.5 if reset == "subtract_late" else 0.0
            v = {"to_value": -0.125 if n else v, "subtract": v - n * 0.5, "subtract_late": v}[reset]
            v = v if floor is None else max(v, floor)
    return out


@pytest.mark.parametrize("model", ["IF", "LIF", "CubaLIF"])
def test_every_profile_equals_its_equations(model: str) -> None:
    """96 profiles; inputs are multiples of 1/8, so that membranes of IF meet the threshold exactly."""
    x = np.random.default_rng(5).integers(-4, 8, size=(T, N)) / 8
    seen = set()
    for rule in RULES:
        keys = ("integrator", "reset", "comparison", "spikes_per_step", "clip")
        graph = build(model, **dict(zip(keys, rule, strict=True)))
        run = targets.compile(graph, "reference", arithmetic="float64").run(x[:, None])
        found = run.outputs["output"][:, 0]
        np.testing.assert_array_equal(found, expected(model, x, rule), err_msg=str(rule))
        np.testing.assert_array_equal(run.spike_counts["n"], found.sum(axis=0))
        seen.add(found.tobytes())
    assert len(seen) >= 24


def test_the_house_rule_stays_the_plain_path() -> None:
    terms = dynamics(build("LIF"), "n")
    assert terms.rule is None
    assert terms.clip is None


def gradient(profile: dict[str, Any], drive: float) -> float:
    """d spikes / d input of one step of an IF of gain one from v = 0."""
    terms = Coefficients.of(dynamics(build("IF", **profile), "n"), torch.float64)
    x = torch.full((1, 1, N), drive, dtype=torch.float64, requires_grad=True)
    scan(terms, x).outputs.sum().backward()
    assert x.grad is not None
    return float(x.grad[0, 0, 0])


@pytest.mark.parametrize("reset", ["to_value", "subtract", "subtract_late"])
def test_the_surrogate_is_the_arctangent_for_every_reset(reset: str) -> None:
    slope = SLOPE / 2 / (1 + (np.pi / 2 * SLOPE * 0.25) ** 2)
    assert gradient({"reset": reset}, 0.75) == pytest.approx(slope)
    assert gradient({"reset": reset}, 0.5) == pytest.approx(SLOPE / 2)


def test_with_many_spikes_the_surrogate_peaks_at_every_multiple_of_the_threshold() -> None:
    many = {"reset": "subtract", "spikes_per_step": "many", "comparison": ">="}
    for multiple in (1, 2, 5):
        assert gradient(many, 0.5 * multiple) == pytest.approx(SLOPE / 2)
    assert gradient(many, 1.25) < SLOPE / 2
    assert gradient(many, -3.0) < 0.05


def test_gradient_flows_through_time_past_a_subtracting_reset() -> None:
    """The reset is detached: an input before a spike still moves the membrane after it."""
    terms = Coefficients.of(dynamics(build("IF", reset="subtract"), "n"), torch.float64)
    x = torch.tensor([0.75, 0.125], dtype=torch.float64)[:, None, None].repeat(1, 1, N).requires_grad_()
    scan(terms, x).outputs[1].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 0] == x.grad[1, 0, 0] > 0


@pytest.mark.parametrize("target", ["loihi", "lava"])
def test_chip_targets_refuse_what_the_chip_has_not(target: str) -> None:
    graph = build("IF", comparison=">=", clip="-threshold")
    reasons = [refusal.reason for refusal in targets.find(target).check(graph) if refusal.node == "profile"]
    assert len(reasons) == 2
    assert "comparison='>='" in reasons[0]
    assert "clip='-threshold'" in reasons[1]
    assert targets.find("reference").check(graph) == targets.find("onnx").check(graph) == []


@pytest.mark.parametrize("values", [{"spikes_per_step": "many"}, {"reset": "subtract_late"}])
def test_a_threshold_of_zero_is_refused_where_the_rule_divides_by_it(values: dict[str, Any]) -> None:
    graph = build("IF", **values)
    node = nir.IF(r=np.ones(N), v_threshold=np.zeros(N), v_reset=np.zeros(N))
    graph = graph.replace(nodes={**graph.nodes, "n": node})
    with pytest.raises(targets.UnsupportedNodeError, match=r"'n': v_threshold is 0.0, allowed > 0"):
        targets.compile(graph, "reference")


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("sinab", "did you mean 'sinabs'"),
        ("nengo", r"1 - exp\(-dt / tau\)"),
        ({"writer": "rockpool"}, "give dt=SECONDS"),
        ({"writer": "sinabs", "clip": "low"}, "clip"),
        ({"clip": "nan"}, "finite"),
        ({"rest": "subtract"}, "did you mean 'reset'"),
    ],
)
def test_wrong_profiles_are_named(tmp_path: Path, profile: Any, message: str) -> None:
    graph = build("LIF")
    nir.write(tmp_path / "a.nir", nir.NIRGraph(dict(graph.nodes), list(graph.edges)))
    with pytest.raises(targets.ConfigError, match=message):
        targets.load(tmp_path / "a.nir", profile=profile)


def test_a_file_with_a_profile_of_its_own_takes_no_name(tmp_path: Path) -> None:
    targets.save(build("LIF"), tmp_path / "a.nir")
    with pytest.raises(targets.ConfigError, match="states its own profile"):
        targets.load(tmp_path / "a.nir", profile="sinabs")


@pytest.mark.filterwarnings("ignore::targets.AssumptionWarning")
def test_a_named_profile_is_saved_with_the_graph(tmp_path: Path) -> None:
    graph = build("LIF")
    nir.write(tmp_path / "a.nir", nir.NIRGraph(dict(graph.nodes), list(graph.edges)))
    read = targets.load(tmp_path / "a.nir", profile={"writer": "sinabs", "dt": "0.002"})
    assert read.profile == targets.Profile(**{**WRITERS["sinabs"].profile, "dt": 0.002})
    assert any("LIF.r is read as sinabs means it, in n" in line for line in read.assumptions)
    assert any("clip='-threshold of IF'" in line for line in read.assumptions)
    np.testing.assert_allclose(read.nodes["n"].r, 2.0)
    targets.save(read, tmp_path / "b.nir")
    again = targets.load(tmp_path / "b.nir")
    assert again.profile == read.profile
    np.testing.assert_array_equal(again.nodes["n"].r, read.nodes["n"].r)


@pytest.mark.filterwarnings("ignore::targets.AssumptionWarning")
def test_the_command_line_takes_a_name_and_values(tmp_path: Path) -> None:
    from msenas_hw.cli.options import read_model

    graph = build("LIF")
    nir.write(tmp_path / "a.nir", nir.NIRGraph(dict(graph.nodes), list(graph.edges)))
    read = read_model(tmp_path / "a.nir", ["sinabs", "clip=none", "reset = to_value"])
    assert (read.profile.integrator, read.profile.reset, read.profile.clip) == (
        "exponential",
        "to_value",
        None,
    )


def test_profiles_apply_inside_cycles_and_to_skipping_graphs(
    recurrent_graph: Callable[..., targets.SpikingGraph], spikes: Callable[..., np.ndarray]
) -> None:
    """A step at a time (cycles) and a scan (chains) fire alike: with loops of weight zero and with none."""
    many = {"dt": DT, "reset": "subtract", "comparison": ">=", "spikes_per_step": "many"}
    graph = recurrent_graph().replace(profile=targets.Profile(**many))
    run = targets.compile(graph, "reference").run(spikes(3, 20, 2, 1, 8, 8), record=["l1", "l2"])
    assert run.spikes["l2"].max() > 1
    silent = {
        name: nir.Conv2d(node.input_shape, node.weight * 0, 1, 1, 1, 1, node.bias * 0)
        if name in ("back", "loop")
        else node
        for name, node in graph.nodes.items()
    }
    looped = graph.replace(nodes=silent)
    drop = {"back", "back_delay", "loop", "loop_delay"}
    chain = targets.SpikingGraph.build(
        {name: node for name, node in silent.items() if name not in drop},
        [edge for edge in graph.edges if not drop & set(edge)],
        many,
    )
    x = spikes(4, 20, 2, 1, 8, 8)
    for name in ("l1", "l2", "l3"):
        first, second = (
            targets.compile(g, "reference").run(x, record=[name]).spikes[name] for g in (looped, chain)
        )
        np.testing.assert_array_equal(first, second)
