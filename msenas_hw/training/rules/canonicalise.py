"""One form for all assignments that train a network alike, and the assignments that make no sense.

An error reaches a layer from its teacher, or from the layers that it feeds as far as they pass one.
It is used where weights learn by it or where it is passed on. What neither produces nor uses an error
takes the first word of its axis, so that a search counts no assignment twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msenas_hw.training.rules.assignment import DEFAULT, LayerRules, Rules, nearest
from msenas_hw.training.rules.layers import Layers, layers_of
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph


def canonical(graph: SpikingGraph, rules: Rules) -> Rules:
    """The canonical form of `rules`, every population named.

    The first layer's feedback, and feedback into a layer that is taught or gets no error, is `bp`;
    a layer that gets no error is `frozen`; the readout has no teacher, since it has the error itself.

    Raises:
        ConfigError: `rules` do not suit `graph`; see `check`.
    """
    layers = layers_of(graph)
    check(graph, rules)
    assigned = {name: _alone(rules.of(name), name == layers.readout) for name in graph.populations}
    taught = _taught(layers, assigned)
    assigned = {
        name: rule if taught[name] or rule.delta != "none" else LayerRules(frozen=True)
        for name, rule in assigned.items()
    }
    passing = sends(layers, assigned)
    return Rules({name: _live(rule, name in passing) for name, rule in assigned.items()})


def sends(layers: Layers, rules: Mapping[str, LayerRules]) -> frozenset[str]:
    """The layers that get an error and send it on to where weights learn by it."""
    taught = _taught(layers, rules)
    wanted = _least(rules, lambda name, got: _wants_error(layers, rules, name, got))
    return frozenset(
        name for name, rule in rules.items() if taught[name] and _passes_on(layers, rule, name, wanted)
    )


def _alone(rule: LayerRules, readout: bool) -> LayerRules:
    changes: dict[str, object] = {}
    if rule.frozen:
        changes["delta"] = "none"
    if readout:
        changes |= {"teacher": "none"}
        changes |= {"below": "pass"} if rule.teacher == "local" and rule.delta == "none" else {}
    return rule.model_copy(update=changes)


def _least(names: Mapping[str, object], rule: Callable[[str, dict[str, bool]], bool]) -> dict[str, bool]:
    """The least solution of `found[name] = rule(name, found)`, which only grows."""
    found = dict.fromkeys(names, False)
    while True:
        grown = {name: value or rule(name, found) for name, value in found.items()}
        if grown == found:
            return found
        found = grown


def _taught(layers: Layers, rules: Mapping[str, LayerRules]) -> dict[str, bool]:
    return _least(rules, lambda name, got: _gets_error(layers, rules, name, got))


def _gets_error(
    layers: Layers, rules: Mapping[str, LayerRules], name: str, found: Mapping[str, bool]
) -> bool:
    if rules[name].teacher != "none" or name == layers.readout or layers.readout is None:
        return True
    return any(name in _carried(layers, rules[q], q) and found[q] for q in rules)


def _carried(layers: Layers, rule: LayerRules, name: str) -> frozenset[str]:
    """Populations to which layer `name` sends an error."""
    synapses = (layers.synapses[s] for s in layers.into(name))
    crossing = (s.sources for s in synapses if not cuts(rule, s.delayed))
    return layers.bare[name].union(*crossing) if rule.below == "pass" else frozenset()


def cuts(rule: LayerRules, delayed: bool) -> bool:
    """Whether a synapse node of a layer sends no error to its input.

    A trace, or no temporal rule, uses the errors of a step in that step alone, so none comes back
    through a Delay.
    """
    return rule.below == "stop" or (delayed and rule.temporal != "bptt")


def _wants_error(
    layers: Layers, rules: Mapping[str, LayerRules], name: str, found: Mapping[str, bool]
) -> bool:
    rule = rules[name]
    if rule.teacher != "none":
        return False
    return (not rule.frozen and rule.delta == "none") or _passes_on(layers, rule, name, found)


def _passes_on(layers: Layers, rule: LayerRules, name: str, wanted: Mapping[str, bool]) -> bool:
    learns = not rule.frozen and rule.delta == "none" and rule.below == "pass"
    chained = learns and any(layers.synapses[s].chained for s in layers.into(name))
    return chained or any(wanted[source] for source in _carried(layers, rule, name))


def _live(rule: LayerRules, passes: bool) -> LayerRules:
    """`rule` without the words that change nothing, given whether its error is passed on and used."""
    if passes:
        return rule
    if rule.frozen:
        return LayerRules(frozen=True)
    if rule.delta != "none":
        return LayerRules(delta=rule.delta)
    return LayerRules(teacher=rule.teacher, temporal=rule.temporal)


def check(graph: SpikingGraph, rules: Rules) -> None:
    """ConfigError listing every entry of `rules` that does not suit `graph`."""
    layers = layers_of(graph)
    wrong = [
        f"layer {name!r} is no population, allowed {', '.join(graph.populations)}"
        + nearest(name, graph.populations)
        for name in rules.named
        if name not in graph.populations
    ]
    if DEFAULT in graph.populations:
        wrong.append(f"population {DEFAULT!r} has the name that stands for all others; rename it")
    readout = rules.named.get(layers.readout or "")
    if readout is not None and readout.teacher != "none":
        wrong.append(
            f"layer {layers.readout!r} is the readout, which has the error itself: "
            f"found teacher {readout.teacher!r}, allowed none"
        )
    for name in graph.populations:
        wrong.extend(_unsuited(graph, layers, name, rules.of(name)))
    if wrong:
        raise ConfigError("learning rules: " + "; ".join(wrong))


def _unsuited(graph: SpikingGraph, layers: Layers, name: str, rule: LayerRules) -> list[str]:
    wrong = []
    synapses = {s: layers.synapses[s] for s in layers.into(name)}
    if rule.teacher in ("dfa", "sdfa") and layers.readout is None:
        wrong.append(f"layer {name!r}: {rule.teacher} needs one population before the Output, found none")
    if rule.delta != "none":
        wrong += [
            f"layer {name!r}: {rule.delta} allows Delays alone between a synapse node and its population, "
            f"found other nodes after {s!r}"
            for s, found in synapses.items()
            if found.lag is None
        ]
    if rule.below == "stop" and layers.bare[name]:
        wrong.append(
            f"layer {name!r}: {', '.join(sorted(layers.bare[name]))} leads to it without a synapse node, "
            "so its error cannot be stopped; say pass"
        )
    if rule.temporal != "bptt":
        if name in layers.bare_late:
            wrong.append(
                f"layer {name!r}: a Delay leads to it without a synapse node, where {rule.temporal} cannot "
                "keep errors from going back through time; use bptt"
            )
        wrong += [
            f"layer {name!r}: {s!r} is reached both at once and through a Delay; {rule.temporal} needs "
            "a synapse node for each"
            for s, found in synapses.items()
            if found.delayed and found.prompt
        ]
    return wrong
