"""Batched simulator of lowered networks, the same to the last bit as Lava's fixed point.

Runs on the chip's clock: in step t every population whose window is open takes what arrived, from
spikes sent 1 + axonal_delay steps before. Integers live in float64 (below 2^53) and products in
float32 (sums below 2^24, proven at lowering), so every number is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from targets.loihi import limits
from targets.loihi.program import FixedHop, FixedPopulation, Program
from targets.reference.stateless import convolve

_WRAP = 2.0**limits.STATE_BITS
_HALF = 2.0 ** (limits.STATE_BITS - 1)


@dataclass
class Recording:
    """Spikes and states of each population, window-aligned lists over T of [B, neurons]."""

    spikes: dict[str, list[Tensor]] = field(default_factory=dict)
    u: dict[str, list[Tensor]] = field(default_factory=dict)
    v: dict[str, list[Tensor]] = field(default_factory=dict)


class Simulator:
    """A lowered program, ready to run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.synapses: Mapping[str, list[_Synapse]] = {
            p.name: [_Synapse(program, hop) for hop in program.hops if hop.target == p.name]
            for p in program.populations
        }

    @torch.no_grad()
    def run(self, x: Mapping[str, Tensor], states: Collection[str] = ()) -> Recording:
        """Run `{Input: [T, B, neurons] of integers}`; u and v of the populations in `states`."""
        steps, batch = next(iter(x.values())).shape[:2]
        # The chip's clock: what each population sent in step t, absent outside its window.
        sent: dict[str, dict[int, Tensor]] = {name: dict(enumerate(values)) for name, values in x.items()}
        neurons = {p.name: _Neurons(p, batch) for p in self.program.populations}
        sent.update({name: {} for name in neurons})
        recording = Recording()
        for t in range(steps + max((p.offset for p in self.program.populations), default=0)):
            for population in self.program.populations:
                name, local = population.name, t - population.offset
                if not 0 <= local < steps:
                    continue
                arrived = sum_arriving(self.synapses[name], sent, t)
                sent[name][t] = spikes = neurons[name].step(arrived, local)
                recording.spikes.setdefault(name, []).append(spikes)
                if name in states:
                    recording.u.setdefault(name, []).append(neurons[name].u)
                    recording.v.setdefault(name, []).append(neurons[name].v)
        return recording


def sum_arriving(
    synapses: list[_Synapse], sent: Mapping[str, Mapping[int, Tensor]], t: int
) -> Tensor | float:
    """Summed input that arrives in step t, float64 [B, neurons]; 0 where nothing was sent."""
    total: Tensor | float = 0.0
    for synapse in synapses:
        spikes = sent[synapse.hop.source].get(t - 1 - synapse.hop.axonal_delay)
        if spikes is not None:
            total = total + synapse.deliver(spikes)
    return total


class _Synapse:
    """One hop as a float32 product."""

    def __init__(self, program: Program, hop: FixedHop) -> None:
        self.hop = hop
        self.factor = float(2**hop.exponent)
        self.shape = program.graph.shapes[hop.source]
        self.node = None if hop.convolution is None else program.graph.nodes[hop.convolution]
        values = hop.matrix.toarray() if hop.kernel is None else hop.kernel
        self.weight = torch.from_numpy(np.asarray(values, dtype=np.float32))

    def deliver(self, spikes: Tensor) -> Tensor:
        if self.node is None:
            return functional.linear(spikes, self.weight).to(torch.float64) * self.factor
        moved = convolve(self.node, spikes.reshape(-1, *self.shape), self.weight, None)
        return moved.flatten(1).to(torch.float64) * self.factor


class _Neurons:
    """State of one population over a batch."""

    def __init__(self, population: FixedPopulation, batch: int) -> None:
        self.population = population
        self.u = self.v = torch.zeros((batch, int(np.prod(population.shape))), dtype=torch.float64)
        self.bias_u = torch.from_numpy(population.bias_u.astype(np.float64))
        self.bias_v = torch.from_numpy(population.bias_v.astype(np.float64))
        self.keep_u = float(limits.DECAY_ONE - (population.du + 1))
        self.keep_v = float(limits.DECAY_ONE - population.dv)
        self.threshold = float(population.vth << limits.STATE_SHIFT)

    def step(self, arrived: Tensor | float, local: int) -> Tensor:
        """Advance one step of the window; the spikes, float32 [B, neurons]."""
        row = min(local, len(self.bias_u) - 1)
        driven = (self.bias_u[row] + arrived) * 2.0**limits.STATE_SHIFT
        u = torch.trunc(self.u * self.keep_u / limits.DECAY_ONE) + driven
        self.u = _HALF - torch.remainder(_HALF - u, _WRAP)
        row = min(local, len(self.bias_v) - 1)
        v = torch.trunc(self.v * self.keep_v / limits.DECAY_ONE) + self.u + self.bias_v[row]
        v = v.clamp(-limits.STATE_MAX, limits.STATE_MAX)
        spikes = v > self.threshold
        self.v = torch.where(spikes, 0.0, v)
        return spikes.to(torch.float32)
