"""A SpikingGraph as a differentiable torch module.

Stateless nodes outside cycles run once, with time folded into the batch; populations scan over
time; a cyclic component steps through time as a whole (`targets.reference.cycle`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import nir
import torch
from torch import Tensor, nn

from targets.errors import ConfigError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING, SYNAPSE
from targets.reference import stateless
from targets.reference.blocks import run_blocks
from targets.reference.checkpoint import run_segments
from targets.reference.cycle import Cycle, run_cycle
from targets.reference.hooks import CurrentTransform, Hooks
from targets.reference.kernels.layout import channels_first
from targets.reference.kernels.synapse import Synapse
from targets.reference.scan import Coefficients, scan
from targets.reference.values import Carry, Values, summed


class ReferenceNetwork(nn.Module):
    """Executes `graph`; weights and biases of synapse nodes are its parameters.

    Args:
        graph: the network.
        dtype: float32 or float64; parameters are rounded to float32 first.
        transforms: `{population: CurrentTransform}`, applied to summed currents.
        hooks: what a training changes besides.
        kernels: "auto", "c" or "torch" (`targets.reference.kernels.build`).
        checkpoint: a run with gradient holds so many steps at a time for the backward pass, and computes
            them again there (`targets.reference.checkpoint`); it gives the outputs in `keep`, by default
            those of the Output nodes, and neither states nor counts.
    """

    def __init__(
        self,
        graph: SpikingGraph,
        dtype: torch.dtype = torch.float32,
        transforms: Mapping[str, CurrentTransform] | None = None,
        hooks: Hooks | None = None,
        kernels: str = "auto",
        checkpoint: int | None = None,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.checkpoint = checkpoint
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
            name: Coefficients.of(dynamics(graph, name), dtype, kernels) for name in graph.populations
        }
        self.synapses = {
            name: synapse
            for name in self.weights
            if (
                synapse := Synapse.of(graph.nodes[name], graph.input_shape(name), graph.shapes[name], kernels)
            )
        }
        self._unread = _unread(graph)
        self._delays = {name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
        self._cycles = {
            members[0]: Cycle.of(graph, members) for members in graph.components if members[0] in graph.cyclic
        }

    def _parameter(self, name: str, value: object) -> nn.Parameter:
        parameter = nn.Parameter(stateless.tensor(value, self.dtype).clone())
        self.register_parameter(name.replace(".", "/"), parameter)
        return parameter

    def forward(
        self,
        x: Mapping[str, Tensor],
        states: Collection[str] = (),
        carry: Carry | None = None,
        keep: Collection[str] | None = None,
        counts: Mapping[str, Tensor] | None = None,
        totals: Collection[str] = (),
    ) -> Values:
        """Run `{Input: [S, B, *shape]}`; every node's output, and states of the populations named.

        Args:
            carry: what the stretch of steps before this one left, a new `Carry` for the first one; it
                is brought up to date. Without it the run starts from zero and leaves nothing.
            keep: the nodes whose outputs are asked for, all by default; others go as soon as the last
                node that reads them has run.
            counts: `{population: int64 [*shape]}`, to which the spikes of every neuron are added.
            totals: populations whose output is also summed over all steps, samples and neurons.
        """
        carry = Carry() if carry is None else carry
        for name, synapse in self.synapses.items():
            synapse.begin(self.weights[name])
        if self.checkpoint is None or not torch.is_grad_enabled():
            return self.run_totals(x, carry, keep, totals, states, counts or {})
        if states or counts:
            raise ConfigError(
                "checkpoint: found states or counts asked for, allowed neither; run without gradient"
            )
        keep = self.graph.outputs if keep is None else keep
        return run_segments(self, x, self.checkpoint, keep, totals, carry)

    def run_totals(
        self,
        x: Mapping[str, Tensor],
        carry: Carry,
        keep: Collection[str] | None,
        totals: Collection[str],
        states: Collection[str] = (),
        counts: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Values:
        """As `forward`, without checkpoint."""
        kept = keep if keep is None or not totals else {*keep, *totals}
        run = run_blocks if torch.is_grad_enabled() else ReferenceNetwork.run_stretch
        values = run(self, x, carry, states, kept, counts)
        if totals:
            attached = self.hooks.attached({name: values.outputs[name] for name in totals})
            values.totals = {name: output.sum() for name, output in attached.items()}
            for name in () if keep is None else set(totals).difference(keep):
                del values.outputs[name]
        return values

    def zero_counts(self) -> dict[str, Tensor]:
        """`counts` for `forward`, of every Input and population that fires, as the kernels lay them out."""
        graph = self.graph
        names = (*graph.inputs, *(n for n in graph.populations if isinstance(graph.nodes[n], SPIKING)))
        shapes = {name: graph.shapes[name] for name in names}
        return {
            name: channels_first(torch.zeros((*shape[1:], *shape[:1]), dtype=torch.int64), 0)
            for name, shape in shapes.items()
        }

    def run_stretch(
        self,
        x: Mapping[str, Tensor],
        carry: Carry,
        states: Collection[str] = (),
        keep: Collection[str] | None = None,
        counts: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Values:
        """As `forward`, all at once."""
        values = Values({name: x[name].to(self.dtype) for name in self.graph.inputs})
        for component, unread in zip(self.graph.components, self._unread, strict=True):
            if component[0] in self._cycles:
                run_cycle(self, self._cycles[component[0]], values, states, carry, counts, keep)
            elif component[0] not in self.graph.inputs:
                self._run_node(component[0], values, states, carry, counts)
            for name in () if keep is None else unread.difference(keep):
                values.outputs.pop(name, None)
        carry.first = False
        return values

    def apply_stateless(self, name: str, x: Tensor, first: bool) -> Tensor:
        """Stateless node `name` on `x` [S, B, *input], with this module's parameters."""
        node = self.graph.nodes[name]
        weight, bias, synapse = self.weights.get(name), self.biases.get(name), self.synapses.get(name)

        def apply(x: Tensor) -> Tensor:
            if synapse is not None and x.device.type == "cpu":
                out = synapse(x.flatten(0, 1), self.weights[name], bias)
            else:
                out = stateless.apply(node, x.flatten(0, 1), weight, bias)
            return out.reshape(*x.shape[:2], *out.shape[1:])

        return self.hooks.synapse(name, x, apply, first) if name in self.weights else apply(x)

    def _run_node(
        self,
        name: str,
        values: Values,
        states: Collection[str],
        carry: Carry,
        counts: Mapping[str, Tensor],
    ) -> None:
        total = summed(values.outputs[source] for source in self.graph.predecessors[name])
        if name in self.coefficients:
            if name in self.transforms:
                total = self.transforms[name].external(total)
            scanned = scan(
                self.coefficients[name],
                self.hooks.current(name, total),
                carry.states.get(name),
                history=name in states,
                through_time=self.hooks.through_time(name),
                counts=counts.get(name),
            )
            carry.states[name] = scanned.last
            values.outputs[name] = self.hooks.output(name, scanned.outputs)
            if scanned.history is not None:
                values.states[name] = scanned.history
        elif name in self._delays:
            values.outputs[name] = carry.delayed(name, total, self.graph.delay_steps(name))
        else:
            values.outputs[name] = self.apply_stateless(name, total, carry.first)


def _unread(graph: SpikingGraph) -> list[set[str]]:
    """For each component, the nodes whose outputs no later one reads and which were still read there."""
    place = {name: i for i, members in enumerate(graph.components) for name in members}
    last = place | {
        source: place[target] for source, target in sorted(graph.edges, key=lambda e: place[e[1]])
    }
    found: list[set[str]] = [set() for _ in graph.components]
    for name, i in last.items():
        found[i].add(name)
    return found
