"""Rules as text and JSON, their errors, and the canonical form."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
from pydantic import BaseModel

from msenas_hw.training.rules import PRESETS, LayerRules, Rules, canonical
from targets.errors import ConfigError, UnsupportedNodeError

Graphs = dict[str, Callable[..., Any]]


def texts(rules: Rules) -> dict[str, str]:
    return {name: str(rule) for name, rule in rules.named.items()}


@pytest.mark.parametrize(
    "text",
    [
        "bp",
        "fa+trace",
        "usf+dfa+none",
        "brsf+local",
        "bp+local+pass",
        "bp+frozen",
        "frsf+stdp+pass",
        "bp+stop",
    ],
)
def test_text_and_json_round_trips(text: str) -> None:
    rules = Rules(default="bp+trace", hidden1=text)
    assert str(rules.of("hidden1")) == text
    assert Rules.model_validate_json(rules.model_dump_json()) == rules
    assert rules.model_dump() == {"default": "bp+trace", "hidden1": text}
    assert Rules(hidden1=LayerRules.model_validate(text)).of("hidden1") == rules.of("hidden1")
    assert rules.of("another").temporal == "trace"


def test_presets_are_their_words() -> None:
    assert {name: str(LayerRules.model_validate(name)) for name in PRESETS} == {
        "stbp": "bp",
        "e-prop": "bp+dfa+trace",
        "ottt": "bp+trace",
        "sltt": "bp+none",
        "decolle": "bp+local+trace",
    }
    assert str(LayerRules.model_validate("ottt+fa")) == "fa+trace"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fa+tracee", r"layer 'hidden1': unknown learning rule 'tracee'.*did you mean 'trace'"),
        ("dffa", "did you mean 'dfa'"),
        ("eprop", "did you mean 'e-prop'"),
        ("fa+usf", r"layer 'hidden1': found 'fa' and 'usf', allowed one feedback"),
        ("", "unknown learning rule ''"),
        ("fa+ottt", "unknown learning rule 'ottt'"),
    ],
)
def test_wrong_words(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Rules(default="bp", hidden1=text)


def test_rules_that_do_not_suit_a_graph(graphs: Graphs) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    with pytest.raises(ConfigError, match=r"layer 'h11' is no population, allowed h1, h2, out.*'h1'"):
        canonical(graph, Rules(default="bp", h11="fa"))
    with pytest.raises(ConfigError, match=r"layer 'out' is the readout"):
        canonical(graph, Rules(default="bp", out="dfa"))
    flattened = graphs["convolutional"]()
    edges = [*flattened.edges, ("flatten", "output2")]
    nodes = {**flattened.nodes, "output2": nir.Output({"output": np.array([64])})}
    two = flattened.replace(nodes=nodes, edges=edges)
    with pytest.raises(ConfigError, match=r"layer 'l1': dfa needs one population before the Output"):
        canonical(two, Rules(default="bp", l1="dfa"))
    shared = graph.replace(
        nodes={**graph.nodes, "other": graph.nodes["h1"], "w4": graph.nodes["w3"]},
        edges=[*graph.edges, ("w1", "other"), ("other", "w4"), ("w4", "out")],
    )
    with pytest.raises(UnsupportedNodeError, match=r"node 'w1' leads to the populations h1, other"):
        canonical(shared, Rules(default="bp"))


# What a layer's words become in h1 - h2 - out.
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"default": "fa"}, {"h1": "bp", "h2": "fa", "out": "fa"}),
        ({"default": "dfa+fa"}, {"h1": "bp+dfa", "h2": "bp+dfa", "out": "bp"}),
        ({"default": "usf", "h2": "dfa"}, {"h1": "bp", "h2": "bp+dfa", "out": "bp"}),
        ({"default": "usf", "h2": "dfa+fa"}, {"h1": "bp", "h2": "fa+dfa", "out": "bp"}),
        ({"default": "fa", "h2": "local"}, {"h1": "bp+frozen", "h2": "bp+local", "out": "bp"}),
        ({"default": "fa", "h2": "fa+local+pass"}, {"h1": "bp", "h2": "fa+local+pass", "out": "bp"}),
        ({"default": "fa", "h1": "frozen+dfa+trace"}, {"h1": "bp+frozen", "h2": "bp", "out": "fa"}),
        ({"default": "bp", "h2": "frozen+fa+trace"}, {"h1": "bp", "h2": "fa+trace+frozen", "out": "bp"}),
        ({"default": "bp", "h1": "stdp+dfa+fa+trace+pass"}, {"h1": "bp+stdp", "h2": "bp", "out": "bp"}),
        ({"default": "bp", "h2": "stdp+fa"}, {"h1": "bp+frozen", "h2": "bp+stdp", "out": "bp"}),
        ({"default": "frozen", "out": "fa+none"}, {"h1": "bp+frozen", "h2": "bp+frozen", "out": "bp+none"}),
        ({"default": "decolle"}, {"h1": "bp+local+trace", "h2": "bp+local+trace", "out": "bp+trace"}),
        ({"default": "bp", "out": "usf+stop"}, {"h1": "bp+frozen", "h2": "bp+frozen", "out": "bp"}),
    ],
)  # fmt: skip
def test_canonical_forms(graphs: Graphs, given: dict[str, str], expected: dict[str, str]) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    found = canonical(graph, Rules(given))
    assert {
        name: str(rule).replace("bp+local+pass", "fa+local+pass") for name, rule in found.named.items()
    } == {name: text.replace("bp+local+pass", "fa+local+pass") for name, text in expected.items()}
    assert canonical(graph, found) == found


def test_a_loop_keeps_its_feedback_rule_in_bptt_alone(graphs: Graphs) -> None:
    graph = graphs["recurrent"]()
    assert texts(canonical(graph, Rules(default="fa")))["h1"] == "fa"
    assert texts(canonical(graph, Rules(default="fa+trace")))["h1"] == "bp+trace"


def test_rules_as_part_of_a_configuration() -> None:
    class Section(BaseModel):
        epochs: int = 1
        rules: Rules = Rules()

    assert Section().rules.of("any") == LayerRules()
    given = Section.model_validate(tomllib.loads('[rules]\ndefault = "ottt"\nhidden1 = "fa+trace"\n'))
    assert str(given.rules.of("hidden1")) == "fa+trace"
    assert given.model_dump() == {"epochs": 1, "rules": {"default": "bp+trace", "hidden1": "fa+trace"}}
    assert Section.model_validate(given.model_dump()) == given


def test_a_bare_delay_and_a_trace(graphs: Graphs) -> None:
    graph = graphs["dense"]((6, 8, 8, 3))
    nodes = {**graph.nodes, "later": nir.Delay(np.full(8, 1e-3))}
    graph = graph.replace(nodes=nodes, edges=[*graph.edges, ("h1", "later"), ("later", "h2")])
    assert str(canonical(graph, Rules(default="fa")).of("h2")) == "fa"
    with pytest.raises(ConfigError, match=r"layer 'h2': a Delay leads to it without a synapse node"):
        canonical(graph, Rules(default="bp", h2="fa+trace"))
