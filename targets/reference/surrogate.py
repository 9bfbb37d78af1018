"""The spike as a step function with a surrogate gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Slope of the arctangent surrogate: ds/dv = 1 / (1 + (pi / 2 * SLOPE * v)^2) * SLOPE / 2.
# Fang et al., "Incorporating learnable membrane time constant", ICCV 2021, use 2.
SLOPE = 2.0


class ArctanSpike(torch.autograd.Function):
    """spike = 1 where x > 0; backward through an arctangent of slope `SLOPE`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        scaled = (torch.pi / 2 * SLOPE) * x
        return gradients[0] * (SLOPE / 2) / (1 + scaled * scaled)


class ArctanCount(torch.autograd.Function):
    """Any count of spikes forward; backward as `ArctanSpike` at `x`, the distance to a threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return count.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ArctanSpike.backward(ctx, *gradients), None


def spike(v: Tensor, threshold: Tensor) -> Tensor:
    """1 where `v > threshold`, in v's dtype; differentiable where v needs a gradient."""
    if v.requires_grad:
        result: Tensor = ArctanSpike.apply(v - threshold)  # type: ignore[no-untyped-call]
        return result
    return (v > threshold).to(v.dtype)


def count(v: Tensor, threshold: Tensor, inclusive: bool, many: bool) -> Tensor:
    """Spikes of one step by any profile's rule (`targets.graph.dynamics`), in v's dtype.

    Differentiable where v needs a gradient: with many spikes, at the nearest multiple of the threshold.
    """
    with torch.no_grad():
        ratio = v / threshold if many else v
        if many:
            fired = (ratio.trunc() if inclusive else ratio.ceil() - 1).clamp(min=0)
        else:
            fired = (v >= threshold if inclusive else v > threshold).to(v.dtype)
    if not v.requires_grad:
        return fired
    reached = threshold * ratio.detach().round().clamp(min=1) if many else threshold
    result: Tensor = ArctanCount.apply(v - reached, fired)  # type: ignore[no-untyped-call]
    return result
