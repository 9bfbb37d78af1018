"""The dense engine: torch, on any of its devices.

Integers live in float64 (below 2^53) and products in float32 (sums below 2^24, proven at lowering), so every
number is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from targets.loihi import limits
from targets.loihi.kernels.engine import NotSpikesError, Recording, local_delay, ordered
from targets.loihi.program import FixedHop, FixedPopulation, Program
from targets.reference.stateless import convolve

_WRAP = 2.0**limits.STATE_BITS
_HALF = 2.0 ** (limits.STATE_BITS - 1)
_SCALE = 2.0**limits.STATE_SHIFT

_Lists = dict[str, list[Tensor]]


@dataclass
class State:
    """`batch` samples after `elapsed` steps.

    Attributes:
        sent: `{node: {step: float32 [B, neurons]}}` of the last steps.
        u, v: `{population: float64 [B, neurons]}`.
    """

    batch: int
    elapsed: int
    sent: dict[str, dict[int, Tensor]]
    u: dict[str, Tensor]
    v: dict[str, Tensor]


class DenseEngine:
    """A program in torch."""

    def __init__(self, program: Program, device: str = "cpu") -> None:
        self.said = "torch kernels" if device == "cpu" else f"torch kernels, {device}"
        self.device = torch.device(device)
        self.inputs = tuple(program.inputs)
        self.members = [_Neurons(p, self.device) for p in ordered(program)]
        self.synapses = {
            p.name: [_Synapse(program, hop, self.device) for hop in program.hops if hop.target == p.name]
            for p in program.populations
        }
        self.depths = dict.fromkeys([*self.inputs, *self.synapses], 1)
        for synapse in (s for found in self.synapses.values() for s in found):
            self.depths[synapse.source] = max(self.depths[synapse.source], synapse.delay + 1)

    def start(self, batch: int) -> State:
        """The state before the first step."""

        def zeros() -> dict[str, Tensor]:
            return {
                m.name: torch.zeros((batch, m.size), dtype=torch.float64, device=self.device)
                for m in self.members
            }

        return State(batch, 0, {name: {} for name in self.depths}, zeros(), zeros())

    @torch.no_grad()
    def advance(
        self,
        state: State,
        x: Mapping[str, NDArray[np.float32]],
        keep: Collection[str] = (),
        states: Collection[str] = (),
    ) -> Recording:
        """See `Engine.advance`."""
        fed = {n: torch.from_numpy(np.asarray(x[n], np.float32)).to(self.device) for n in self.inputs}
        # Float32 counts steps exactly; sums over samples wait for the end.
        counts = {name: torch.zeros_like(value[0]) for name, value in fed.items()}
        counts |= {m.name: torch.zeros((state.batch, m.size), device=self.device) for m in self.members}
        kept = {"spikes": _lists(keep), "u": _lists(states), "v": _lists(states)}
        other = torch.zeros((), dtype=torch.bool, device=self.device)
        for t in range(len(next(iter(fed.values())))):
            for name, value in fed.items():
                # Delayed spikes outlive the caller's array.
                self._send(state, name, value[t].clone() if self.depths[name] > 1 else value[t])
                sign = value[t].sign()
                other |= (sign != value[t]).any()
                counts[name] += sign.abs_()
            for member in self.members:
                self._step(member, state, counts[member.name], kept)
            state.elapsed += 1
        if other:
            raise NotSpikesError
        return Recording(
            **{kind: {n: _stacked(kind, x) for n, x in found.items()} for kind, found in kept.items()},
            counts={
                n: c.sum(0, dtype=torch.float64).to(torch.int64).cpu().numpy() for n, c in counts.items()
            },
        )

    def _step(self, member: _Neurons, state: State, counts: Tensor, kept: Mapping[str, _Lists]) -> None:
        name = member.name
        spikes = member.step(self._arriving(name, state), state)
        self._send(state, name, spikes)
        counts += spikes
        for kind, values in (("spikes", spikes), ("u", state.u[name]), ("v", state.v[name])):
            if name in kept[kind]:
                kept[kind][name].append(values)

    def _send(self, state: State, name: str, spikes: Tensor) -> None:
        state.sent[name][state.elapsed] = spikes
        state.sent[name].pop(state.elapsed - self.depths[name], None)

    def _arriving(self, name: str, state: State) -> Iterator[Tensor]:
        """What each hop delivers in this step, in units of u."""
        for synapse in self.synapses[name]:
            spikes = state.sent[synapse.source].get(state.elapsed - synapse.delay)
            if spikes is not None:
                yield synapse.deliver(spikes)


def _lists(names: Collection[str]) -> _Lists:
    return {name: [] for name in names}


def _stacked(kind: str, values: list[Tensor]) -> NDArray[Any]:
    dtype = torch.float32 if kind == "spikes" else torch.int64
    return torch.stack(values).to(dtype).cpu().numpy()


class _Synapse:
    """One hop as a float32 product."""

    def __init__(self, program: Program, hop: FixedHop, device: torch.device) -> None:
        self.source, self.delay = hop.source, local_delay(program, hop)
        self.factor = float(2 ** (hop.exponent + limits.STATE_SHIFT))
        self.shape = program.graph.shapes[hop.source]
        self.node = None if hop.convolution is None else program.graph.nodes[hop.convolution]
        values = hop.matrix.toarray() if hop.kernel is None else hop.kernel
        self.weight = torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)

    def deliver(self, spikes: Tensor) -> Tensor:
        """Summed weights in units of u, float32 [B, neurons]: a power of two times them is exact."""
        if self.node is None:
            return functional.linear(spikes, self.weight).mul_(self.factor)
        moved = convolve(self.node, spikes.reshape(-1, *self.shape), self.weight, None)
        return moved.flatten(1).mul_(self.factor)


class _Neurons:
    """The update of one population."""

    def __init__(self, population: FixedPopulation, device: torch.device) -> None:
        self.name, self.size = population.name, int(np.prod(population.shape))
        self.bias_u = torch.from_numpy(population.bias_u * _SCALE).to(device)
        self.bias_v = torch.from_numpy(population.bias_v.astype(np.float64)).to(device)
        self.keep_u = (limits.DECAY_ONE - (population.du + 1)) / limits.DECAY_ONE
        self.keep_v = (limits.DECAY_ONE - population.dv) / limits.DECAY_ONE
        self.threshold = float(population.vth << limits.STATE_SHIFT)
        self.subtract = population.subtract

    def step(self, arriving: Iterable[Tensor], state: State) -> Tensor:
        """Advance `state` one step; the spikes, float32 [B, neurons]."""
        t = state.elapsed
        u = (
            (state.u[self.name] * self.keep_u).trunc_()
            if self.keep_u
            else torch.zeros_like(state.u[self.name])
        )
        u += self.bias_u[min(t, len(self.bias_u) - 1)]
        for arrived in arriving:
            u += arrived
        # Into (-2^23, 2^23].
        u.sub_((u - _HALF).mul_(1 / _WRAP).ceil_(), alpha=_WRAP)
        v = (state.v[self.name] * self.keep_v).trunc_() + u
        v += self.bias_v[min(t, len(self.bias_v) - 1)]
        v.clamp_(-limits.STATE_MAX, limits.STATE_MAX)
        spikes = v > self.threshold
        v = v - spikes * self.threshold if self.subtract else v.masked_fill_(spikes, 0.0)
        state.u[self.name], state.v[self.name] = u, v
        return spikes.to(torch.float32)
