"""Local rules that change weights without an error. Each gives dw; `weight.grad = -dw` is written.

    stdp      dw = sum_t  A+ s[t] p[t] - A- a q[t-1] x[t]
              p[t] = a p[t-1] + x[t];  q[t] = a q[t-1] + s[t];  a = exp(-1 / tau)
              A spike drives its target in the same step, so a pair in one step is pre before post.
    rstdp     E[t] as above, per sample; Ebar[t] = exp(-1 / tau_e) Ebar[t-1] + E[t] / tau_e;
              dw = sum over samples of reward x Ebar[T]
    softhebb  on rates over the run, x and u = W x: y = softmax_j(u / temperature), negative but for
              the largest; dw_ji = sum y_j (x_i - u_j w_ji), divided by max |dw| and scaled for each
              neuron with | ||w_j|| - 1 |^0.5

Sums are means over the samples, and go over the places of a convolution. Biases do not change.
Sources: Bi & Poo, J. Neurosci. 18 (1998); Izhikevich, Cereb. Cortex 17 (2007), Florian, Neural
Comput. 19 (2007); Journe et al., ICLR 2023, there for rates of analogue neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from msenas_hw.training.rules.operators import Operator


@dataclass(frozen=True)
class Plasticity:
    """Constants of the local rules; times in steps.

    Attributes:
        potentiation: A+; depression: A-.
        tau: of both spike traces; tau_eligibility: of Ebar.
        temperature: of SoftHebb's softmax.
    """

    potentiation: float = 1.0
    depression: float = 1.0
    tau: float = 5.0
    tau_eligibility: float = 20.0
    temperature: float = 1.0


class Delta(Protocol):
    """One synapse node's local rule during one batch."""

    def observe(self, x: Tensor, spikes: Tensor) -> None:
        """See input `x` [S, B, *input] and postsynaptic `spikes` [S, B, *output]."""
        ...

    def change(self, weight: Tensor, reward: Tensor | None) -> Tensor:
        """dw for `weight`; `reward` [B]."""
        ...


class Unheard:
    """Sees the steps of a batch that its local rule has seen already."""

    def observe(self, x: Tensor, spikes: Tensor) -> None:
        pass

    def change(self, weight: Tensor, reward: Tensor | None) -> Tensor:
        raise NotImplementedError


@dataclass
class _Pairs:
    """Both traces of pair-based rules, from stretch to stretch."""

    decay: float
    pre: Tensor | None = None
    post: Tensor | None = None

    def run(self, x: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """p[t] [S, B, *input] and a q[t-1] [S, B, *output]."""
        before, after = torch.empty_like(x), torch.empty_like(spikes)
        for at, (pre, post) in enumerate(zip(x, spikes, strict=True)):
            self.pre = pre.clone() if self.pre is None else self.decay * self.pre + pre
            held = torch.zeros_like(post) if self.post is None else self.decay * self.post
            after[at] = held
            self.post = held + post
            before[at] = self.pre
        return before, after


def _outer(operator: Operator, weight: Tensor, post: Tensor, pre: Tensor) -> Tensor:
    """Sum over steps and samples of post x pre, in the weight's shape; both [S, B, ...]."""
    return operator.weight_gradient(post.flatten(0, 1), weight, pre.flatten(0, 1))


@dataclass
class Stdp:
    """Pair-based STDP; `like` has the weight's shape."""

    operator: Operator
    constants: Plasticity
    like: Tensor
    _pairs: _Pairs = field(init=False)
    _total: Tensor = field(init=False)
    _samples: int = 1

    def __post_init__(self) -> None:
        self._pairs = _Pairs(math.exp(-1 / self.constants.tau))
        self._total = torch.zeros_like(self.like)

    def observe(self, x: Tensor, spikes: Tensor) -> None:
        p, q = self._pairs.run(x, spikes)
        self._samples = x.shape[1]
        self._total += self.constants.potentiation * _outer(self.operator, self.like, spikes, p)
        self._total -= self.constants.depression * _outer(self.operator, self.like, q, x)

    def change(self, weight: Tensor, reward: Tensor | None) -> Tensor:
        return self._total / self._samples


@dataclass
class RewardedStdp:
    """STDP times reward; keeps the spikes of the run, less than an eligibility a sample and synapse."""

    operator: Operator
    constants: Plasticity
    like: Tensor
    _pairs: _Pairs = field(init=False)
    _seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pairs = _Pairs(math.exp(-1 / self.constants.tau))

    def observe(self, x: Tensor, spikes: Tensor) -> None:
        self._seen.append((x, spikes, *self._pairs.run(x, spikes)))

    def change(self, weight: Tensor, reward: Tensor | None) -> Tensor:
        assert reward is not None
        x, spikes, p, q = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        tau = self.constants.tau_eligibility
        age = torch.arange(len(x) - 1, -1, -1).to(x)
        factor = torch.exp(-age / tau)[:, None] * reward.to(x) / tau
        factor = factor.view(*factor.shape, *[1] * (spikes.dim() - 2))
        gained = self.constants.potentiation * _outer(self.operator, weight, factor * spikes, p)
        lost = self.constants.depression * _outer(self.operator, weight, factor * q, x)
        return (gained - lost) / x.shape[1]


@dataclass
class SoftHebb:
    """SoftHebb on rates; `apply` is the node on [B, *input] and a weight, without bias."""

    operator: Operator
    constants: Plasticity
    apply: Callable[[Tensor, Tensor], Tensor]
    _sum: Tensor | None = None
    _steps: int = 0

    def observe(self, x: Tensor, spikes: Tensor) -> None:
        self._sum = x.sum(0) if self._sum is None else self._sum + x.sum(0)
        self._steps += len(x)

    def change(self, weight: Tensor, reward: Tensor | None) -> Tensor:
        assert self._sum is not None
        x = self._sum / self._steps
        u = self.apply(x, weight)
        axis = self.operator.channels
        y = torch.softmax(u / self.constants.temperature, axis)
        winner = y == y.amax(axis, keepdim=True)
        y = torch.where(winner, y, -y)
        per_channel = (-1, *[1] * (weight.dim() - 1))
        pull = self.operator.bias_gradient(y * u).view(per_channel)
        change = self.operator.weight_gradient(y, weight, x) - pull * weight
        norm = weight.flatten(1).norm(dim=1)
        rate = (norm - 1).abs().sqrt().view(per_channel)
        return rate * change / change.abs().max().clamp(min=1e-12)


# For each rule, what makes it for a batch: operator, constants, weight, and the node without bias.
DELTAS: Mapping[str, Callable[[Operator, Plasticity, Tensor, Callable[[Tensor, Tensor], Tensor]], Delta]] = {
    "stdp": lambda operator, constants, weight, apply: Stdp(operator, constants, weight),
    "rstdp": lambda operator, constants, weight, apply: RewardedStdp(operator, constants, weight),
    "softhebb": lambda operator, constants, weight, apply: SoftHebb(operator, constants, apply),
}
