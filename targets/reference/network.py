"""A SpikingGraph as a differentiable torch module.

Stateless nodes outside cycles run once, with time folded into the batch; populations scan over
time; a cyclic component steps through time as a whole (`targets.reference.cycle`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

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
from targets.reference.kernels.build import kernels as chosen
from targets.reference.kernels.layout import channels_first
from targets.reference.kernels.synapse import Synapse
from targets.reference.plan import Plans
from targets.reference.scan import Coefficients, scan
from targets.reference.values import Asked, Carry, Counts, Place, Values, summed


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
        self.dtype, self.kernels = dtype, kernels
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
        self.plans = Plans()
        # Bytes of a sample's largest value.
        self.largest = max(math.prod(shape) for shape in graph.shapes.values()) * dtype.itemsize
        self._unread = _unread(graph)
        self._delays = {name for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
        self.cycles = {
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
        counts: Counts | None = None,
        totals: Collection[str] = (),
    ) -> Values:
        """Run `{Input: [S, B, *shape]}`; every node's output, and states of the populations named.

        Args:
            carry: what the stretch of steps before this one left, a new `Carry` for the first one; it
                is brought up to date. Without it the run starts from zero and leaves nothing.
            keep: the nodes whose outputs are asked for, all by default; others go as soon as the last
                node that reads them has run.
            counts: of `zero_counts`, to which the spikes of every neuron are added, of an Input its values
                that are not 0.
            totals: populations whose output is also summed over all steps, samples and neurons.
        """
        if counts and counts.places is not self._counted:
            raise ValueError("counts: found those of another network, allowed what zero_counts() gives")
        for name, synapse in self.synapses.items():
            synapse.begin(self.weights[name])
        if self.checkpoint is None or not torch.is_grad_enabled():
            return self.run_totals(x, carry, Asked(keep, states, counts or Counts()), totals)
        if states or counts:
            raise ConfigError(
                "checkpoint: found states or counts asked for, allowed neither; run without gradient"
            )
        keep = self.graph.outputs if keep is None else keep
        return run_segments(self, x, self.checkpoint, keep, totals, carry or Carry())

    def run_totals(
        self, x: Mapping[str, Tensor], carry: Carry | None, asked: Asked, totals: Collection[str]
    ) -> Values:
        """As `forward`, without checkpoint."""
        keep = asked.keep
        every = asked if keep is None or not totals else replace(asked, keep={*keep, *totals})
        values = run_blocks(self, x, carry, every)
        if totals:
            attached = self.hooks.attached({name: values.outputs[name] for name in totals})
            values.totals = {name: output.sum() for name, output in attached.items()}
            for name in () if keep is None else set(totals).difference(keep):
                del values.outputs[name]
        return values

    def zero_counts(self) -> Counts:
        """`counts` for `forward`, of every Input and population that fires, as the kernels lay them out."""
        return Counts(self._counted)

    def run_stretch(self, x: Mapping[str, Tensor], carry: Carry | None, asked: Asked) -> Values:
        """As `forward`, all at once."""
        if not self._plans(x):
            return self._run_components(x, carry or Carry(), asked)
        with self.lent(x, carry, asked) as values:
            return values.copied()

    @contextmanager
    def lent(self, x: Mapping[str, Tensor], carry: Carry | None, asked: Asked) -> Iterator[Values]:
        """As `run_stretch`; what it gives may be overwritten once the context is left."""
        if not self._plans(x):
            yield self.run_stretch(x, carry, asked)
            return
        fed = {name: x[name].to(self.dtype) for name in self.graph.inputs}
        steps, samples = next(iter(fed.values())).shape[:2]
        with self.plans.lent(self, steps, samples, asked) as plan:
            yield plan.run(self, fed, carry, asked.counts)

    def _plans(self, x: Mapping[str, Tensor]) -> bool:
        """Whether a plan can run it: no gradient, nothing looks in, and C kernels take every population."""
        return (
            not torch.is_grad_enabled()
            and self._compiled
            and not self.transforms
            and type(self.hooks) is Hooks
            and all(x[name].device.type == "cpu" for name in self.graph.inputs)
        )

    @cached_property
    def _counted(self) -> dict[str, Place]:
        """Of each count its shape, its strides and its place in a row of all."""
        graph, at = self.graph, 0
        found: dict[str, Place] = {}
        for name in (*graph.inputs, *(n for n in graph.populations if isinstance(graph.nodes[n], SPIKING))):
            shape = graph.shapes[name]
            laid = channels_first(torch.empty((*shape[1:], *shape[:1]), device="meta"), 0)
            found[name] = shape, laid.stride(), at
            at += math.prod(shape)
        return found

    @cached_property
    def _compiled(self) -> bool:
        return (
            chosen(self.kernels).library is not None
            and all(c.population is not None for c in self.coefficients.values())
            and all(cycle.plain for cycle in self.cycles.values())
        )

    def _run_components(self, x: Mapping[str, Tensor], carry: Carry, asked: Asked) -> Values:
        """Node by node and cycle by cycle, with whatever gradient is wanted."""
        values = Values({name: x[name].to(self.dtype) for name in self.graph.inputs})
        for name in asked.counts.keys() & values.outputs.keys():
            asked.counts[name].add_(torch.count_nonzero(values.outputs[name], dim=(0, 1)))
        for component, unread in zip(self.graph.components, self._unread, strict=True):
            if component[0] in self.cycles:
                run_cycle(self, self.cycles[component[0]], values, carry, asked)
            elif component[0] not in self.graph.inputs:
                self._run_node(component[0], values, carry, asked)
            for name in () if asked.keep is None else unread.difference(asked.keep):
                values.outputs.pop(name, None)
        carry.first = False
        return values

    def parameters_of(self, name: str) -> list[Tensor]:
        """Weight and bias of a node, those that it has."""
        return [every[name] for every in (self.weights, self.biases) if name in every]

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

    def _run_node(self, name: str, values: Values, carry: Carry, asked: Asked) -> None:
        total = summed(values.outputs[source] for source in self.graph.predecessors[name])
        if name in self.coefficients:
            if name in self.transforms:
                total = self.transforms[name].external(total)
            scanned = scan(
                self.coefficients[name],
                self.hooks.current(name, total),
                carry.states.get(name),
                history=name in asked.states,
                through_time=self.hooks.through_time(name),
                counts=asked.counts.get(name),
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
