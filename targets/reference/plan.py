"""A whole network without gradient, prepared once and run many times.

A plan holds every buffer and every argument of the C kernels for one number of steps and samples, one set
of outputs and one of recorded states. A run puts its input and state in, looks parameters up, and makes few
calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from targets.reference.kernels.layout import channels_first
from targets.reference.kernels.program import Program
from targets.reference.values import Asked, Carry, Counts, Values
from targets.reference.wiring import Wiring

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork

# Plans that wait, and the most bytes of one that does.
_MOST_WAITING = 4
_MOST_BYTES = 1 << 25


class Plan:
    """`network` over `steps` steps of `samples` samples."""

    def __init__(self, network: ReferenceNetwork, steps: int, samples: int, asked: Asked) -> None:
        graph = network.graph
        shapes = {name: (steps, samples, *graph.shapes[name]) for name in graph.inputs}
        outside = {name: torch.zeros(shape, dtype=network.dtype) for name, shape in shapes.items()}
        # Counts are those of one run.
        wiring = Wiring(network, steps, samples, Carry(), replace(asked, counts=Counts()), outside)
        self._inputs = {name: wiring.read(name) for name in graph.inputs}
        for members in graph.components:
            if members[0] in graph.cyclic:
                wiring.add_cycle(network.cycles[members[0]])
            elif members[0] not in graph.inputs:
                wiring.add_node(members[0])
        # Whatever held the network would keep it from going when nobody else does.
        self._bound, self._populations, self._delays = wiring.bound, wiring.integrated, wiring.waiting
        self._kept = {n: wiring.signals[n] for n in graph.nodes if asked.keep is None or n in asked.keep}
        self._recorded = {n: p for n, p in wiring.integrated.items() if n in asked.states}
        self._program = Program(wiring.computed, wiring.stages, network.dtype)
        held = (*(x.buffer for x in wiring.computed), *(p.v for p in wiring.integrated.values()))
        self.bytes = sum(x.nbytes for x in held)

    def run(
        self,
        network: ReferenceNetwork,
        x: Mapping[str, Tensor],
        carry: Carry | None,
        counts: Counts,
    ) -> Values:
        """As `ReferenceNetwork.run_stretch`; what it gives is overwritten by the next run."""
        self._start(network, carry or Carry(), counts)
        for name, signal in self._inputs.items():
            signal.load(x[name])
            if name in counts:
                signal.count(*counts.begin(name))
        self._program.rebind()
        self._program.forward()
        for population in self._populations.values():
            population.finish()
        if carry is not None:
            self._leave(carry)
        return Values(
            {name: channels_first(signal.stacked(), 2) for name, signal in self._kept.items()},
            {name: population.every() for name, population in self._recorded.items()},
        )

    def _start(self, network: ReferenceNetwork, carry: Carry, counts: Counts) -> None:
        for name, operation in self._bound.items():
            operation.bind(*network.parameters_of(name))
        for name, population in self._populations.items():
            state = carry.states.get(name)
            population.start(*((None, None) if state is None else (state.u, state.v)))
            if name in counts:
                population.count(*counts.begin(name))
        for name, delay in self._delays.items():
            delay.restart(carry.held.get(name))

    def _leave(self, carry: Carry) -> None:
        for name, population in self._populations.items():
            carry.states[name] = population.state()
        for name, delay in self._delays.items():
            carry.held[name] = channels_first(delay.after().clone(), 2)
        carry.first = False


class Plans:
    """The plans of a network that wait for another run; each has one run at a time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[object, ...], Plan]] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Plans], tuple[()]]:
        """A copy of a network makes its own."""
        return Plans, ()

    @contextmanager
    def lent(self, network: ReferenceNetwork, steps: int, samples: int, asked: Asked) -> Iterator[Plan]:
        """One for such a run, made where none waits."""
        keep = None if asked.keep is None else frozenset(asked.keep)
        key = steps, samples, keep, frozenset(asked.states)
        plan = self._taken(key) or Plan(network, steps, samples, asked)
        yield plan
        if plan.bytes <= _MOST_BYTES:
            with self._lock:
                self._waiting.append((key, plan))
                del self._waiting[:-_MOST_WAITING]

    def _taken(self, key: tuple[object, ...]) -> Plan | None:
        with self._lock:
            for i, (of, plan) in enumerate(self._waiting):
                if of == key:
                    del self._waiting[i]
                    return plan
        return None
