"""A cyclic component stepping through time, its Delay nodes reading what was stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nir
import torch
from torch import Tensor

from targets.errors import GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import POPULATION
from targets.graph.order import topological
from targets.reference.fused import FusedRun
from targets.reference.hooks import Hooks
from targets.reference.scan import State, scan
from targets.reference.values import Asked, Carry, Values, summed

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork


@dataclass(frozen=True)
class Cycle:
    """A cyclic component.

    Attributes:
        order: its members, each after what it reads in the same step.
        delays: `{Delay: steps}` of those that hold at least one.
        inner, outer: what each member reads inside the component and outside.
        read: its members that are read outside it.
        plain: no Delay is of no step or behind another.
    """

    order: list[str]
    delays: dict[str, int]
    inner: dict[str, list[str]]
    outer: dict[str, list[str]]
    read: frozenset[str]
    plain: bool

    @classmethod
    def of(cls, graph: SpikingGraph, members: list[str]) -> Cycle:
        """Component `members` of the graph."""
        inside = set(members)
        steps = {n: graph.delay_steps(n) for n in members if isinstance(graph.nodes[n], nir.Delay)}
        delays = {name: number for name, number in steps.items() if number > 0}
        cut = [(a, b) for a, b in graph.edges if {a, b} <= inside and b not in delays]
        order = topological(members, cut)
        if order is None:
            raise GraphError(f"the cycle through {', '.join(sorted(members))} holds no Delay")
        inner = {n: [s for s in graph.predecessors[n] if s in inside] for n in members}
        outer = {n: [s for s in graph.predecessors[n] if s not in inside] for n in members}
        read = frozenset(a for a, b in graph.edges if a in inside and b not in inside)
        plain = steps.keys() == delays.keys() and not any(s in steps for name in delays for s in inner[name])
        return cls(order, delays, inner, outer, read, plain)

    def asked(self, keep: Collection[str] | None) -> list[str]:
        """The members whose outputs are kept or read outside the component."""
        if keep is None:
            return self.order
        return [name for name in self.order if name in self.read or name in keep]


def run_cycle(
    network: ReferenceNetwork,
    cycle: Cycle,
    values: Values,
    carry: Carry,
    asked: Asked,
) -> None:
    """Run a component over the steps of `values`, into it; see `ReferenceNetwork.forward`."""
    external = {
        name: network.transforms[name].external(summed(values.outputs[s] for s in cycle.outer[name]))
        for name in cycle.order
        if name in network.transforms and cycle.outer[name]
    }
    if _fusible(network, cycle, values, asked):
        FusedRun(network, cycle, values, external, carry, asked).run(values, carry)
    else:
        _TapedRun(network, cycle, values, external, carry, asked).run()


def _fusible(network: ReferenceNetwork, cycle: Cycle, values: Values, asked: Asked) -> bool:
    """Whether no hook acts, C kernels take every population and recorded states need no gradient."""
    record = any(name in asked.states for name in cycle.order)
    populations = [network.coefficients[n].population for n in cycle.order if n in network.coefficients]
    return (
        type(network.hooks) is Hooks
        and not (record and torch.is_grad_enabled())
        and all(x.device.type == "cpu" and x.dtype == network.dtype for x in values.outputs.values())
        and all(p is not None for p in populations)
        # A Delay of no step, or behind another, is rare and goes the other way.
        and cycle.plain
    )


class _TapedRun:
    def __init__(
        self,
        network: ReferenceNetwork,
        cycle: Cycle,
        values: Values,
        external: Mapping[str, Tensor],
        carry: Carry,
        asked: Asked,
    ) -> None:
        self.network, self.graph, self.values, self.carry = network, network.graph, values, carry
        self.cycle, self.external, self.asked, self.delays = cycle, external, asked, cycle.delays

    def run(self) -> None:
        first = next(iter(self.values.outputs.values()))
        steps, batch = first.shape[:2]
        held = {n: list(self._held(n, batch, first)) for n in self.delays}
        outputs: dict[str, list[Tensor]] = {n: [] for n in self.cycle.asked(self.asked.keep)}
        recorded: dict[str, list[State]] = {n: [] for n in self.cycle.order if n in self.asked.states}
        for t in range(steps):
            now = {name: memory[t] for name, memory in held.items()}
            for name in self.cycle.order:
                if name not in now:
                    now[name] = self._step(name, t, now)
            for name, memory in held.items():
                memory.append(self._total(name, t, now))
            for name, every in outputs.items():
                every.append(now[name])
            for name, states in recorded.items():
                states.append(self.carry.states[name])
        for name, memory in held.items():
            self.carry.held[name] = torch.stack(memory[steps:])
        self.values.outputs.update({name: torch.stack(out) for name, out in outputs.items()})
        self.values.states.update({name: State.stacked(states) for name, states in recorded.items()})

    def _held(self, name: str, batch: int, like: Tensor) -> Tensor:
        held = self.carry.held.get(name)
        return like.new_zeros((self.delays[name], batch, *self.graph.shapes[name])) if held is None else held

    def _total(self, name: str, t: int, now: Mapping[str, Tensor]) -> Tensor:
        """Summed input of step t, in edge order where no transform splits it."""
        transform = self.network.transforms.get(name)
        if transform is None:
            outputs = self.values.outputs
            return summed(now[s] if s in now else outputs[s][t] for s in self.graph.predecessors[name])
        outside = [self.external[name][t]] if name in self.external else []
        inside = [now[source] for source in self.cycle.inner[name]]
        return summed([*outside, *([transform.internal(summed(inside))] if inside else [])])

    def _step(self, name: str, t: int, now: Mapping[str, Tensor]) -> Tensor:
        total = self._total(name, t, now)
        if isinstance(self.graph.nodes[name], POPULATION):
            return self._integrated(name, total)
        if isinstance(self.graph.nodes[name], nir.Delay):
            return total
        return self.network.apply_stateless(name, total[None], self.carry.first and t == 0)[0]

    def _integrated(self, name: str, total: Tensor) -> Tensor:
        hooks, coefficients = self.network.hooks, self.network.coefficients[name]
        current = hooks.current(name, total[None])
        scanned = scan(
            coefficients,
            current,
            self.carry.states.get(name),
            through_time=hooks.through_time(name),
            counts=self.asked.counts.get(name),
        )
        self.carry.states[name] = scanned.last
        return hooks.output(name, scanned.outputs)[0]
