"""Where a population gets its error when not from the layers above it.

    dfa    d[t] = e[t] D          e[t]: error at the readout's input current
    sdfa   d[t] = sign(e[t]) D / (B T)
    drtp   d[t] = y* D / (B T)    y*: one-hot label, no error is needed
    local  the gradient of a cross-entropy at every step of s[t] A^T against the label

D is [C, n], uniform within 1 / sqrt(n), and A is [classes, n], uniform within sqrt(3 / n); a
convolutional population has n = channels x rows x columns. e[t] holds what the readout's own temporal
rule makes of its leak: with `bptt` also the errors of later steps. The layers above get the population's
spikes without a gradient. Sources: Nokland, NeurIPS 2016 (dfa); Frenkel et al., Front. Neurosci. 15
(2021) (drtp); Kaiser et al., Front. Neurosci. 14:424 (2020) (local).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Half-width of the uniform matrices, times sqrt(n).
BOUND: Mapping[str, float] = {"dfa": 1.0, "sdfa": 1.0, "drtp": 1.0, "local": math.sqrt(3.0)}

BROADCAST: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "dfa": lambda error, steps: error,
    "sdfa": lambda error, steps: error.sign() / (error.shape[1] * steps),
}


class Tap(torch.autograd.Function):
    """The readout's current, unchanged; backward also sends its error through D to spikes.

    The spikes are an input of this function, so autograd itself sees to it that the error is there
    before they need it.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, spikes: Tensor, matrix: Tensor, sent: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.sent, ctx.shape = sent, spikes.shape
        ctx.save_for_backward(matrix)
        return current.view_as(current)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (matrix,) = ctx.saved_tensors
        (error,) = gradients
        taught = ctx.sent(error).flatten(2) @ matrix.to(error)
        return error, taught.reshape(ctx.shape), None, None


def _projected(spikes: Tensor, matrix: Tensor, labels: Tensor) -> Tensor:
    """Zero, with gradient y* D / B at every step; `spikes` [S, B, n]."""
    target = matrix[labels] / spikes.shape[1]
    return ((spikes - spikes.detach()) * target).sum()


def _classified(spikes: Tensor, matrix: Tensor, labels: Tensor) -> Tensor:
    """Sum over steps of the mean cross-entropy of the local readout; `spikes` [S, B, n]."""
    scores = spikes @ matrix.T
    every = labels.expand(spikes.shape[0], -1)
    return functional.cross_entropy(scores.flatten(0, 1), every.flatten(), reduction="sum") / len(labels)


# Losses that need the label and no error from the readout, summed over steps.
LABELLED: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "drtp": _projected,
    "local": _classified,
}
