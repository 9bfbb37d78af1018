"""What Jupyter shows of the objects that people hold."""

from __future__ import annotations

from xml.etree import ElementTree

import nir
import numpy as np
import pytest

import cost_models
import targets
from targets.notebook import table

ONE = np.ones(3, np.float32)


@pytest.fixture
def graph():
    nodes = {
        "in<b>": nir.Input(np.array([3])),
        "w": nir.Linear(np.eye(3, dtype="f4")),
        "lif": nir.LIF(ONE * 1e-2, ONE, ONE * 0, ONE),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in<b>", "w"), ("w", "lif"), ("lif", "out")]
    return targets.SpikingGraph.build(nodes, edges, {"dt": 1e-3})


def parsed(thing):
    """Caption, column names and rows of what is shown; broken HTML is an error."""
    tree = ElementTree.fromstring(f"<div>{thing._repr_html_()}</div>")
    rows = [["".join(cell.itertext()) for cell in row.iter("td")] for row in tree.iter("tr")][1:]
    return tree.findtext(".//caption"), [cell.text for cell in tree.iter("th")], rows


def test_a_graph_shows_its_nodes(graph):
    caption, columns, rows = parsed(graph)
    assert caption.startswith("SpikingGraph of 4 nodes: dt 0.001")
    assert columns == ["node", "kind", "shape", "from"]
    assert rows[0] == ["in<b>", "Input", "3", ""]
    assert rows[2] == ["lif", "LIF", "3", "w"]


def test_fit_cost_and_agreement_show_their_figures(graph):
    x = np.ones((4, 2, 3), np.float32)
    run = targets.compile(graph, "reference").run(x)
    caption, columns, rows = parsed(cost_models.estimate(graph, run, "loihi1-sanafe"))
    assert caption.startswith("loihi1-sanafe: ")
    assert columns == ["term", "pays for", "energy (J)", "share"]
    assert sum(float(row[3]) for row in rows) == pytest.approx(1.0, abs=1e-3)
    caption, columns, rows = parsed(cost_models.check(graph, "loihi1"))
    assert caption.startswith("Fits loihi1 on 1 cores")
    assert rows[0][:2] == ["lif", "1"]
    caption, columns, rows = parsed(targets.verify(graph, x, ["reference", "onnx"]))
    assert caption == "The targets agree"
    assert rows[0][columns.index("differing")] == "0"


def test_a_network_that_does_not_fit_shows_the_rule(graph):
    many = np.ones(2000, np.float32)
    nodes = {
        "in": nir.Input(np.array([2000])),
        "w": nir.Linear(np.ones((2000, 2000), dtype="f4")),
        "lif": nir.LIF(many * 1e-2, many, many * 0, many),
        "out": nir.Output(np.array([2000])),
    }
    wide = targets.SpikingGraph.build(nodes, [("in", "w"), ("w", "lif"), ("lif", "out")], {"dt": 1e-3})
    fit = cost_models.check(wide, "xylo-a2")
    caption, columns, rows = parsed(fit)
    assert caption == f"Does not fit xylo-a2: {len(fit.broken)} rules are broken"
    assert columns == ["rule", "node", "found", "allowed", "hint"]
    assert [row[0] for row in rows] == [rule.rule for rule in fit.broken]


def test_a_study_shows_its_front(study):
    caption, columns, rows = parsed(study)
    assert caption == "5 networks evaluated, 2 on the front, chosen: slow"
    assert [row[0] for row in rows] == ["slow", "lean"]
    assert rows[0][columns.index("energy_j")] == "3e-06"


def test_long_tables_end_and_nothing_is_not_an_error():
    text = table([{"n": number} for number in range(40)], "many")
    assert (text.count("<tr>"), "and 10 more" in text) == (31, True)
    assert ElementTree.fromstring(table([])).tag == "table"
