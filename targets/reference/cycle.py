"""A cyclic component stepping through time, its Delay nodes reading what was stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import nir
import torch
from torch import Tensor

from targets.errors import GraphError
from targets.graph.kinds import POPULATION
from targets.graph.order import topological
from targets.reference.scan import State, scan
from targets.reference.values import Carry, Values, summed

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork


def run_cycle(
    network: ReferenceNetwork,
    members: list[str],
    values: Values,
    states: Collection[str],
    carry: Carry,
    counts: Mapping[str, Tensor],
    keep: Collection[str] | None,
) -> None:
    """Run component `members` over the steps of `values`, into it; see `ReferenceNetwork.forward`."""
    _CyclicRun(network, members, values, carry, counts).run(
        {name for name in members if name in states}, keep
    )


class _CyclicRun:
    def __init__(
        self,
        network: ReferenceNetwork,
        members: list[str],
        values: Values,
        carry: Carry,
        counts: Mapping[str, Tensor],
    ) -> None:
        graph = network.graph
        inside = set(members)
        self.network, self.graph, self.values, self.carry = network, graph, values, carry
        self.counts = counts
        delays = {n: graph.delay_steps(n) for n in members if isinstance(graph.nodes[n], nir.Delay)}
        self.delays = {name: steps for name, steps in delays.items() if steps > 0}
        cut = [(a, b) for a, b in graph.edges if {a, b} <= inside and b not in self.delays]
        order = topological(members, cut)
        if order is None:
            raise GraphError(f"the cycle through {', '.join(sorted(members))} holds no Delay")
        self.order = order
        self.inner = {n: [s for s in graph.predecessors[n] if s in inside] for n in members}
        self.outer = {n: [s for s in graph.predecessors[n] if s not in inside] for n in members}

    def run(self, record: Collection[str], keep: Collection[str] | None) -> None:
        external = {n: self._external(n) for n in self.order if self.outer[n]}
        first = next(iter(self.values.outputs.values()))
        steps, batch = first.shape[:2]
        held = {n: list(self._held(n, batch, first)) for n in self.delays}
        outputs: dict[str, list[Tensor]] = {n: [] for n in self._asked(keep)}
        recorded: dict[str, list[State]] = {n: [] for n in record}
        for t in range(steps):
            now = {name: memory[t] for name, memory in held.items()}
            for name in self.order:
                if name not in now:
                    now[name] = self._step(name, t, external, now)
            for name, memory in held.items():
                memory.append(self._total(name, t, external, now))
            for name, every in outputs.items():
                every.append(now[name])
            for name, states in recorded.items():
                states.append(self.carry.states[name])
        for name, memory in held.items():
            self.carry.held[name] = torch.stack(memory[steps:])
        self.values.outputs.update({name: torch.stack(out) for name, out in outputs.items()})
        self.values.states.update({name: State.stacked(states) for name, states in recorded.items()})

    def _asked(self, keep: Collection[str] | None) -> list[str]:
        """The members whose outputs are kept or read outside the component."""
        if keep is None:
            return self.order
        inside = set(self.order)
        read = {a for a, b in self.graph.edges if a in inside and b not in inside}
        return [name for name in self.order if name in read or name in keep]

    def _held(self, name: str, batch: int, like: Tensor) -> Tensor:
        held = self.carry.held.get(name)
        return like.new_zeros((self.delays[name], batch, *self.graph.shapes[name])) if held is None else held

    def _external(self, name: str) -> Tensor:
        total = summed(self.values.outputs[source] for source in self.outer[name])
        transform = self.network.transforms.get(name)
        return transform.external(total) if transform is not None else total

    def _total(self, name: str, t: int, external: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Tensor:
        """Summed input of step t, in edge order where no transform splits it."""
        transform = self.network.transforms.get(name)
        if transform is None:
            outputs = self.values.outputs
            return summed(now[s] if s in now else outputs[s][t] for s in self.graph.predecessors[name])
        outside = [external[name][t]] if name in external else []
        inside = [now[source] for source in self.inner[name]]
        return summed([*outside, *([transform.internal(summed(inside))] if inside else [])])

    def _step(self, name: str, t: int, external: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Tensor:
        total = self._total(name, t, external, now)
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
            counts=self.counts.get(name),
        )
        self.carry.states[name] = scanned.last
        return hooks.output(name, scanned.outputs)[0]
