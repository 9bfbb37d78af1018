"""Neuron populations in torch: the one definition of their dynamics.

Equations and order of operations: `targets.graph.dynamics`. `step` states them; on a CPU, kernels in C
compute the same to the last bit (`targets.reference.kernels`), except where a coefficient needs a
gradient: then, and on other devices, `step` itself runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from targets.graph.dynamics import Dynamics, SpikeRule
from targets.reference.kernels.build import kernels
from targets.reference.kernels.population import Population
from targets.reference.surrogate import count, spike

_TERMS = ("gain", "decay", "decay_synapse", "leak", "threshold", "reset", "clip")


@dataclass(frozen=True)
class Coefficients:
    """`Dynamics` as tensors of one dtype, each `[*shape]`; None where a term is absent.

    `kernels` says what runs them: "auto", "c" or "torch" (`targets.reference.kernels.build`).
    """

    gain: Tensor
    decay: Tensor | None
    decay_synapse: Tensor | None
    leak: Tensor | None
    threshold: Tensor | None
    reset: Tensor | None
    clip: Tensor | None = None
    rule: SpikeRule | None = None
    kernels: str = "auto"

    @classmethod
    def of(
        cls, dynamics: Dynamics, dtype: torch.dtype = torch.float32, kernels: str = "auto"
    ) -> Coefficients:
        """The coefficients widened to `dtype`."""
        terms = {
            name: torch.from_numpy(value).to(dtype) if isinstance(value, np.ndarray) else value
            for name, value in vars(dynamics).items()
        }
        return cls(**terms, kernels=kernels)  # type: ignore[arg-type]

    @property
    def binary(self) -> bool:
        """Whether every output is 0 or 1."""
        return self.threshold is not None and (self.rule is None or not self.rule.many)

    @cached_property
    def population(self) -> Population | None:
        """These coefficients packed for the C kernels; None where plain torch runs."""
        library = kernels(self.kernels).library
        terms = {name: getattr(self, name) for name in _TERMS}
        return None if library is None else Population.of(library, terms, self.rule)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes: packed coefficients hold addresses, so it packs its own."""
        return {name: value for name, value in vars(self).items() if name != "population"}


@dataclass(frozen=True)
class State:
    """Synaptic current `u` (None without one) and membrane `v`, each `[B, *shape]`."""

    u: Tensor | None
    v: Tensor

    @classmethod
    def zero(cls, coefficients: Coefficients, current: Tensor) -> State:
        """The state at the start of a sample, for a `current` [B, *shape]."""
        zero = torch.zeros_like(current)
        return cls(None if coefficients.decay_synapse is None else zero, zero)

    @classmethod
    def stacked(cls, states: Sequence[State]) -> State:
        """States of successive steps as one, each `[S, B, *shape]`."""
        currents = [state.u for state in states if state.u is not None]
        return cls(torch.stack(currents) if currents else None, torch.stack([state.v for state in states]))

    def copied(self) -> State:
        """The same in memory of its own."""
        return State(None if self.u is None else self.u.clone(), self.v.clone())

    def detached(self) -> State:
        """The same values, without gradient."""
        return State(None if self.u is None else self.u.detach(), self.v.detach())


def step(c: Coefficients, state: State, current: Tensor) -> tuple[State, Tensor]:
    """One time step: the new state and the output [B, *shape] (spikes; v for LI and CubaLI)."""
    driven = c.gain * current
    if c.decay_synapse is None:
        u = None
    else:
        assert state.u is not None
        u = driven = c.decay_synapse * state.u + driven
    v = driven + state.v if c.decay is None else c.decay * state.v + driven
    if c.leak is not None:
        v = v + c.leak
    if c.threshold is None:
        return State(u, v), v
    assert c.reset is not None
    if c.rule is not None:
        v, fired = fire(c, c.rule, v, state.v)
        return State(u, v), fired
    fired = spike(v, c.threshold)
    return State(u, torch.where(fired.detach() > 0, c.reset, v)), fired


def fire(c: Coefficients, rule: SpikeRule, v: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes and reset other than the house's: the membrane kept and the spikes, each [B, *shape].

    Args:
        v: the membrane just integrated; `before`: the one kept a step earlier.
    """
    assert c.threshold is not None
    assert c.reset is not None
    if rule.reset == "subtract_late":
        v = v - count(before.detach(), c.threshold, rule.inclusive, rule.many) * c.threshold
    fired = count(v, c.threshold, rule.inclusive, rule.many)
    if rule.reset == "subtract":
        v = v - fired.detach() * c.threshold
    elif rule.reset == "to_value":
        v = torch.where(fired.detach() > 0, c.reset, v)
    if c.clip is not None:
        v = torch.relu(v - c.clip) + c.clip
    return v, fired


@dataclass(frozen=True)
class Scanned:
    """A population over a stretch of steps.

    Attributes:
        outputs: [S, B, *shape], spikes, or v for LI and CubaLI.
        last: the state after the last step.
        history: the state after every step, [S, B, *shape], where it was asked for.
    """

    outputs: Tensor
    last: State
    history: State | None


def scan(
    c: Coefficients,
    current: Tensor,
    state: State | None = None,
    history: bool = False,
    through_time: bool = True,
    counts: Tensor | None = None,
) -> Scanned:
    """Run a population over `current` [S, B, *shape], from `state` or from zero.

    Args:
        through_time: whether the gradient passes from each step to the one before.
        counts: int64 [*shape], to which the spikes of every neuron are added.
    """
    packed = c.population
    if packed is not None and packed.takes(current):
        u, v = (None, None) if state is None else (state.u, state.v)
        found = packed.scan(current, u, v, history, through_time, counts)
        every = None if found.v_every is None else State(found.u_every, found.v_every)
        return Scanned(found.outputs, State(found.u_last, found.v_last), every)
    state = State.zero(c, current[0]) if state is None else state
    outputs, states = [], []
    for now in current:
        state, out = step(c, state if through_time else state.detached(), now)
        outputs.append(out)
        if history:
            states.append(state)
    if counts is not None and c.threshold is not None:
        counts += torch.stack(outputs).sum((0, 1), dtype=torch.int64)
    return Scanned(torch.stack(outputs), state, State.stacked(states) if history else None)
