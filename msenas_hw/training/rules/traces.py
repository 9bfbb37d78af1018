"""Presynaptic traces: what the inputs of the past still contribute to a membrane.

For a population with decay b (1 for IF) and, with a synaptic current, decay_synapse a:

    LI, LIF, IF      X[t] = b X[t-1] + x[t]
    CubaLI, CubaLIF  Y[t] = a Y[t-1] + x[t];   X[t] = b X[t-1] + Y[t]

The gradient of a weight is the sum over steps of the error at the current times X[t]. It is the whole
of a layer's own gradient as far as it runs along the leak. What a reset does to it is left out, as in
OTTT and e-prop: nothing under "subtract", whose reset is detached, and the cut at each spike under
"to_value". Neurons of one population that decay differently need a trace for each decay.
Sources: Xiao et al., NeurIPS 2022; Bellec et al., Nat. Commun. 11:3625 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from targets.errors import ConfigError
from targets.graph.dynamics import Dynamics

MOST_DECAYS = 16


@dataclass(frozen=True)
class Decays:
    """Decays of a membrane and its synaptic current (None without one), of the neurons in `mask`."""

    membrane: float
    synapse: float | None
    mask: Tensor | None


def decays_of(population: str, dynamics: Dynamics, direct: bool) -> tuple[Decays, ...]:
    """The different decays of a population.

    Args:
        direct: the traces belong to a node right before the population, of the same shape.

    Raises:
        ConfigError: more than `MOST_DECAYS`, or more than one and not `direct`.
    """
    membrane = np.ones_like(dynamics.gain) if dynamics.decay is None else dynamics.decay
    columns = [membrane] if dynamics.decay_synapse is None else [membrane, dynamics.decay_synapse]
    stacked = np.stack([column.reshape(-1) for column in columns], axis=1)
    found, which = np.unique(stacked, axis=0, return_inverse=True)
    if len(found) > (MOST_DECAYS if direct else 1):
        limit = f"{MOST_DECAYS}" if direct else "1 where other nodes lie before the population"
        raise ConfigError(
            f"layer {population!r}: trace needs a trace for each decay, found {len(found)} different ones, "
            f"allowed {limit}; use bptt or none"
        )
    which = which.reshape(membrane.shape)
    masks = [torch.from_numpy((which == at).astype(np.float32)) for at in range(len(found))]
    return tuple(
        Decays(float(row[0]), float(row[1]) if len(row) > 1 else None, mask if len(found) > 1 else None)
        for row, mask in zip(found, masks, strict=True)
    )


@dataclass
class Trace:
    """The traces of one synapse node's input, kept from one stretch of steps to the next."""

    decays: tuple[Decays, ...]
    _state: list[_Filtered] = field(default_factory=list)
    _ones: list[_Filtered] = field(default_factory=list)

    def copied(self) -> Trace:
        """The same, going its own way from here."""
        state, ones = ([replace(each) for each in part] for part in (self._state, self._ones))
        return replace(self, _state=state, _ones=ones)

    @torch.no_grad()
    def run(self, x: Tensor, first: bool) -> tuple[tuple[Tensor, ...], Tensor]:
        """Traces of `x` [S, B, *input], one for each decay, and those of a constant 1, [decays, S]."""
        if first or not self._state:
            self._state = [_Filtered(decay) for decay in self.decays]
            self._ones = [_Filtered(decay) for decay in self.decays]
        traces = tuple(each.run(x) for each in self._state)
        one = x.new_ones(x.shape[0])
        return traces, torch.stack([each.run(one) for each in self._ones])


@dataclass
class _Filtered:
    decays: Decays
    current: Tensor | None = None
    membrane: Tensor | None = None

    def run(self, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        for at, now in enumerate(x):
            driven = now
            if self.decays.synapse is not None:
                driven = now if self.current is None else self.decays.synapse * self.current + now
                self.current = driven
            if self.membrane is not None:
                driven = self.decays.membrane * self.membrane + driven
            self.membrane = out[at] = driven
        return out
