"""The torch engine: float32 products, on any device of torch.

Sums stay below 2^24, proven at lowering, so float32 products are exact. Populations in no cycle take the
products of many steps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from targets.graph.order import components
from targets.loihi import limits
from targets.loihi.kernels.engine import NotSpikesError, Recording, local_delay, ordered
from targets.loihi.kernels.neurons import Neurons, Stretch, Sum
from targets.loihi.program import FixedHop, Program
from targets.reference.stateless import convolve

# Bytes of the largest signal of the steps that are computed together.
_STRETCH_BYTES = 1 << 24

_Signals = dict[str, Tensor]


@dataclass
class State:
    """`batch` samples after `elapsed` steps.

    Attributes:
        sent: `{node: float32 [depth, B, neurons]}`, spikes of the last steps.
        neurons: `{population: state of its neurons}`.
    """

    batch: int
    elapsed: int
    sent: _Signals
    neurons: dict[str, list[Tensor]]


class TorchEngine:
    """A program as dense products."""

    def __init__(self, program: Program, device: str = "cpu") -> None:
        self.said = "torch kernels" if device == "cpu" else f"torch kernels, {device}"
        self.device = torch.device(device)
        self.sizes = {n: int(np.prod(s)) for n, s in program.inputs.items()}
        self.sizes |= {p.name: int(np.prod(p.shape)) for p in program.populations}
        self.inputs = tuple(program.inputs)
        self.neurons = {p.name: Neurons(p, self.device) for p in ordered(program)}
        self.synapses = {
            p.name: [_Synapse(program, hop, self.device) for hop in program.hops if hop.target == p.name]
            for p in program.populations
        }
        order = {name: i for i, name in enumerate(self.neurons)}
        edges = [(h.source, h.target) for h in program.hops if h.source in order]
        self.groups = [sorted(group, key=order.__getitem__) for group in components(list(order), edges)]
        self.looped = {h.target for h in program.hops if h.source == h.target}
        self.depths = dict.fromkeys(self.sizes, 0)
        for synapse in (s for found in self.synapses.values() for s in found):
            self.depths[synapse.source] = max(self.depths[synapse.source], synapse.delay)

    def start(self, batch: int, kept: bool = True) -> State:
        """See `Engine.start`; the state is always kept."""
        sent = {n: torch.zeros((self.depths[n], batch, s), device=self.device) for n, s in self.sizes.items()}
        return State(batch, 0, sent, {name: found.start(batch) for name, found in self.neurons.items()})

    @torch.no_grad()
    def advance(
        self,
        state: State,
        x: Mapping[str, NDArray[np.float32]],
        keep: Collection[str] = (),
        states: Collection[str] = (),
    ) -> Recording:
        """See `Engine.advance`."""
        fed = {n: torch.from_numpy(np.asarray(x[n], np.float32)) for n in self.inputs}
        steps = len(next(iter(fed.values())))
        widest = 4 * state.batch * max(self.sizes.values())
        stretch = max(1, _STRETCH_BYTES // widest)
        counts = {name: np.zeros(size, np.int64) for name, size in self.sizes.items()}
        kept: dict[str, dict[str, list[NDArray[Any]]]] = {
            kind: {name: [] for name in names}
            for kind, names in (("spikes", keep), ("u", states), ("v", states))
        }
        other = False
        for at in range(0, steps, stretch):
            sent = {name: value[at : at + stretch].to(self.device) for name, value in fed.items()}
            for name, value in sent.items():
                sign = value.sign()
                other |= bool((sign != value).any())
                counts[name] += torch.count_nonzero(sign, dim=(0, 1)).cpu().numpy()
            self._stretch(state, sent, counts, kept)
        if other:
            raise NotSpikesError
        return Recording(
            **{kind: {n: np.concatenate(v) for n, v in found.items()} for kind, found in kept.items()},
            counts=counts,
        )

    def _stretch(
        self,
        state: State,
        sent: _Signals,
        counts: dict[str, NDArray[np.int64]],
        kept: Mapping[str, dict[str, list[NDArray[Any]]]],
    ) -> None:
        """Run the steps of `sent`, which holds the inputs and gets the spikes of every population."""
        steps = len(next(iter(sent.values())))
        for group in self.groups:
            one = group[0] if len(group) == 1 and group[0] not in self.looped else None
            found = self._cycle(state, sent, group, steps, kept) if one is None else {}
            if one is not None:
                sums = [(s.deliver(_delayed(state, sent, s, 0, steps)), s.shift) for s in self.synapses[one]]
                found[one] = [self._advance(state, one, sums, 0, steps, kept)]
                sent[one] = found[one][0].spikes
            for name, stretches in found.items():
                for got in stretches:
                    counts[name] += got.counts
                    if name in kept["spikes"]:
                        kept["spikes"][name].append(got.spikes.cpu().numpy())
                    if name in kept["u"] and got.u is not None and got.v is not None:
                        kept["u"][name].append(got.u)
                        kept["v"][name].append(got.v)
        for name, depth in self.depths.items():
            if depth:
                state.sent[name] = torch.cat([state.sent[name], sent[name]])[-depth:]
        state.elapsed += steps

    def _cycle(
        self, state: State, sent: _Signals, group: list[str], steps: int, kept: Mapping[str, Any]
    ) -> dict[str, list[Stretch]]:
        """Populations that feed each other, step by step; what comes from outside for all steps at once."""
        outside = {
            s: s.deliver(_delayed(state, sent, s, 0, steps))
            for name in group
            for s in self.synapses[name]
            if s.source not in group
        }
        for name in group:
            sent[name] = torch.zeros((steps, state.batch, self.sizes[name]), device=self.device)
        found: dict[str, list[Stretch]] = {name: [] for name in group}
        for t in range(steps):
            for name in group:
                sums = [
                    (outside[s][t : t + 1], s.shift)
                    if s in outside
                    else (s.deliver(_delayed(state, sent, s, t, 1)), s.shift)
                    for s in self.synapses[name]
                ]
                found[name].append(self._advance(state, name, sums, t, 1, kept))
                sent[name][t] = found[name][-1].spikes[0]
        return found

    def _advance(
        self, state: State, name: str, sums: list[Sum], first: int, steps: int, kept: Mapping[str, Any]
    ) -> Stretch:
        held = state.neurons[name]
        return self.neurons[name].advance(held, sums, state.elapsed + first, steps, name in kept["u"])


def _delayed(state: State, sent: _Signals, synapse: _Synapse, first: int, steps: int) -> Tensor:
    """The spikes that arrive in `steps` steps from `first` on, [steps, B, neurons]."""
    start, now = first - synapse.delay, sent[synapse.source]
    if start >= 0:
        return now[start : start + steps]
    before = state.sent[synapse.source]
    early = before[len(before) + start : len(before) + min(0, start + steps)]
    return torch.cat([early, now[: max(0, start + steps)]])


class _Synapse:
    """One hop as a float32 product."""

    def __init__(self, program: Program, hop: FixedHop, device: torch.device) -> None:
        self.source, self.delay = hop.source, local_delay(program, hop)
        self.shift = hop.exponent + limits.STATE_SHIFT
        self.shape = program.graph.shapes[hop.source]
        self.node = None if hop.convolution is None else program.graph.nodes[hop.convolution]
        values = hop.matrix.toarray() if hop.kernel is None else hop.kernel
        self.weight = torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)

    def deliver(self, spikes: Tensor) -> Tensor:
        """Summed weights, float32 [S, B, neurons], of spikes [S, B, source neurons]."""
        if self.node is None:
            return functional.linear(spikes, self.weight)
        moved = convolve(self.node, spikes.reshape(-1, *self.shape), self.weight, None)
        return moved.reshape(*spikes.shape[:2], -1)
