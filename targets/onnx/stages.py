"""What of a step may run once for all steps, and what must run step by step.

A dense layer at one sample reads its whole weight matrix for one vector, in every step anew; with time
folded into the batch it reads it once. So dense layers on no loop are folded, with the stateless nodes
around them. Convolutions gain nothing from it, and their currents would have to be kept for all steps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import nir
import numpy as np
from onnx import NodeProto

from targets.graph.graph import SpikingGraph
from targets.graph.order import components
from targets.onnx.body import Body

_DENSE = ("MatMul", "MatMulInteger")
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Stage:
    """Nodes of a body in its order, which run step by step, or once for all steps where `folded`."""

    nodes: Sequence[NodeProto]
    folded: bool = False


@dataclass(frozen=True)
class Component:
    """Strongly connected nodes, through states too, by first outputs; `cyclic` where they are a loop."""

    members: Sequence[str]
    cyclic: bool


class Flow:
    """Who reads what in the step of a body. A node goes by its first output.

    Attributes:
        nodes: by name, in the body's order.
        reads: of each node, the inputs that change from step to step.
        sources: of each node, the nodes behind them, through states too.
        components: in topological order.
    """

    def __init__(self, body: Body) -> None:
        self.states = {f"{name}/before": name for name in body.states}
        self.nodes = {node.output[0]: node for node in body.nodes}
        fixed = {constant.name for constant in body.constants}
        self.reads: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            self.reads[name] = [value for value in node.input if value and value not in fixed]
            if not self.reads[name]:
                fixed.update(node.output)
        made = {out: name for name, node in self.nodes.items() for out in node.output}
        behind = made | {b: made[body.following[s]] for b, s in self.states.items() if s in body.following}
        self.sources = {
            name: [behind[value] for value in read if value in behind] for name, read in self.reads.items()
        }
        edges = [(source, name) for name, found in self.sources.items() for source in found]
        loops = {a for a, b in edges if a == b}
        self.components = [
            Component(group, len(group) > 1 or group[0] in loops)
            for group in components(list(self.nodes), edges)
        ]


def stages(body: Body) -> list[Stage]:
    """The nodes of a float body by stages, in the order in which they run; one where nothing is folded."""
    flow = Flow(body)
    folded = _folded(body, flow)
    levels = _levels(flow, folded)
    homes = [{levels[name] for name, found in flow.reads.items() if value in found} for value in flow.states]
    ends = {out: levels[name] for name, node in flow.nodes.items() for out in node.output}
    for state, home in zip(flow.states.values(), homes, strict=True):
        if len(home | {ends[body.following[state]]}) > 1:
            # A delay line would reach from one stage into another.
            return [Stage(body.nodes)]
    found = []
    for level in sorted({level for name, level in levels.items() if flow.reads[name]}):
        members = {name for name in levels if levels[name] == level and flow.reads[name]}
        found.append(Stage(_with_fixed(flow, members), bool(members & folded)))
    return found


def folded_bytes(graph: SpikingGraph) -> int:
    """Bytes a step and sample that folding keeps for all steps; 0 where a graph has nothing to fold."""
    groups = components(list(graph.nodes), graph.edges)
    alone = [graph.nodes[group[0]] for group in groups if len(group) == 1]
    dense = [node.weight.shape for node in alone if isinstance(node, nir.Affine | nir.Linear)]
    return _FLOAT_BYTES * int(np.sum(dense))


def _folded(body: Body, flow: Flow) -> set[str]:
    """Dense layers on no loop, what only they feed, and what reads nothing else."""
    kept = set(body.following.values())
    plain = [
        name
        for (name, *more), cyclic in ((c.members, c.cyclic) for c in flow.components)
        if not (more or cyclic or kept.intersection(flow.nodes[name].output))
        and flow.reads[name]
        and not flow.states.keys() & flow.reads[name]
    ]
    found = {name for name in plain if flow.nodes[name].op_type in _DENSE}
    users: dict[str, list[str]] = {name: [] for name in flow.nodes}
    for name, sources in flow.sources.items():
        for source in sources:
            users[source].append(name)
    for name in plain:
        if flow.sources[name] and len(flow.sources[name]) == len(flow.reads[name]):
            found |= {name} if found.issuperset(flow.sources[name]) else set()
    for name in reversed(plain):
        if users[name] and found.issuperset(users[name]):
            found.add(name)
    return found


def _levels(flow: Flow, folded: Collection[str]) -> dict[str, int]:
    """Stage of each node: odd step by step, even folded; as early as what it reads allows."""
    levels: dict[str, int] = {}
    for component in flow.components:
        members = set(component.members)
        once = component.members[0] in folded
        before = {source for name in members for source in flow.sources[name]} - members
        reached = [levels[source] + ((source in folded) != once) for source in before]
        level = max(reached, default=0 if once else 1)
        levels.update(dict.fromkeys(members, level))
    return levels


def _with_fixed(flow: Flow, members: Collection[str]) -> list[NodeProto]:
    """The nodes of `members` in the body's order, with those that make constants for them."""
    wanted, needed = set(members), set[str]()
    for name, node in reversed(flow.nodes.items()):
        if name in wanted or (not flow.reads[name] and needed.intersection(node.output)):
            wanted.add(name)
            needed.update(node.input)
    return [node for name, node in flow.nodes.items() if name in wanted]
