"""What other frameworks do with the file of a graph: read it, refuse it, or lose something of it.

Every row was found by giving the framework a file of `targets.graph.writer` and comparing what it then
computes with the reference (`tests/targets/readers`). "refuses" is an error on import; "loses" is silent:
another network runs. Where a framework takes the step as an argument, it is given that of the graph.
All of them fire once a step, step by Euler and reset to a value, Sinabs and Rockpool apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from targets.graph.graph import SpikingGraph
from targets.graph.implicit import RULES, WITHOUT_RULE, order_fault
from targets.graph.kinds import KNOWN, SPIKING
from targets.graph.profile import HOUSE
from targets.graph.shapes import Shape, pair

REFUSES, LOSES, READS = "refuses", "loses", "reads"


@dataclass(frozen=True)
class Place:
    """What surrounds a node: the step in seconds (NaN where it is unknown) and the shape that arrives."""

    dt: float
    shape: Shape


_Test = Callable[[Any, Place], bool]


@dataclass(frozen=True)
class Fault:
    """What becomes of nodes of some kinds, where `when(node, place)` holds."""

    verdict: str
    kinds: tuple[type[nir.NIRNode], ...]
    why: str
    when: _Test = lambda node, at: True


@dataclass(frozen=True)
class Reader:
    """A release of a framework; `comparison` of its neurons, where else it runs the house profile."""

    version: str
    faults: tuple[Fault, ...]
    comparison: str | None = ">"


@dataclass(frozen=True)
class Reading:
    """What one framework does with a graph: "reads", "refuses" or "loses", and why, one sentence each."""

    framework: str
    version: str
    verdict: str
    why: tuple[str, ...]


def readings(graph: SpikingGraph) -> tuple[Reading, ...]:
    """What each framework does with the file that `targets.save` writes of `graph`."""
    return tuple(_reading(graph, name, reader) for name, reader in READERS.items())


def _reading(graph: SpikingGraph, framework: str, reader: Reader) -> Reading:
    found: list[tuple[str, str]] = []
    dt = graph.profile.dt or float("nan")
    for fault in reader.faults:
        names = [
            name
            for name, node in graph.nodes.items()
            if type(node) in fault.kinds and fault.when(node, Place(dt, graph.input_shape(name)))
        ]
        if names:
            found.append((fault.verdict, f"{_named(graph, names)}: {fault.why}"))
    if any(isinstance(node, SPIKING) for node in graph.nodes.values()) and reader.comparison is not None:
        runs = replace(HOUSE, comparison=reader.comparison)
        odd = graph.profile.differences(runs).items()
        found += [(LOSES, f"profile {key}: {ours!r} runs as {theirs!r}") for key, (ours, theirs) in odd]
    if framework in RULES and not any(type(node) is nir.Delay for node in graph.nodes.values()):
        late = order_fault(graph, framework)
        found += [(LOSES, late)] if late is not None else []
    verdicts = {verdict for verdict, _ in found}
    verdict = next((v for v in (REFUSES, LOSES) if v in verdicts), READS)
    return Reading(framework, reader.version, verdict, tuple(why for _, why in found))


def _named(graph: SpikingGraph, names: list[str]) -> str:
    kinds = "/".join(dict.fromkeys(type(graph.nodes[name]).__name__ for name in names))
    few = ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{kinds} {few}"


def _all(found: Any, wanted: Any) -> bool:
    return bool(np.allclose(np.asarray(found, float), np.asarray(wanted, float), rtol=1e-6, atol=1e-12))


def _even(*values: Any) -> bool:
    return all(np.unique(value).size == 1 for value in values)


def _padded(node: nir.SumPool2d, at: Place) -> bool:
    return any(pair(node.padding))


def _uneven_leaky(node: nir.LIF, at: Place) -> bool:
    gain = _all(node.r, 1) or _all(node.r, np.asarray(node.tau) / at.dt)
    even = _even(node.tau, node.r, node.v_threshold, node.v_reset, node.v_leak)
    return not (gain and even and _all(node.v_leak, node.v_reset) and (np.asarray(node.tau) > at.dt).all())


def _uneven_current(node: nir.CubaLIF, at: Place) -> bool:
    gain = _all(node.r, np.asarray(node.tau_mem) / at.dt) and _all(
        node.w_in, np.asarray(node.tau_syn) / at.dt
    )
    even = _even(node.tau_syn, node.tau_mem, node.v_threshold, node.v_reset)
    return not (gain and even and _all(node.v_leak, 0))


def _unmapped(verdict: str, why: str, *mapped: type[nir.NIRNode]) -> Fault:
    """Every kind but the ports and `mapped`."""
    return Fault(verdict, tuple(k for k in KNOWN if k not in (nir.Input, nir.Output, *mapped)), why)


_CONV = (nir.Conv1d, nir.Conv2d)
_UNCHECKED = "nir.read(path, type_check=False) reads it"
_GROUPED = Fault(
    REFUSES,
    _CONV,
    f"with groups > 1, which its type check leaves out of the input channels; {_UNCHECKED}",
    lambda node, at: int(node.groups) > 1,
)
_OBLONG = Fault(
    REFUSES,
    (nir.Conv2d,),
    f"with a kernel that is not square, which its type check takes for one; {_UNCHECKED}",
    lambda node, at: node.weight.shape[2] != node.weight.shape[3],
)
_AXES = Fault(
    REFUSES,
    (nir.Affine, nir.Linear),
    f"on more than a vector, which its type check does not know; {_UNCHECKED}",
    lambda node, at: len(at.shape) > 1,
)
_TYPES = (_GROUPED, _OBLONG, _AXES)
_NO_PADDING = Fault(LOSES, (nir.SumPool2d,), "its padding is left out", _padded)
_NO_MAPPING = "has no mapping"
_V_RESET = Fault(
    REFUSES, SPIKING, "nir <= 1.0.4, which it needs, knows no v_reset: unexpected keyword argument"
)
_CUBA_LI = Fault(REFUSES, (nir.CubaLI,), "nir <= 1.0.4, which it needs, does not know the kind")
_STATELESS = (nir.Affine, nir.Linear, *_CONV, nir.AvgPool2d, nir.SumPool2d, nir.Flatten)

READERS: Mapping[str, Reader] = {
    "nir": Reader("1.0.8", _TYPES, comparison=None),
    "nirtorch": Reader(
        "2.6",
        (
            *_TYPES,
            _NO_PADDING,
            _unmapped(REFUSES, f"{_NO_MAPPING}; give one in node_map", *_STATELESS),
            Fault(LOSES, (nir.Affine,), "its bias is replaced by random numbers; give a mapping in node_map"),
        ),
        comparison=None,
    ),
    "norse": Reader(
        "1.1.0",
        (
            *_TYPES,
            _NO_PADDING,
            _unmapped(
                LOSES,
                "is left out with its connections, without a word",
                nir.Affine, nir.Linear, nir.Conv2d, nir.Flatten, nir.SumPool2d, *SPIKING,
            ),
            Fault(LOSES, (nir.LIF,), "r is taken for 1", lambda node, at: not _all(node.r, 1)),
            Fault(LOSES, (nir.IF,), "r is taken for 1 / dt", lambda node, at: not _all(node.r * at.dt, 1)),
            Fault(LOSES, SPIKING, "v_reset is taken for 0", lambda node, at: bool(np.any(node.v_reset))),
            Fault(
                LOSES,
                (nir.LIF, nir.CubaLIF),
                "the membrane starts at v_leak, and the synapse of CubaLIF leaks to it as well",
                lambda node, at: bool(np.any(node.v_leak)),
            ),
        ),
    ),
    "rockpool": Reader(
        "3.1.0",
        (
            _V_RESET,
            _CUBA_LI,
            _unmapped(REFUSES, _NO_MAPPING, nir.Affine, nir.Linear, nir.LI, nir.CubaLI, *SPIKING),
            Fault(LOSES, (nir.LI,), "tau is cut to a whole number"),
            Fault(REFUSES, (nir.Affine, nir.Linear), "runs on vectors only", _AXES.when),
        ),
        comparison=None,
    ),
    "sinabs": Reader(
        "3.1.3",
        (
            _V_RESET,
            _CUBA_LI,
            _NO_PADDING,
            Fault(REFUSES, (nir.Conv1d,), "its import fails on the weights"),
            Fault(REFUSES, (nir.Conv2d,), "with groups > 1, which are counted twice", _GROUPED.when),
            Fault(LOSES, (nir.LI,), "tau is taken for a number of steps"),
            Fault(
                LOSES,
                (nir.AvgPool2d, nir.Delay, nir.I, nir.Linear, nir.Scale, nir.Threshold),
                "is left out with its connections, without a word",
            ),
        ),
        comparison=None,
    ),
    "snntorch": Reader(
        "1.0.0",
        (
            *_TYPES,
            _NO_PADDING,
            _unmapped(REFUSES, _NO_MAPPING, *_STATELESS, *SPIKING),
            Fault(REFUSES, (nir.IF,), "r must be 1, and becomes a leaky neuron then"),
            Fault(
                REFUSES,
                (nir.LIF, nir.CubaLIF),
                "v_leak must be 0 and v_threshold uniform",
                lambda node, at: bool(np.any(node.v_leak)) or not _even(node.v_threshold),
            ),
            Fault(
                REFUSES,
                (nir.CubaLIF,),
                "r must be tau_mem / 1e-4 s",
                lambda node, at: not np.allclose(node.r, np.asarray(node.tau_mem) / 1e-4),
            ),
            Fault(LOSES, (nir.LIF, nir.CubaLIF), "a step is 1e-4 s", lambda node, at: not _all(at.dt, 1e-4)),
            Fault(
                LOSES,
                (nir.LIF, nir.CubaLIF),
                "v_reset is taken for 0",
                lambda node, at: bool(np.any(node.v_reset)),
            ),
        ),
    ),
    "spikingjelly": Reader(
        "2.0.0",
        (
            *_TYPES,
            _NO_PADDING,
            _unmapped(REFUSES, _NO_MAPPING, *_STATELESS, *SPIKING),
            Fault(
                REFUSES,
                (nir.IF,),
                "r must be 1 / dt, v_threshold and v_reset uniform",
                lambda node, at: not (_all(node.r * at.dt, 1) and _even(node.v_threshold, node.v_reset)),
            ),
            Fault(
                REFUSES,
                (nir.LIF,),
                "must be uniform, r = 1 or tau / dt, v_leak = v_reset, tau > dt",
                _uneven_leaky,
            ),
            Fault(
                REFUSES,
                (nir.CubaLIF,),
                "must be uniform, r = tau_mem / dt, w_in = tau_syn / dt, v_leak = 0",
                _uneven_current,
            ),
        ),
        comparison=">=",
    ),
}  # fmt: skip


def markdown() -> str:
    """The table as a page of the documentation."""
    lines = [
        "# Which framework reads our files",
        "",
        "By `python -m targets.graph.readers`. All was run (`tests/targets/readers`), but for the step that",
        "the code of snnTorch fixes. `msenas export` says it of one network. What nir 1.0.8 refuses,",
        "nirtorch, norse, snntorch and spikingjelly refuse as well, since they read through it.",
        "",
        "| framework | does | with | why |",
        "| --- | --- | --- | --- |",
    ]
    for name, reader in READERS.items():
        for fault in reader.faults:
            if fault in _TYPES and name != "nir":
                continue
            kinds = ", ".join(kind.__name__ for kind in fault.kinds)
            lines.append(f"| {name} {reader.version} | {fault.verdict} | {kinds} | {fault.why} |")
        if reader.comparison not in (None, HOUSE.comparison):
            why = f"fires where v {reader.comparison} v_threshold"
            lines.append(f"| {name} {reader.version} | {LOSES} | every population that fires | {why} |")
    lines += ["", "## Where they put the step of a cycle that has no Delay", ""]
    lines += [f"* {name}: {rule.text}." for name, rule in RULES.items()]
    lines += [f"* {name}: {why}." for name, why in WITHOUT_RULE.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
