"""Neuron models as ONNX local functions, one for each set of terms that a population uses.

Equations and order of operations: `targets.graph.dynamics`. onnxruntime inlines the functions and
runs Mul and Add as kernels of their own, so that nothing is contracted to a fused multiply-add.
"""

from __future__ import annotations

import nir
import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, parser

from targets.graph.dynamics import Dynamics, SpikeRule, dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind
from targets.onnx.body import DOMAIN, FLOAT, OPSET, Body

# HardSigmoid(v) = max(0, min(1, slope * v + offset)) rises from 0 at the threshold to 1 at the next float32:
# slope is a power of two and slope * threshold a whole number below 2^24, so that nothing is rounded and it
# is the comparison. It takes onnxruntime a third of the time of Greater, Cast and Where. A membrane beyond
# float32 would become NaN here, and the reset value there.
_RAMP = "{out} = HardSigmoid <alpha: float = @slope, beta: float = @offset> ({v})"
_RAMP_HOUSE = [
    _RAMP.format(out="spikes", v="v_full"),
    "one = Constant <value = float {1.0}> ()",
    "rests = Sub(one, spikes)",
    "v_next = Mul(rests, v_full)",
]
_MANTISSA = 24
# Exponents of thresholds whose slope and offset stay far from float32's ends.
_RAMP_EXPONENTS = range(-100, 100)
_TERMS = ("gain", "decay_synapse", "decay", "leak", "threshold", "reset", "clip")
_HOUSE = [
    "fired = Greater(v_full, threshold)",
    f"spikes = Cast <to = {FLOAT}> (fired)",
    "v_next = Where(fired, reset, v_full)",
]
# Spikes of the membrane {v} as {out}: by comparison (inclusive?), or as many as whole thresholds reached.
_ONE = {
    False: ["{out}_above = Greater({v}, threshold)", "{out} = Cast <to = 1> ({out}_above)"],
    True: ["{out}_above = GreaterOrEqual({v}, threshold)", "{out} = Cast <to = 1> ({out}_above)"],
}
_NONE = "{out}_none = Constant <value = float {{0.0}}> ()"
_RATIO = "{out}_ratio = Div({v}, threshold)"
_MANY = {
    False: [
        _NONE,
        _RATIO,
        "{out}_last = Constant <value = float {{1.0}}> ()",
        "{out}_reached = Ceil({out}_ratio)",
        "{out}_below = Sub({out}_reached, {out}_last)",
        "{out} = Max({out}_below, {out}_none)",
    ],
    True: [_NONE, _RATIO, "{out}_reached = Floor({out}_ratio)", "{out} = Max({out}_reached, {out}_none)"],
}
# What follows the spikes, from `v_full` to `v_reset`.
_RESETS = {
    "to_value": [
        "silence = Constant <value = float {0.0}> ()",
        "fired = Greater(spikes, silence)",
        "v_reset = Where(fired, reset, v_full)",
    ],
    "subtract": ["owed = Mul(spikes, threshold)", "v_reset = Sub(v_full, owed)"],
    "subtract_late": ["v_reset = Identity(v_full)"],
}
_CLIP = ["v_over = Sub(v_reset, clip)", "v_inside = Relu(v_over)", "v_next = Add(v_inside, clip)"]


def populate(
    body: Body, graph: SpikingGraph, name: str, current: str, states: bool, driven: bool = False
) -> str:
    """Population `name` fed with `current` [B, *shape]; returns its output (spikes; v of a readout).

    Where it is `driven`, the current holds the population's gain.

    With `states`, the model gets the outputs `name/v` and, where there is a current, `name/u`.
    """
    shape = graph.shapes[name]
    found = dynamics(graph, name)
    terms, ramp = _present(found, driven), _ramp(found)
    if ramp and found.rule is None:
        del terms["threshold"], terms["reset"]
    kept = [state for state, used in (("u", "decay_synapse" in terms), ("v", True)) if used]
    before = [body.state(f"{name}/{state}", shape, FLOAT) for state in kept]
    coefficients = [body.constant(f"{name}/{term}", value) for term, value in terms.items()]
    node = graph.nodes[name]
    function = body.function(neuron_function(node, tuple(terms), found.rule, bool(ramp)), kind(node))
    after = [f"{name}/{state}/next" for state in kept]
    spikes = [f"{name}/now"] if found.threshold is not None else []
    results = body.call(function, [current, *before, *coefficients], name, [*after, *spikes], DOMAIN, **ramp)
    for state, value in zip(kept, after, strict=True):
        body.keep(f"{name}/{state}", value)
        if states:
            body.emit(f"{name}/{state}", value, shape, FLOAT)
    return results[-1]


