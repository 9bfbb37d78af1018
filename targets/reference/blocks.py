"""Runs in blocks of samples: each goes through the whole network, forward and back, inside the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from targets.reference.hooks import Hooks
from targets.reference.scan import State
from targets.reference.values import Asked, Carry, Values

if TYPE_CHECKING:
    from targets.reference.network import ReferenceNetwork

# Bytes that all steps of the largest layer take in one block, with a gradient and without (measured).
_GRADIENT_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 22


def samples_at_once(network: ReferenceNetwork, steps: int, samples: int) -> int:
    """How many samples a run takes at once; all where hooks or transforms see them together."""
    if network.transforms or type(network.hooks) is not Hooks:
        return samples
    most = _GRADIENT_BYTES if torch.is_grad_enabled() else _BLOCK_BYTES
    blocks = math.ceil(steps * samples * network.largest / most)
    return math.ceil(samples / max(min(blocks, samples), 1))


def run_blocks(
    network: ReferenceNetwork, x: Mapping[str, Tensor], carry: Carry | None, asked: Asked
) -> Values:
    """As `ReferenceNetwork.run_stretch`, block by block."""
    steps, samples = next(iter(x.values())).shape[:2]
    size = samples_at_once(network, steps, samples)
    if size >= samples:
        return network.run_stretch(x, carry, asked)
    given, carries, parts = carry or Carry(), [], []
    for at in range(0, samples, size):
        here = slice(at, at + size)
        carries.append(_part(given, here))
        fed = {name: value[:, here] for name, value in x.items()}
        parts.append(network.run_stretch(fed, carries[-1], asked))
    given.states = {name: _joined([c.states[name] for c in carries], 0) for name in carries[0].states}
    given.held = {name: torch.cat([c.held[name] for c in carries], 1) for name in carries[0].held}
    given.first = False
    return Values(
        {name: torch.cat([part.outputs[name] for part in parts], 1) for name in parts[0].outputs},
        {name: _joined([part.states[name] for part in parts], 1) for name in parts[0].states},
    )


def _part(carry: Carry, here: slice) -> Carry:
    states = {
        name: State(None if state.u is None else state.u[here], state.v[here])
        for name, state in carry.states.items()
    }
    return Carry(states, {name: held[:, here] for name, held in carry.held.items()}, carry.first)


def _joined(states: list[State], axis: int) -> State:
    currents = [state.u for state in states if state.u is not None]
    v = torch.cat([state.v for state in states], axis)
    return State(torch.cat(currents, axis) if currents else None, v)
