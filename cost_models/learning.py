"""Which learning rules Loihi's sum-of-products engine can run on the chip, and what state they cost.

The engine changes a weight or a tag by a sum of products of what its own synapse sees: x0 a spike and
x1, x2 traces of its input; y0 a spike and y1..y3 traces of its neuron, which on Loihi 2 microcode may
supply (a third factor, such as an error); the weight w, the tag t, and u0 every step. There is no
sharing of weights, so no convolution; no other synapse's weight, so no error through W, sign(W) or a
matrix the size of W; no time but the present. Source: lava-nc 0.10.0, `lava.magma.core.learning`, whose
parser accepts the rule strings given here.

State is counted in words: traces [n_in] and [n_out], fixed feedback [classes, n_out], tags [n_in, n_out].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np

from cost_models.device import Device, load_device
from targets.errors import ConfigError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import kind


@dataclass(frozen=True)
class LearningRow:
    """One layer: a population with the synapse nodes into it.

    Attributes:
        rule: as given.
        why: what the engine lacks, or what it computes.
        state_words: beside the weights; 0 where it does not fit.
        dw, dt: rule strings of Lava for weights and tags, where it fits and learns.
    """

    layer: str
    rule: str
    fits: bool
    why: str
    state_words: int = 0
    dw: str | None = None
    dt: str | None = None


@dataclass(frozen=True)
class _Form:
    """A rule of the engine; `supervised`: dw multiplies a presynaptic trace by y2, an error."""

    why: str
    words: Callable[[int, int, int], int]
    dw: str
    dt: str | None = None
    chips: tuple[str, ...] = ("loihi2",)
    supervised: bool = False


_ERROR = "u0*x1*y2"
_CHIPS = ("loihi1", "loihi2")
_FORMS: Mapping[str, _Form] = {
    "dfa": _Form("y2 = psi x e D by microcode", lambda i, o, c: i + c * o, _ERROR, supervised=True),
    "sdfa": _Form("y2 = psi x sign(e) D by microcode", lambda i, o, c: i + c * o, _ERROR, supervised=True),
    "drtp": _Form("y2 = psi x label D by microcode", lambda i, o, c: i + c * o, _ERROR, supervised=True),
    "local": _Form(
        "y2 = psi x error of a local readout", lambda i, o, c: i + 2 * c * o, _ERROR, supervised=True
    ),
    "readout": _Form("y2 = the readout's own error", lambda i, o, c: i, _ERROR, supervised=True),
    "stdp": _Form("two traces", lambda i, o, c: i + o, "x1*y0 - x0*y1", chips=_CHIPS),
    "rstdp": _Form(
        "y2 = reward, tags hold the eligibility",
        lambda i, o, c: i + o + i * o,
        "u0*t*y2",
        "x1*y0 - x0*y1 - 2^-4*u0*t",
    ),
    "softhebb": _Form(
        "y1 = y, y2 = y u by microcode, with a lateral softmax",
        lambda i, o, c: i + 2 * o,
        "u0*x1*y1 - u0*y2*w",
    ),
}
_TEMPORAL = {
    "bptt": "errors go back through time, which needs the activity of all steps; use trace",
    "none": "not a form that the engine is known to run; use trace",
}
# Words that change what layers below receive, or nothing that the engine sees.
_OTHER = ("bp", "fa", "usf", "brsf", "frsf", "bptt", "trace", "none", "frozen", "pass", "stop")


def check_learning(
    graph: SpikingGraph, rules: Mapping[str, str], device: str | Path | Device
) -> tuple[LearningRow, ...]:
    """Whether each layer's rule can run on the chip, in order of `rules`.

    Args:
        rules: `{population: words joined by "+"}`, as `fa+trace` or `dfa+trace`, in canonical form.
        device: a Loihi; on other chips no rule fits.

    Raises:
        ConfigError: a layer that is no population, or an unknown word.
    """
    chip = (device if isinstance(device, Device) else load_device(device)).chip
    return tuple(_row(graph, layer, rule, chip) for layer, rule in rules.items())


def _row(graph: SpikingGraph, layer: str, rule: str, chip: str) -> LearningRow:
    words = rule.split("+")
    unknown = [word for word in words if word not in (*_FORMS, *_OTHER) or word == "readout"]
    if layer not in graph.populations or unknown:
        found, allowed = (unknown[0], (*_FORMS, *_OTHER)) if unknown else (layer, graph.populations)
        raise ConfigError(f"layer {layer!r}: found {found!r}, allowed {', '.join(allowed)}")
    if "frozen" in words:
        return LearningRow(layer, rule, True, "weights stay as they are")
    form = next((_FORMS[word] for word in words if word in _FORMS), None)
    if form is None and layer in _readouts(graph):
        form = _FORMS["readout"]
    if form is None:
        why = "its error comes back through the weights of the layers above; use dfa, drtp or local"
        return LearningRow(layer, rule, False, why)
    lacking = _lacking(graph, layer, words, form, chip)
    if lacking:
        return LearningRow(layer, rule, False, "; ".join(lacking))
    shapes = [graph.nodes[name].weight.shape for name in graph.synapses_into(layer)]
    state = sum(form.words(n_in, n_out, _classes(graph)) for n_out, n_in in shapes)
    return LearningRow(layer, rule, True, form.why, state, _strings(graph, layer, form), form.dt)


def _lacking(graph: SpikingGraph, layer: str, words: list[str], form: _Form, chip: str) -> list[str]:
    lacking = []
    if chip not in form.chips:
        lacking.append(f"chip is {chip}, allowed {', '.join(form.chips)}")
    lacking += [
        f"node {name!r} is a {kind(graph.nodes[name])}, allowed Linear, Affine: the engine shares no weights"
        for name in graph.synapses_into(layer)
        if not isinstance(graph.nodes[name], (nir.Linear, nir.Affine))
    ]
    if not form.supervised:
        return lacking
    if "trace" not in words:
        lacking.append(_TEMPORAL["none" if "none" in words else "bptt"])
    found = dynamics(graph, layer)
    if found.decay is None:
        lacking.append("an IF population's trace does not decay, and the engine's 7 bits overflow")
    elif any(np.unique(d).size > 1 for d in (found.decay, found.decay_synapse) if d is not None):
        lacking.append("neurons of the population decay differently, and an axon has one trace for all")
    return lacking


def _strings(graph: SpikingGraph, layer: str, form: _Form) -> str:
    """The trace of two stages is the difference of two traces: (a x_a - b x_b) / (a - b)."""
    if form.supervised and dynamics(graph, layer).decay_synapse is not None:
        return "u0*x1*y2 - u0*x2*y2"
    return form.dw


def _readouts(graph: SpikingGraph) -> set[str]:
    """The populations before an Output, through other nodes without weights."""
    found: set[str] = set()
    pending = list(graph.outputs)
    while pending:
        for name in graph.predecessors[pending.pop()]:
            if name in graph.populations:
                found.add(name)
            elif not hasattr(graph.nodes[name], "weight"):
                pending.append(name)
    return found


def _classes(graph: SpikingGraph) -> int:
    return sum(int(np.prod(graph.shapes[name])) for name in graph.outputs)
