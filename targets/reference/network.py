"""A SpikingGraph as a differentiable torch module.

Stateless nodes outside cycles run once, with time folded into the batch; populations scan over
time; a cyclic component steps through time as a whole (`targets.reference.cycle`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import nir
import torch
from torch import Tensor, nn

from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION, SYNAPSE
from targets.reference import stateless
from targets.reference.cycle import run_cycle
from targets.reference.hooks import CurrentTransform, Hooks
from targets.reference.scan import Coefficients, scan
from targets.reference.values import Carry, Values, summed


class ReferenceNetwork(nn.Module):
    """Executes `graph`; weights and biases of synapse nodes are its parameters.

    Args:
        graph: the network.
        dtype: float32 or float64; parameters are rounded to float32 first.
        transforms: `{population: CurrentTransform}`, applied to summed currents.
        hooks: what a training changes besides.
    """

    def __init__(
        self,
        graph: SpikingGraph,
        dtype: torch.dtype = torch.float32,
        transforms: Mapping[str, CurrentTransform] | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.dtype = dtype
        self.transforms = dict(transforms or {})
        self.hooks = hooks or Hooks()
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

    def forward(
        self, x: Mapping[str, Tensor], states: Collection[str] = (), carry: Carry | None = None
    ) -> Values:
        """Run `{Input: [S, B, *shape]}`; every node's output, and states of the populations named.

        Args:
            carry: what the stretch of steps before this one left, a new `Carry` for the first one; it
                is brought up to date. Without it the run starts from zero and leaves nothing.
        """
        values = Values({name: x[name].to(self.dtype) for name in self.graph.inputs})
        carry = Carry() if carry is None else carry
        for component in self.graph.components:
            if component[0] in self.graph.cyclic:
                run_cycle(self, component, values, states, carry)
            elif component[0] not in self.graph.inputs:
                self._run_node(component[0], values, states, carry)
        carry.first = False
        return values

    def apply_stateless(self, name: str, x: Tensor, first: bool) -> Tensor:
        """Stateless node `name` on `x` [S, B, *input], with this module's parameters."""
        node = self.graph.nodes[name]

        def apply(x: Tensor) -> Tensor:
            out = stateless.apply(node, x.flatten(0, 1), self.weights.get(name), self.biases.get(name))
            return out.reshape(*x.shape[:2], *out.shape[1:])

        return self.hooks.synapse(name, x, apply, first) if name in self.weights else apply(x)

    def _run_node(self, name: str, values: Values, states: Collection[str], carry: Carry) -> None:
        node = self.graph.nodes[name]
        total = summed(values.outputs[source] for source in self.graph.predecessors[name])
        if isinstance(node, POPULATION):
            if name in self.transforms:
                total = self.transforms[name].external(total)
            scanned = scan(
                self.coefficients[name],
                self.hooks.current(name, total),
                carry.states.get(name),
                history=name in states,
                through_time=self.hooks.through_time(name),
            )
            carry.states[name] = scanned.last
            values.outputs[name] = self.hooks.output(name, scanned.outputs)
            if scanned.history is not None:
                values.states[name] = scanned.history
        elif isinstance(node, nir.Delay):
            values.outputs[name] = carry.delayed(name, total, self.graph.delay_steps(name))
        else:
            values.outputs[name] = self.apply_stateless(name, total, carry.first)
