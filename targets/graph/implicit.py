"""Cycles without their Delay nodes, where a framework's own rule puts the step in the same place.

NIR does not say where the step of a cycle lies, and frameworks that refuse a Delay node each put one
where their order of execution demands it. Here that order is computed; the nodes are left out only if
every population and every output then gives the same spikes in the same step, in that framework and
in the file read back (`targets.graph.cycles`).

A step may stand on another edge than the Delay did: moved across a stateless node, on all its ways in
and out, it changes nothing, as long as the node gives zero for zero (no bias). Sources: the code of
nirtorch 2.6, Norse 1.1.0, SpikingJelly 2.0.0 and snnTorch 1.0.0, and runs of them
(`tests/targets/readers`).
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import nir
import numpy as np

from targets.errors import ConfigError, UnsupportedNodeError
from targets.graph.cycles import delay_cycles
from targets.graph.graph import Edge, SpikingGraph
from targets.graph.kinds import POPULATION, PORT
from targets.graph.order import components, topological

Nodes = Mapping[str, nir.NIRNode]
Steps = Mapping[Edge, int]


class _NoRuleError(Exception):
    """The framework has no place for a step in this graph, or does not run it; says why."""


@dataclass(frozen=True)
class CycleRule:
    """Where a framework puts steps of its own.

    Attributes:
        text: the rule, for messages.
        stepped: the edges that deliver one step late, for nodes and edges as the file holds them.
    """

    text: str
    stepped: Callable[[Nodes, Sequence[Edge]], frozenset[Edge]]


@dataclass(frozen=True)
class _Wires:
    """A graph without its Delay nodes; `steps` holds what they were, for each edge."""

    nodes: dict[str, nir.NIRNode]
    edges: list[Edge] = field(default_factory=list)
    steps: dict[Edge, int] = field(default_factory=dict)


def without_delays(graph: SpikingGraph, framework: str) -> SpikingGraph:
    """`graph` without its Delay nodes, with the same spikes when `framework` runs it.

    The order of the edges may change; the order in which each node sums its inputs does not.

    Raises:
        ConfigError: an unknown framework.
        GraphError: a delay is no whole number of steps, or the graph has no dt.
        UnsupportedNodeError: the rule of `framework` would give other spikes; names each Delay, its
            cycle and its steps, and the rule.
    """
    rule = _find(framework)
    names = [name for name, node in graph.nodes.items() if type(node) is nir.Delay]
    faults = [fault for name in names for fault in _faults(graph, name)]
    if not faults:
        wires = _without(graph.nodes, graph.edges, graph.delay_steps)
        for edges in (wires.edges, _depth_first(wires)):
            fault = _disagreement(graph, rule, wires, edges)
            if fault is None:
                return graph.replace(nodes=wires.nodes, edges=tuple(edges))
            faults.append(fault)
    cycles = "; ".join(_described(graph, name) for name in names) or "no Delay"
    raise UnsupportedNodeError(
        f"--implicit-delay {framework}: {faults[-1]}. Found {cycles}. The rule of {framework}: {rule.text}. "
        "Write the file without the option, with its Delay nodes"
    )


def order_fault(graph: SpikingGraph, framework: str) -> str | None:
    """Why a graph without Delay nodes gives other spikes in a framework, in its order of execution."""
    nodes, edges, _ = delay_cycles(graph.nodes, graph.edges, graph.profile.dt or 1.0)
    wires = _without(nodes, edges, lambda _: 1)
    try:
        stepped = RULES[framework].stepped(wires.nodes, wires.edges)
    except _NoRuleError as reason:
        return str(reason)
    fault = _moved(wires, {edge: int(edge in stepped) for edge in wires.edges})
    mended = f"; --implicit-delay {framework} writes the edges in an order that avoids it, where there is one"
    return None if fault is None else fault + mended


def _find(framework: str) -> CycleRule:
    if framework in RULES:
        return RULES[framework]
    if framework in WITHOUT_RULE:
        raise ConfigError(f"--implicit-delay {framework}: {WITHOUT_RULE[framework]}; {_allowed(framework)}")
    raise ConfigError(f"--implicit-delay {framework!r}: is not known, {_allowed(framework)}")


def _allowed(framework: str) -> str:
    near = difflib.get_close_matches(framework, RULES, 1)
    return f"allowed {', '.join(RULES)}" + (f"; did you mean {near[0]!r}?" if near else "")


def _faults(graph: SpikingGraph, name: str) -> list[str]:
    """Why one Delay cannot be left out, whatever the framework."""
    steps = graph.delay_steps(name)
    faults = []
    if steps and name not in graph.cyclic:
        faults.append(f"node {name!r} (Delay) lies in no cycle, and only a cycle gets a step unasked")
    if steps > 1:
        faults.append(f"node {name!r} (Delay) holds {steps} steps, allowed 1")
    if len(graph.predecessors[name]) > 1:
        faults.append(f"node {name!r} (Delay) sums {len(graph.predecessors[name])} nodes, allowed 1")
    return faults


def _described(graph: SpikingGraph, name: str) -> str:
    steps = graph.delay_steps(name)
    where = " -> ".join(map(repr, _cycle(graph, name))) if name in graph.cyclic else "no cycle"
    return f"{name!r} with {steps} step{'s' * (steps != 1)} in {where}"


def _cycle(graph: SpikingGraph, name: str) -> list[str]:
    """A shortest cycle through `name`, from it and back to it."""
    before: dict[str, str] = {}
    pending = deque([name])
    after: dict[str, list[str]] = {node: [] for node in graph.nodes}
    for source, target in graph.edges:
        after[source].append(target)
    while name not in before:
        source = pending.popleft()
        for target in after[source]:
            if target not in before:
                before[target] = source
                pending.append(target)
    path = [name, before[name]]
    while path[-1] != name:
        path.append(before[path[-1]])
    return path[::-1]


def _without(nodes: Nodes, edges: Sequence[Edge], steps_of: Callable[[str], int]) -> _Wires:
    """The graph with each Delay, which has one source, dissolved into the steps of its edges."""
    behind = {target: source for source, target in edges if type(nodes[target]) is nir.Delay}
    wires = _Wires({name: node for name, node in nodes.items() if name not in behind})
    for source, target in edges:
        if target in behind:
            continue
        steps, passed = 0, set()
        while source in behind and source not in passed:
            passed.add(source)
            steps += steps_of(source)
            source = behind[source]
        if source in passed or (source, target) in wires.steps:
            twice = f"edge {source!r} -> {target!r} would stand twice without its Delay"
            alone = f"node {source!r} (Delay): its cycle holds nothing but Delay nodes"
            raise UnsupportedNodeError(f"--implicit-delay: {alone if source in passed else twice}")
        wires.edges.append((source, target))
        wires.steps[source, target] = steps
    return wires


def _disagreement(graph: SpikingGraph, rule: CycleRule, wires: _Wires, edges: Sequence[Edge]) -> str | None:
    """Why the file would not give the spikes of `graph`, there or read back here; None where it does."""
    try:
        stepped = rule.stepped(wires.nodes, edges)
    except _NoRuleError as reason:
        return str(reason)
    fault = _moved(wires, {edge: int(edge in stepped) for edge in edges})
    if fault is not None:
        return fault
    dt = graph.require_dt("a Delay")
    nodes, delayed, _ = delay_cycles(wires.nodes, edges, dt)
    back = _without(nodes, delayed, lambda _: 1)
    fault = _moved(wires, back.steps)
    return None if fault is None else f"read back by this toolkit, {fault}"


def _moved(wires: _Wires, found: Steps) -> str | None:
    """Why steps `found` on the edges give other spikes than those of `wires`; None where they do not.

    A stateless node may work some steps later or earlier than it did, if all that it receives moves
    alike and it gives zero before its first input; populations and ports must not.
    """
    late = {name: 0 for name, node in wires.nodes.items() if isinstance(node, (*POPULATION, *PORT))}
    touching: dict[str, list[Edge]] = {name: [] for name in wires.nodes}
    for edge in wires.edges:
        for end in set(edge):
            touching[end].append(edge)
    pending = deque(late)
    while pending:
        for source, target in touching[pending.popleft()]:
            shift = found[source, target] - wires.steps[source, target]
            if source not in late:
                late[source] = late[target] - shift
                pending.append(source)
            elif target not in late:
                late[target] = late[source] + shift
                pending.append(target)
            elif late[target] != late[source] + shift:
                wanted, there = wires.steps[source, target], found[source, target]
                return f"edge {source!r} -> {target!r} would carry {there} steps where the graph has {wanted}"
    loud = [name for name, by in late.items() if by and not _gives_zero(wires.nodes[name])]
    if loud:
        return f"the step would pass to the other side of node {loud[0]!r}, whose bias acts at once"
    return None


def _gives_zero(node: nir.NIRNode) -> bool:
    """Whether a stateless node gives zero for zero."""
    if type(node) is nir.Threshold:
        return bool((np.asarray(node.threshold) >= 0).all())
    return not np.any(getattr(node, "bias", 0))


def _depth_first(wires: _Wires) -> list[Edge]:
    """The edges so that a walk down from the Input meets nodes after those that they wait for.

    Where the sums forbid that order the edges stay as they are.
    """
    group = {n: i for i, names in enumerate(components(list(wires.nodes), wires.edges)) for n in names}
    at_once = [edge for edge in wires.edges if not wires.steps[edge]]
    order = topological(wires.nodes, at_once) or list(wires.nodes)
    place = {name: i for i, name in enumerate(order)}
    # Nodes with a way to the Output that no step interrupts.
    onward = {name for name, node in wires.nodes.items() if type(node) is nir.Output}
    sources: dict[str, list[str]] = {name: [] for name in wires.nodes}
    for source, target in at_once:
        sources[target].append(source)
    for name in reversed(order):
        onward.update(sources[name] if name in onward else ())

    def rank(edge: Edge) -> tuple[bool, bool, bool, int]:
        source, target = edge
        last = type(wires.nodes[target]) is nir.Output
        return group[source] != group[target], last, target in onward, place[target]

    leaving: dict[str, list[Edge]] = {name: [] for name in wires.nodes}
    entering: dict[str, list[Edge]] = {name: [] for name in wires.nodes}
    for edge in wires.edges:
        leaving[edge[0]].append(edge)
        entering[edge[1]].append(edge)
    chains = [*(sorted(edges, key=rank) for edges in leaving.values()), *entering.values()]
    number = {edge: str(i) for i, edge in enumerate(wires.edges)}
    before = {(number[a], number[b]) for chain in chains for a, b in pairwise(chain)}
    sequence = topological(list(number.values()), sorted(before, key=lambda pair: int(pair[0])))
    return [wires.edges[int(i)] for i in sequence] if sequence else wires.edges


def _one_way(nodes: Nodes, edges: Sequence[Edge]) -> tuple[str, str]:
    """The only Input and the only Output."""
    ports = []
    for cls in (nir.Input, nir.Output):
        found = [name for name, node in nodes.items() if type(node) is cls]
        if len(found) != 1:
            raise _NoRuleError(f"the graph has {len(found)} {cls.__name__} nodes, which it does not run")
        ports += found
    sources = [source for source, target in edges if target == ports[1]]
    if len(sources) != 1:
        raise _NoRuleError(f"the Output {ports[1]!r} sums {len(sources)} nodes, which it does not")
    safe: dict[str, str] = {}
    for name in nodes:
        other = safe.setdefault(name.replace(".", "_"), name)
        if other != name:
            raise _NoRuleError(f"nodes {other!r} and {name!r} are one to it, which writes '.' as '_'")
    return ports[0], ports[1]


def _queued(nodes: Nodes, edges: Sequence[Edge]) -> frozenset[Edge]:
    """nirtorch.nir_to_torch: nodes in the file's order of names, from the Input on, round and round."""
    first, _ = _one_way(nodes, edges)
    group = {name: i for i, names in enumerate(components(list(nodes), edges)) for name in names}
    into: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        into[target].append(source)
    names = sorted(nodes, key=lambda name: name.encode())
    waiting = deque(names[names.index(first) :] + names[: names.index(first)])
    done: set[str] = set()
    stepped: set[Edge] = set()
    idle = 0
    while waiting:
        name = waiting.popleft()
        open_ = [source for source in into[name] if source not in done]
        backward = len(into[name]) > 1 and all(group[source] == group[name] for source in open_)
        if open_ and not backward:
            waiting.append(name)
            idle += 1
            if idle > len(waiting):
                raise _NoRuleError(f"node {name!r} waits for {open_[0]!r} for ever: its import hangs")
            continue
        stepped.update((source, name) for source in open_)
        done.add(name)
        idle = 0
    return frozenset(stepped)


