"""A SpikingGraph as a differentiable torch module.

Stateless nodes outside cycles run once, with time folded into the batch; populations scan over
time; a cyclic component steps through time as a whole, its Delay nodes reading what was stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import nir
import torch
from torch import Tensor, nn

from targets.errors import GraphError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION, SYNAPSE
from targets.graph.order import topological
from targets.reference import stateless
from targets.reference.scan import Coefficients, State, step, trace


class CurrentTransform(Protocol):
    """Acts on the summed current of a population before it is integrated (training only)."""

    def external(self, current: Tensor) -> Tensor:
        """`current` [T, B, *shape] from outside the population's cycle."""
        ...

    def internal(self, current: Tensor) -> Tensor:
        """`current` [B, *shape] from inside the population's cycle, one step."""
        ...


class ReferenceNetwork(nn.Module):
    """Executes `graph`; weights and biases of synapse nodes are its parameters.

    Args:
        graph: the network.
        dtype: float32 or float64; parameters are rounded to float32 first.
        transforms: `{population: CurrentTransform}`, applied to summed currents.
    """

    def __init__(
        self,
        graph: SpikingGraph,
        dtype: torch.dtype = torch.float32,
        transforms: Mapping[str, CurrentTransform] | None = None,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.dtype = dtype
        self.transforms = dict(transforms or {})
        self.weights: dict[str, nn.Parameter] = {}
        self.biases: dict[str, nn.Parameter] = {}
        for name, node in graph.nodes.items():
            if isinstance(node, SYNAPSE):
                self.weights[name] = self._parameter(f"weight {name}", node.weight)
                if hasattr(node, "bias"):
                    self.biases[name] = self._parameter(f"bias {name}", node.bias)
        self.coefficients = {
            name: Coefficients.of(dynamics(graph, name), dtype) for name in graph.populations
        }

    def _parameter(self, name: str, value: object) -> nn.Parameter:
        parameter = nn.Parameter(stateless.tensor(value, self.dtype).clone())
        self.register_parameter(name.replace(".", "/"), parameter)
        return parameter

    def forward(self, x: Mapping[str, Tensor], states: Collection[str] = ()) -> _Values:
        """Run `{Input: [T, B, *shape]}`; every node's output, and states of the populations named."""
        values = _Values({name: x[name].to(self.dtype) for name in self.graph.inputs}, {})
        for component in self.graph.components:
            if component[0] in self.graph.cyclic:
                _CyclicRun(self, component, values, states).run()
            elif component[0] not in self.graph.inputs:
                self._run_node(component[0], values, states)
        return values

    def apply_stateless(self, name: str, x: Tensor) -> Tensor:
        """Stateless node `name` on `x` [N, *input], with this module's parameters."""
        return stateless.apply(self.graph.nodes[name], x, self.weights.get(name), self.biases.get(name))

    def _run_node(self, name: str, values: _Values, states: Collection[str]) -> None:
        node = self.graph.nodes[name]
        total = values.sum_of(self.graph.predecessors[name])
        if isinstance(node, POPULATION):
            if name in self.transforms:
                total = self.transforms[name].external(total)
            values.outputs[name], history = trace(self.coefficients[name], total)
            if name in states:
                values.states[name] = history
        elif isinstance(node, nir.Delay):
            values.outputs[name] = delayed(total, self.graph.delay_steps(name))
        else:
            folded = self.apply_stateless(name, total.flatten(0, 1))
            values.outputs[name] = folded.reshape(*total.shape[:2], *folded.shape[1:])


class _Values:
    """Outputs of the nodes run so far, each [T, B, *shape], and the states recorded."""

    def __init__(self, outputs: dict[str, Tensor], states: dict[str, list[State]]) -> None:
        self.outputs = outputs
        self.states = states

    def sum_of(self, names: Collection[str]) -> Tensor:
        total: Tensor | None = None
        for name in names:
            total = self.outputs[name] if total is None else total + self.outputs[name]
        assert total is not None
        return total


def delayed(x: Tensor, steps: int) -> Tensor:
    """`x` [T, B, ...] moved `steps` later, zeros first."""
    if steps == 0:
        return x
    kept = x[: max(x.shape[0] - steps, 0)]
    return torch.cat([torch.zeros_like(x[: min(steps, x.shape[0])]), kept])


class _CyclicRun:
    """One cyclic component stepping through time."""

    def __init__(
        self, network: ReferenceNetwork, members: list[str], values: _Values, states: Collection[str]
    ) -> None:
        graph = network.graph
        inside = set(members)
        self.network, self.graph, self.values = network, graph, values
        self.record = [name for name in members if name in states]
        self.delays = {n: graph.delay_steps(n) for n in members if isinstance(graph.nodes[n], nir.Delay)}
        cut = [(a, b) for a, b in graph.edges if {a, b} <= inside and self.delays.get(b, 0) == 0]
        order = topological(members, cut)
        if order is None:
            raise GraphError(f"the cycle through {', '.join(sorted(members))} holds no Delay")
        self.order = order
        self.inner = {n: [s for s in graph.predecessors[n] if s in inside] for n in members}
        self.outer = {n: [s for s in graph.predecessors[n] if s not in inside] for n in members}

    def run(self) -> None:
        external = {n: self._external(n) for n in self.order if self.outer[n]}
        first = next(iter(self.values.outputs.values()))
        steps, batch = first.shape[:2]
        history: dict[str, list[Tensor]] = {n: [] for n in self.order}
        fed: dict[str, list[Tensor]] = {n: [] for n in self.delays}
        state: dict[str, State] = {}
        for t in range(steps):
            for name in self.order:
                if self.delays.get(name, 0):
                    history[name].append(self._stored(name, fed[name], t, batch, first))
                else:
                    history[name].append(self._step(name, t, external, history, state))
            for name, memory in fed.items():
                memory.append(self._total(name, t, external, history))
        for name, outputs in history.items():
            self.values.outputs[name] = torch.stack(outputs)

    def _external(self, name: str) -> Tensor:
        total = self.values.sum_of(self.outer[name])
        transform = self.network.transforms.get(name)
        return transform.external(total) if transform is not None else total

    def _stored(self, name: str, memory: list[Tensor], t: int, batch: int, like: Tensor) -> Tensor:
        steps = self.delays[name]
        if t >= steps:
            return memory[t - steps]
        return torch.zeros((batch, *self.graph.shapes[name]), dtype=like.dtype)

    def _total(
        self, name: str, t: int, external: Mapping[str, Tensor], history: Mapping[str, list[Tensor]]
    ) -> Tensor:
        """Summed input of step t, in edge order where no transform splits it."""
        transform = self.network.transforms.get(name)
        if transform is None:
            total: Tensor | None = None
            for source in self.graph.predecessors[name]:
                inside = source in history
                term = history[source][t] if inside else self.values.outputs[source][t]
                total = term if total is None else total + term
            assert total is not None
            return total
        inner = [history[source][t] for source in self.inner[name]]
        summed = transform.internal(torch.stack(inner).sum(0)) if inner else None
        outside = external[name][t] if name in external else None
        if summed is None or outside is None:
            only = outside if summed is None else summed
            assert only is not None
            return only
        return outside + summed

    def _step(
        self,
        name: str,
        t: int,
        external: Mapping[str, Tensor],
        history: Mapping[str, list[Tensor]],
        state: dict[str, State],
    ) -> Tensor:
        total = self._total(name, t, external, history)
        if not isinstance(self.graph.nodes[name], POPULATION):
            return total if name in self.delays else self.network.apply_stateless(name, total)
        coefficients = self.network.coefficients[name]
        previous = state.get(name) or State.zero(coefficients, total)
        state[name], out = step(coefficients, previous, total)
        if name in self.record:
            self.values.states.setdefault(name, []).append(state[name])
        return out
