"""`SpikingGraph`: NIR nodes and edges with an execution profile, validated once and never changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import nir
import numpy as np

from targets.errors import GraphError
from targets.graph.kinds import POPULATION, SYNAPSE
from targets.graph.order import components
from targets.graph.profile import HOUSE, Profile
from targets.graph.shapes import Shape, infer_shapes
from targets.graph.validity import check_structure, check_values

Edge = tuple[str, str]


@dataclass(frozen=True, eq=False)
class SpikingGraph:
    """A spiking network: the one description that every part of the toolkit reads.

    Attributes:
        nodes: `{name: nir node}`, in the order given.
        edges: `(source, target)` pairs; several edges into one node mean their sum, in this order.
        profile: what a step means (`Profile`).
        assumptions: what was not stated and was filled in, one sentence each.
        metadata: notes that a file carries; they mean nothing here and are kept. Those of a subgraph
            "sub" stand under "sub.key".
    """

    nodes: Mapping[str, nir.NIRNode]
    edges: tuple[Edge, ...]
    profile: Profile = HOUSE
    assumptions: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        nodes: Mapping[str, nir.NIRNode],
        edges: Sequence[Edge],
        profile: Profile | Mapping[str, Any] | None = None,
        assumptions: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> SpikingGraph:
        """Validate nodes and edges and return the graph.

        Raises:
            GraphError: unknown node kind, missing or doubled edge, an edge into an Input or out of an
                Output, a parameter that is NaN, infinite, of the wrong type, rank or shape, shapes that
                do not match, a node that no input reaches.
        """
        if not isinstance(profile, Profile):
            profile = HOUSE.with_values(profile or {})
        pairs = tuple((str(a), str(b)) for a, b in edges)
        graph = cls(dict(nodes), pairs, profile, tuple(assumptions), dict(metadata or {}))
        check_structure(graph.nodes, graph.edges)
        check_values(graph.nodes)
        graph.shapes  # noqa: B018  computing the shapes checks them
        return graph

    def replace(self, **changes: Any) -> SpikingGraph:
        """A validated copy with fields replaced."""
        new = replace(self, **changes)
        return SpikingGraph.build(new.nodes, new.edges, new.profile, new.assumptions, new.metadata)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the Input nodes."""
        return tuple(n for n, node in self.nodes.items() if isinstance(node, nir.Input))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the Output nodes."""
        return tuple(n for n, node in self.nodes.items() if isinstance(node, nir.Output))

    @cached_property
    def populations(self) -> tuple[str, ...]:
        """Names of the neuron populations in execution order."""
        return tuple(n for group in self.components for n in group if isinstance(self.nodes[n], POPULATION))

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """Sources of each node, in edge order: the order in which their values are summed."""
        into: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            into[target].append(source)
        return {name: tuple(sources) for name, sources in into.items()}

    @cached_property
    def components(self) -> list[list[str]]:
        """Strongly connected components in topological order."""
        return components(list(self.nodes), self.edges)

    @cached_property
    def cyclic(self) -> frozenset[str]:
        """Names of the nodes that lie on a cycle."""
        loops = {a for a, b in self.edges if a == b}
        return frozenset(n for group in self.components if len(group) > 1 or group[0] in loops for n in group)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Output shape of each node, without batch and time."""
        return infer_shapes(self.nodes, self.edges)

    def _repr_html_(self) -> str:
        from targets.notebook import table

        rows = [
            {
                "node": name,
                "kind": type(node).__name__,
                "shape": " x ".join(map(str, self.shapes[name])),
                "from": self.predecessors[name],
            }
            for name, node in self.nodes.items()
        ]
        profile = ", ".join(f"{key} {value}" for key, value in vars(self.profile).items())
        return table(rows, f"SpikingGraph of {len(self.nodes)} nodes: {profile}", self.assumptions)

    def input_shape(self, name: str) -> Shape:
        """Shape that arrives at a node."""
        sources = self.predecessors[name]
        return self.shapes[sources[0]] if sources else self.shapes[name]

    def synapses_into(self, population: str) -> tuple[str, ...]:
        """Synapse nodes between `population` and the populations before it, through all other nodes."""
        found: list[str] = []
        pending = deque(self.predecessors[population])
        while pending:
            name = pending.popleft()
            if isinstance(self.nodes[name], SYNAPSE):
                found.append(name)
            elif not isinstance(self.nodes[name], (*POPULATION, nir.Input)):
                pending.extend(self.predecessors[name])
        return tuple(found)

    def require_dt(self, verb: str) -> float:
        """The step in seconds, or a GraphError that says how to give it."""
        if self.profile.dt is None:
            raise GraphError(
                f"{verb} needs the time step: the graph has dynamics and no dt. "
                'Give profile={"dt": 1e-4} in Python or --profile dt=1e-4 on the command line'
            )
        return self.profile.dt

    def delay_steps(self, name: str) -> int:
        """Whole steps of a Delay node; GraphError where delay / dt is no whole number."""
        delay = np.unique(np.asarray(self.nodes[name].delay, dtype=np.float64))
        if delay.size != 1:
            raise GraphError(
                f"node {name!r} (Delay): found {delay.size} different delays, allowed one a node"
            )
        steps = float(delay[0]) / self.require_dt("a Delay")
        if abs(steps - round(steps)) > 1e-6 * max(1.0, abs(steps)) or round(steps) < 0:
            raise GraphError(
                f"node {name!r} (Delay): {float(delay[0])} s is {steps:.6g} steps of dt={self.profile.dt}, "
                "allowed a whole number of steps >= 0"
            )
        return round(steps)