def _queued_by_snntorch(nodes: Nodes, edges: Sequence[Edge]) -> frozenset[Edge]:
    """nirtorch's order, after snnTorch has rewritten pairs of a population and its recurrent weights."""
    for source, target in edges:
        pair = isinstance(nodes[source], nir.LIF | nir.CubaLIF) and isinstance(
            nodes[target], nir.Affine | nir.Linear
        )
        ends = [edge for edge in edges if target in edge]
        if pair and sorted(ends) == sorted([(source, target), (target, source)]):
            raise _NoRuleError(
                f"it sends the input of {source!r} through {target!r} as well, since it takes the two for a "
                "layer of its own"
            )
    return _queued(nodes, edges)


def _walked(nodes: Nodes, edges: Sequence[Edge]) -> frozenset[Edge]:
    """nirtorch.load: nodes as a walk down from the Input meets them, before what they lead to."""
    first, last = _one_way(nodes, edges)
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
    place = {first: 0}
    stack = [iter(after[first])]
    while stack:
        following = next(stack[-1], None)
        if following is None:
            stack.pop()
        elif following not in place:
            place[following] = len(place)
            stack.append(iter(after[following]))
    unmet = next((name for name in nodes if name not in place), None)
    if unmet is not None:
        raise _NoRuleError(f"node {unmet!r} is not reached from the Input, so it does not run it")
    if place[last] != len(place) - 1:
        raise _NoRuleError("it returns the node that it runs last, and that is not the Output")
    return frozenset((source, target) for source, target in edges if place[source] >= place[target])


_QUEUE = (
    "it runs the nodes in alphabetical order, each once its inputs are there; a node with several inputs "
    "does not wait for those that lie on a cycle with it, and takes their output of the step before"
)
RULES: Mapping[str, CycleRule] = {
    "nirtorch": CycleRule(_QUEUE, _queued),
    "norse": CycleRule(
        "it runs the nodes in the order in which a depth-first walk from the Input meets them; what runs "
        "later, in a cycle or not, is taken from the step before",
        _walked,
    ),
    "snntorch": CycleRule(
        f"{_QUEUE}; a LIF or CubaLIF with one Affine or Linear around it is changed into another network",
        _queued_by_snntorch,
    ),
    "spikingjelly": CycleRule(_QUEUE, _queued),
}
# Frameworks that import NIR and put no step on a cycle.
WITHOUT_RULE: Mapping[str, str] = {
    "rockpool": "it runs all steps of a layer before those of the next, and no cycle",
    "sinabs": "it runs all steps of a layer before those of the next, and no cycle",
}