def _present(coefficients: Dynamics, driven: bool) -> dict[str, NDArray[np.float32]]:
    """The terms that a population's update reads; one number where all its neurons share it."""
    rule = coefficients.rule
    unread = {"reset"} if rule is not None and rule.reset != "to_value" else set[str]()
    if driven or (coefficients.gain == 1).all():
        unread.add("gain")
    found = {term: getattr(coefficients, term) for term in _TERMS if term not in unread}
    return {
        term: np.array(value.flat[0]) if (value == value.flat[0]).all() else value
        for term, value in found.items()
        if value is not None
    }


def _ramp(found: Dynamics) -> dict[str, float]:
    """`slope` and `offset` of the ramp that is the comparison with the threshold, or nothing."""
    if found.threshold is None:
        return {}
    same = (found.threshold == found.threshold.flat[0]).all() and found.threshold.flat[0] > 0
    if found.rule is None:
        same = same and found.reset is not None and not found.reset.any()
    elif found.rule.many or found.rule.inclusive:
        same = False
    _, exponent = np.frexp(found.threshold.flat[0])
    if not same or int(exponent) not in _RAMP_EXPONENTS:
        return {}
    slope = 2.0 ** (_MANTISSA - int(exponent))
    return {"slope": slope, "offset": -slope * float(found.threshold.flat[0])}


def neuron_function(
    node: nir.NIRNode, terms: tuple[str, ...], rule: SpikeRule | None = None, ramp: bool = False
) -> FunctionProto:
    """The function of one kind of neuron: (S, states, coefficients) => (next states, spikes).

    With `ramp`, its attributes slope and offset hold the threshold. A graph has one profile, so `rule` needs
    no place in the function's name.
    """
    name = kind(node) + ("Leak" if "leak" in terms else "") + ("" if "gain" in terms else "Driven")
    name += "Ramp" if ramp else ""
    has_current, fires = "decay_synapse" in terms, hasattr(node, "v_threshold")
    states = ["u", "v"] if has_current else ["v"]
    results = ["u_next", "v_next"] if has_current else ["v_next"]
    lines = _integrate(terms, "v_full" if fires else "v_next")
    if fires:
        results.append("spikes")
        lines += _fire_by(rule, terms, ramp) if rule else _RAMP_HOUSE if ramp else _HOUSE
    attributes = " <slope, offset>" if ramp else ""
    signature = f"{name}{attributes} ({', '.join(['S', *states, *terms])}) => ({', '.join(results)})"
    header = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}]>'
    return parser.parse_function(f"{header}\n{signature} {{\n" + "\n".join(lines) + "\n}")


def _integrate(terms: tuple[str, ...], full: str) -> list[str]:
    """Lines from the input and the states to the membrane `full`."""
    lines, driven, kept = [], "S", "v"
    if "gain" in terms:
        lines, driven = ["drive = Mul(gain, S)"], "drive"
    if "decay_synapse" in terms:
        lines += ["u_kept = Mul(decay_synapse, u)", f"u_next = Add(u_kept, {driven})"]
        driven = "u_next"
    if "decay" in terms:
        lines.append("v_kept = Mul(decay, v)")
        kept = "v_kept"
    if "leak" not in terms:
        return [*lines, f"{full} = Add({kept}, {driven})"]
    return [*lines, f"v_driven = Add({kept}, {driven})", f"{full} = Add(v_driven, leak)"]


def _fire_by(rule: SpikeRule, terms: tuple[str, ...], ramp: bool) -> list[str]:
    """Any other rule, from the membrane `v_full` and the one before it, `v`."""
    counted = [_RAMP] if ramp else (_MANY if rule.many else _ONE)[rule.inclusive]
    lines = []
    if rule.reset == "subtract_late":
        lines += [line.format(v="v", out="late") for line in counted]
        lines += ["debt = Mul(late, threshold)", "v_paid = Sub(v_full, debt)"]
    full = "v_paid" if lines else "v_full"
    lines += [line.format(v=full, out="spikes") for line in counted]
    after = [line.replace("v_full", full) for line in _RESETS[rule.reset]]
    return [*lines, *after, *(_CLIP if "clip" in terms else ["v_next = Identity(v_reset)"])]
