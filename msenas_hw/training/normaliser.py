"""Normalisation of the summed current of a population while it is trained.

Per channel, over steps, samples and pixels:  S' = (S - mean) * scale / deviation + shift, for what
comes from outside the population's cycle; what comes from inside is scaled by the same scale /
deviation and never centred, since centring an inhibitory current would stop it inhibiting. The scale
is kept positive, so signs survive folding. It begins as the identity on the first batch, which keeps
the balanced initialisation. Source: Zheng et al., "Going Deeper With Directly-Trained Larger Spiking
Neural Networks", AAAI 2021 (threshold-dependent batch normalisation), applied to sums.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MOMENTUM = 0.1
_EPSILON = 1e-5


class CurrentNormaliser(nn.Module):
    """Normalises currents [T, B, *shape] of a population whose first axis is its channels."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.view = (shape[0],) + (1,) * (len(shape) - 1)
        self.log_scale = nn.Parameter(torch.zeros(self.view, dtype=dtype))
        self.shift = nn.Parameter(torch.zeros(self.view, dtype=dtype))
        self.mean: Tensor
        self.variance: Tensor
        self.started: Tensor
        self.register_buffer("mean", torch.zeros(self.view, dtype=dtype))
        self.register_buffer("variance", torch.ones(self.view, dtype=dtype))
        self.register_buffer("started", torch.tensor(False))
        # The factor of the batch in hand, for the steps of a cycle that follow it.
        self._factor: Tensor | None = None

    def external(self, current: Tensor) -> Tensor:
        """Current [T, B, *shape] from outside the cycle, normalised."""
        mean, variance = self._statistics(current)
        self._factor = self.log_scale.exp() / torch.sqrt(variance + _EPSILON)
        return (current - mean) * self._factor + self.shift

    def internal(self, current: Tensor) -> Tensor:
        """Current [B, *shape] of one step from inside the cycle, scaled."""
        return current * (self.log_scale.exp() if self._factor is None else self._factor)

    def folded(self) -> tuple[Tensor, Tensor]:
        """What evaluation does, as `(factor, addend)` a channel: S' = factor * S + addend."""
        if not self.started:
            return self.log_scale.exp().flatten(), self.shift.flatten()
        factor = self.log_scale.exp() / torch.sqrt(self.variance + _EPSILON)
        return factor.flatten(), (self.shift - self.mean * factor).flatten()

    def _statistics(self, current: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            return self.mean, self.variance
        axes = (0, 1, *range(3, current.dim()))
        mean = current.mean(axes).view(self.view)
        variance = current.var(axes, unbiased=False).view(self.view)
        with torch.no_grad():
            if not self.started:
                self.log_scale.copy_(torch.log(torch.sqrt(variance + _EPSILON)))
                self.shift.copy_(mean)
                self.mean.copy_(mean)
                self.variance.copy_(variance)
                self.started.fill_(True)
            self.mean.lerp_(mean, _MOMENTUM)
            self.variance.lerp_(variance, _MOMENTUM)
        return mean, variance
