"""The layers of a graph: each population with the synapse nodes that lead into it.

A synapse node between the last population and the Output belongs to no layer; it learns by its gradient.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import nir

from targets.errors import UnsupportedNodeError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION, SYNAPSE


@dataclass(frozen=True)
class Synapses:
    """One synapse node.

    Attributes:
        layer: the population that it leads to.
        sources: the populations whose errors it carries.
        chained: other synapse nodes lie between it and its sources.
        delayed: a Delay of a step or more lies between a source and the population.
        prompt: a path without such a Delay lies there too.
        late: a Delay of a step or more lies between it and the population.
        lag: steps from it to the population, None where other nodes than Delays lie between.
    """

    layer: str
    sources: frozenset[str]
    chained: bool
    delayed: bool
    prompt: bool
    late: bool
    lag: int | None


@dataclass(frozen=True)
class Layers:
    """What the rules of a network are assigned to.

    Attributes:
        synapses: every synapse node that leads to a population.
        inputs: `{population: populations before it}`, through any other nodes.
        bare: the same, for paths that hold no synapse node; bare_late: populations with such a path
            through a Delay of a step or more.
        readout: the population before the Output, None where there is not exactly one.
    """

    synapses: Mapping[str, Synapses]
    inputs: Mapping[str, frozenset[str]]
    bare: Mapping[str, frozenset[str]]
    bare_late: frozenset[str]
    readout: str | None

    def into(self, population: str) -> tuple[str, ...]:
        """The synapse nodes of a layer."""
        return tuple(name for name, found in self.synapses.items() if found.layer == population)


def layers_of(graph: SpikingGraph) -> Layers:
    """The layers of `graph`.

    Raises:
        UnsupportedNodeError: a synapse node that leads to several populations.
    """
    after: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        after[source].append(target)
    synapses = {}
    for name, node in graph.nodes.items():
        if not isinstance(node, SYNAPSE):
            continue
        ends = _walk(graph, name, after)
        if len(ends.populations) > 1:
            raise UnsupportedNodeError(
                f"node {name!r} leads to the populations {', '.join(sorted(ends.populations))}; learning "
                "rules belong to one population, so give each its own synapse node"
            )
        if ends.populations:
            starts = _walk(graph, name, graph.predecessors)
            (layer,) = ends.populations
            synapses[name] = Synapses(
                layer,
                starts.populations,
                starts.synapses,
                starts.delayed or ends.delayed,
                starts.prompt and ends.prompt,
                ends.delayed,
                _lag(graph, name, after),
            )
    reached = {name: _walk(graph, name, graph.predecessors) for name in graph.populations}
    bare = {name: _walk(graph, name, graph.predecessors, SYNAPSE) for name in graph.populations}
    last = {p for name in graph.outputs for p in _walk(graph, name, graph.predecessors).populations}
    return Layers(
        synapses,
        {name: walk.populations for name, walk in reached.items()},
        {name: walk.populations for name, walk in bare.items()},
        frozenset(name for name, walk in bare.items() if walk.delayed),
        last.pop() if len(last) == 1 else None,
    )


def _lag(graph: SpikingGraph, name: str, after: Mapping[str, list[str]]) -> int | None:
    lag = 0
    while len(after[name]) == 1:
        (name,) = after[name]
        if isinstance(graph.nodes[name], POPULATION):
            return lag
        if not isinstance(graph.nodes[name], nir.Delay):
            return None
        lag += graph.delay_steps(name)
    return None


@dataclass(frozen=True)
class _Reached:
    populations: frozenset[str]
    synapses: bool
    delayed: bool
    prompt: bool


def _walk(
    graph: SpikingGraph,
    start: str,
    step: Mapping[str, tuple[str, ...] | list[str]],
    closed: tuple[type[nir.NIRNode], ...] = (),
) -> _Reached:
    """What lies behind `start` up to the next populations, not through nodes of `closed` kinds."""
    populations: set[str] = set()
    late: set[bool] = set()
    synapses = False
    pending = deque((name, False) for name in step[start])
    seen = set(pending)
    while pending:
        name, delayed = pending.popleft()
        node = graph.nodes[name]
        if isinstance(node, closed):
            continue
        if isinstance(node, (*POPULATION, nir.Input, nir.Output)):
            if isinstance(node, POPULATION):
                populations.add(name)
                late.add(delayed)
            continue
        synapses = synapses or isinstance(node, SYNAPSE)
        delayed = delayed or (isinstance(node, nir.Delay) and graph.delay_steps(name) > 0)
        further = {(other, delayed) for other in step[name]} - seen
        seen |= further
        pending.extend(sorted(further))
    return _Reached(frozenset(populations), synapses, True in late, False in late)
