"""What carries an error through a synapse node to its input: a matrix V in place of the weight W.

    bp    V = W
    fa    V = B               B drawn once             Lillicrap et al., Nat. Commun. 7:13276 (2016)
    usf   V = c sign(W)       c = std of the initial W  Liao et al., AAAI 2016 (this and the next two)
    brsf  V = |M| o sign(W)   M drawn for every batch
    frsf  V = |M| o sign(W)   M drawn once

B and M have the shape of W and are uniform with the standard deviation of the initial W. sign(0) = +1,
so a weight that becomes zero still carries an error. Where a mask says that a synapse does not exist,
V is zero too. Forward, and the gradients of W and the bias for a given error, are those of the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msenas_hw.training.rules import draws
from msenas_hw.training.rules.operators import Operator


@dataclass(frozen=True)
class Initial:
    """The weight at the start of training: `std`, `shape`, `mask` (1 where a synapse exists, or None)."""

    std: float
    shape: tuple[int, ...]
    mask: Tensor | None

    @classmethod
    def of(cls, weight: NDArray[np.generic], mask: Any) -> Initial:
        """Read off an array; zeros count as drawn with torch's default, 1 / sqrt(3 fan_in)."""
        std = float(np.asarray(weight, dtype=np.float64).std())
        fan_in = max(1, weight[0].size)
        mask = None if mask is None else torch.as_tensor(np.asarray(mask, dtype=np.float32))
        return cls(std or 1 / math.sqrt(3 * fan_in), tuple(weight.shape), mask)

    def draw(self, seed: int, name: str, at: int = 0) -> Tensor:
        """A matrix distributed as the initial weight."""
        return draws.uniform(math.sqrt(3) * self.std, self.shape, seed, "feedback", name, at)


def sign(weight: Tensor) -> Tensor:
    """+1 where `weight` >= 0, else -1."""
    return torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)


# The buffer of each rule, drawn or computed once.
FIXED: Mapping[str, Callable[[Initial, int, str], Tensor]] = {
    "fa": Initial.draw,
    "frsf": Initial.draw,
    "usf": lambda initial, seed, name: torch.tensor(initial.std),
}
# V from the weight and the rule's matrix, which for brsf is the batch's.
MATRIX: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "fa": lambda weight, fixed: fixed,
    "usf": lambda weight, fixed: fixed * sign(weight),
    "brsf": lambda weight, drawn: drawn.abs() * sign(weight),
    "frsf": lambda weight, fixed: fixed.abs() * sign(weight),
}


@dataclass(frozen=True)
class Call:
    """What one application of a synapse node needs beside tensors with gradients.

    Attributes:
        apply: the node itself.
        masks: for each presynaptic factor, the outputs that use it [*output]; None means all.
        ones: the factor of the bias [factors, S], None where it is 1.
    """

    operator: Operator
    apply: Callable[[Tensor], Tensor]
    masks: tuple[Tensor | None, ...] = (None,)
    ones: Tensor | None = None


class Asymmetric(torch.autograd.Function):
    """A synapse node whose gradients use V for the input and given presynaptic factors for the weight."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        carrier: Tensor,
        call: Call,
        *factors: Tensor,
    ) -> Tensor:
        """`x` and each of `factors` are [S, B, *input]; `carrier` is V."""
        ctx.call = call
        ctx.save_for_backward(x, weight, carrier, *factors)
        return call.apply(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, carrier, *factors = ctx.saved_tensors
        call: Call = ctx.call
        error = gradients[0].to(weight.dtype)
        x_gradient = None
        if ctx.needs_input_grad[0]:
            flat = call.operator.input_gradient(error.flatten(0, 1), carrier, x.flatten(0, 1))
            x_gradient = flat.reshape(*error.shape[:2], *flat.shape[1:]).to(x.dtype)
        own = _own_gradients(call, error, weight, factors, ctx.needs_input_grad[1:3])
        return x_gradient, *own, None, None, *[None] * len(factors)


class Late(torch.autograd.Function):
    """A current, unchanged; backward gives a synapse node behind a Delay the gradients of its own."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, weight: Tensor, bias: Tensor | None, call: Call, *factors: Tensor
    ) -> Tensor:
        """`current` [S, B, *output]; `factors` are those of the steps that it comes from."""
        ctx.call = call
        ctx.save_for_backward(weight, *factors)
        return current.view_as(current)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *factors = ctx.saved_tensors
        error = gradients[0].to(weight.dtype)
        own = _own_gradients(ctx.call, error, weight, factors, ctx.needs_input_grad[1:3])
        return gradients[0], *own, None, *[None] * len(factors)


def _own_gradients(
    call: Call, error: Tensor, weight: Tensor, factors: Sequence[Tensor], wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of weight and bias, each where `wanted`, for `error` [S, B, *output]."""
    weight_gradient = bias_gradient = None
    for at, (factor, mask) in enumerate(zip(factors, call.masks, strict=True)):
        own = error if mask is None else error * mask.to(error)
        if wanted[0]:
            inputs = factor.flatten(0, 1).to(weight.dtype)
            found = call.operator.weight_gradient(own.flatten(0, 1), weight, inputs)
            weight_gradient = found if weight_gradient is None else weight_gradient + found
        if wanted[1]:
            if call.ones is not None:
                own = own * call.ones[at].view(-1, *[1] * (own.dim() - 1))
            found = call.operator.bias_gradient(own.flatten(0, 1))
            bias_gradient = found if bias_gradient is None else bias_gradient + found
    return weight_gradient, bias_gradient
