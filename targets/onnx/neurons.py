"""Neuron models as ONNX local functions, one for each set of terms that a population uses.

Equations and order of operations: `targets.graph.dynamics`. onnxruntime inlines the functions and
runs Mul and Add as kernels of their own, so that nothing is contracted to a fused multiply-add.
"""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, parser

from targets.graph.dynamics import Dynamics, house_dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.onnx.scan import DOMAIN, FLOAT, OPSET, ScanBuilder

_TERMS = ("gain", "decay_synapse", "decay", "leak", "threshold", "reset")


def populate(body: ScanBuilder, graph: SpikingGraph, name: str, current: str, states: bool) -> str:
    """Population `name` fed with `current` [B, *shape]; returns its output (spikes; v of a readout).

    With `states`, the model gets the outputs `name/v` and, where there is a current, `name/u`.
    """
    shape = graph.shapes[name]
    terms = _present(house_dynamics(graph, name))
    kept = [state for state, used in (("u", "decay_synapse" in terms), ("v", True)) if used]
    before = [body.state(f"{name}/{state}", shape, FLOAT) for state in kept]
    coefficients = [body.constant(f"{name}/{term}", value) for term, value in terms.items()]
    function = body.function(neuron_function(graph.nodes[name], tuple(terms)))
    after = [f"{name}/{state}/next" for state in kept]
    spikes = [f"{name}/now"] if "threshold" in terms else []
    results = body.call(function, [current, *before, *coefficients], name, [*after, *spikes], DOMAIN)
    for state, value in zip(kept, after, strict=True):
        body.keep(f"{name}/{state}", value)
        if states:
            body.emit(f"{name}/{state}", value, shape, FLOAT)
    return results[-1]


def _present(coefficients: Dynamics) -> dict[str, NDArray[np.float32]]:
    """The terms a population has; one number where all its neurons share it."""
    found = {term: getattr(coefficients, term) for term in _TERMS}
    return {
        term: np.array(value.flat[0]) if (value == value.flat[0]).all() else value
        for term, value in found.items()
        if value is not None
    }


def neuron_function(node: nir.NIRNode, terms: tuple[str, ...]) -> FunctionProto:
    """The function of one kind of neuron: (S, states, coefficients) => (next states, spikes)."""
    name = kind(node) + ("Leak" if "leak" in terms else "")
    has_current, fires = "decay_synapse" in terms, "threshold" in terms
    states = ["u", "v"] if has_current else ["v"]
    lines = ["drive = Mul(gain, S)"]
    results = ["v_next"]
    if has_current:
        lines += ["u_kept = Mul(decay_synapse, u)", "u_next = Add(u_kept, drive)"]
        results.insert(0, "u_next")
    kept = "v"
    if "decay" in terms:
        lines.append("v_kept = Mul(decay, v)")
        kept = "v_kept"
    steps = [f"Add({kept}, {'u_next' if has_current else 'drive'})"]
    if "leak" in terms:
        lines.append(f"v_driven = {steps[0]}")
        steps = ["Add(v_driven, leak)"]
    lines.append(f"{'v_full' if fires else 'v_next'} = {steps[0]}")
    if fires:
        lines += [
            "fired = Greater(v_full, threshold)",
            f"spikes = Cast <to = {FLOAT}> (fired)",
            "v_next = Where(fired, reset, v_full)",
        ]
        results.append("spikes")
    signature = f"{name} ({', '.join(['S', *states, *terms])}) => ({', '.join(results)})"
    header = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}]>'
    return parser.parse_function(f"{header}\n{signature} {{\n" + "\n".join(lines) + "\n}")
