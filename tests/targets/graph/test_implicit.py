"""Leaving Delay nodes out: what is refused, and why. What is accepted, `tests/targets/readers` runs."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph
from targets.graph.implicit import RULES, without_delays

DT = 1e-3
ONE = np.ones(2, np.float32)
FRAMEWORKS = sorted(set(RULES) - {"snntorch"})
Edges = list[tuple[str, str]]
LOOP: Edges = [("in", "a"), ("a", "w"), ("w", "d"), ("d", "a"), ("a", "out")]


def graph(edges: Edges, **more: nir.NIRNode) -> SpikingGraph:
    known: dict[str, nir.NIRNode] = {
        "in": nir.Input(np.array([2])),
        **{name: nir.LIF(ONE, ONE, 0 * ONE, ONE) for name in "abc"},
        "w": nir.Linear(np.eye(2, dtype="f4")),
        "biased": nir.Affine(np.eye(2, dtype="f4"), ONE),
        "d": nir.Delay(ONE * DT),
        "e": nir.Delay(ONE * DT),
        "out": nir.Output(np.array([2])),
        **more,
    }
    used = {end for edge in edges for end in edge}
    return SpikingGraph.build({n: node for n, node in known.items() if n in used}, edges, {"dt": DT})


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_step_on_a_recurrent_connection_is_left_out(framework: str) -> None:
    found = without_delays(graph(LOOP), framework)
    assert "d" not in found.nodes
    assert set(found.edges) == {("in", "a"), ("a", "w"), ("w", "a"), ("a", "out")}
    assert found.profile.dt == DT


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("edges", "more", "message"),
    [
        (LOOP, {"d": nir.Delay(ONE * 2 * DT)}, r"'d' \(Delay\) holds 2 steps, allowed 1"),
        ([("in", "d"), ("d", "a"), ("a", "out")], {}, r"'d' \(Delay\) lies in no cycle"),
        # The frameworks put the step behind the recurrent weights, where the bias waits for it too.
        (
            [("in", "a"), ("a", "d"), ("d", "biased"), ("biased", "a"), ("a", "out")],
            {},
            "other side of node 'biased'",
        ),
        # One step each way is two in the cycle; the frameworks put one.
        (
            [("in", "a"), ("in", "b"), ("a", "d"), ("d", "b"), ("b", "e"), ("e", "a"), ("b", "out")],
            {},
            "would carry 0 steps where the graph has 1",
        ),
        ([*LOOP, ("in", "d")], {}, r"'d' \(Delay\) sums 2 nodes"),
        ([("in", "a"), ("a", "d"), ("d", "a"), ("a", "a"), ("a", "out")], {}, "would stand twice"),
    ],
)
def test_other_spikes_are_refused(
    framework: str, edges: Edges, more: dict[str, nir.NIRNode], message: str, tmp_path: Path
) -> None:
    with pytest.raises(targets.UnsupportedNodeError, match=message):
        targets.save(graph(edges, **more), tmp_path / "m.nir", implicit_delay=framework)
    assert list(tmp_path.iterdir()) == []


def test_the_error_names_cycle_steps_and_rule() -> None:
    with pytest.raises(targets.UnsupportedNodeError) as raised:
        without_delays(graph(LOOP, d=nir.Delay(ONE * 3 * DT)), "norse")
    text = str(raised.value)
    assert "'d' with 3 steps in 'd' -> 'a' -> 'w' -> 'd'" in text
    assert f"The rule of norse: {RULES['norse'].text}" in text


def test_snntorch_takes_recurrent_weights_for_a_layer_of_its_own() -> None:
    with pytest.raises(targets.UnsupportedNodeError, match="sends the input of 'a' through 'w' as well"):
        without_delays(graph(LOOP), "snntorch")
    own = graph([("in", "a"), ("a", "d"), ("d", "a"), ("a", "out")])
    assert set(without_delays(own, "snntorch").edges) == {("in", "a"), ("a", "a"), ("a", "out")}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_names_decide_where_nirtorch_puts_the_step(framework: str) -> None:
    """Two populations in a cycle, both fed: the first name waits for nobody."""
    edges = [("in", "a"), ("in", "b"), ("a", "b"), ("b", "d"), ("d", "a"), ("b", "out")]
    assert ("b", "a") in without_delays(graph(edges), framework).edges
    turned = [("in", "b"), ("in", "a"), ("b", "a"), ("a", "d"), ("d", "b"), ("a", "out")]
    if framework == "norse":
        assert ("a", "b") in without_delays(graph(turned), framework).edges
    else:
        with pytest.raises(targets.UnsupportedNodeError, match="'b' -> 'a' would carry 1 steps"):
            without_delays(graph(turned), framework)


def test_edges_are_put_in_the_order_that_norse_walks() -> None:
    """It runs a skip connection late where its edge stands first; the sums keep their order."""
    edges = [("in", "a"), ("a", "c"), ("a", "b"), ("b", "w"), ("w", "c"), ("c", "out")]
    skip = graph(edges)
    found = without_delays(skip, "norse")
    assert list(found.edges) != edges
    assert set(found.edges) == set(edges)
    crossed = graph([("in", "a"), ("in", "b"), ("a", "c"), ("b", "c"), ("c", "out")])
    with pytest.raises(targets.UnsupportedNodeError, match="Found no Delay"):
        without_delays(crossed, "norse")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("norsk", "did you mean 'norse'"),
        ("sinabs", "runs all steps of a layer"),
        ("lava", "allowed nirtorch"),
    ],
)
def test_unknown_frameworks_are_refused(name: str, message: str) -> None:
    with pytest.raises(targets.ConfigError, match=message):
        without_delays(graph(LOOP), name)


def test_a_delay_must_be_whole_steps_on_saving(tmp_path: Path) -> None:
    odd = graph(LOOP, d=nir.Delay(ONE * 1.5 * DT))
    with pytest.raises(targets.GraphError, match=r"node 'd' \(Delay\): 0.0015 s is 1.5 steps of dt=0.001"):
        targets.save(odd, tmp_path / "m.nir")
    assert list(tmp_path.iterdir()) == []
    whole = graph(LOOP, d=nir.Delay(np.array([DT, 3 * DT])))
    targets.save(whole, tmp_path / "m.nir")
    np.testing.assert_array_equal(targets.load(tmp_path / "m.nir").nodes["d"].delay, [DT, 3 * DT])
