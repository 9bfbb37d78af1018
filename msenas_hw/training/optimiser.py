"""Optimisers and schedules by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

from msenas_hw.training.config import TrainingConfig
from targets.reference.network import ReferenceNetwork

Schedule = lr_scheduler.LRScheduler

# A tensor of zeros still learns.
_LEAST_SIZE = 1e-3
_RISE = 0.1
# torch's one cycle divides by the length of its rise and of its fall, so each takes a step at least.
_SHORTEST = 3


def optimiser(network: ReferenceNetwork, config: TrainingConfig) -> Optimizer:
    """The optimiser of every parameter of `network`, rules and normalisers included."""
    return _OPTIMISERS[config.optimiser](network, config)


def schedule(optimiser: Optimizer, config: TrainingConfig, batches: int) -> Schedule:
    """The learning rate over `config.epochs` passes of `batches` steps each; stepped after every batch."""
    return _SCHEDULES[config.schedule](optimiser, config, config.epochs * batches)


def _adamw(network: ReferenceNetwork, config: TrainingConfig) -> Optimizer:
    """Adam moves every weight by the same step, so each tensor's step is taken relative to its size."""
    weights = list(network.weights.values())
    sizes = [float(weight.detach().square().mean().sqrt()) for weight in weights]
    groups: list[dict[str, Any]] = [
        {"params": [weight], "lr": config.learning_rate * max(size, _LEAST_SIZE)}
        for weight, size in zip(weights, sizes, strict=True)
    ]
    own = {id(weight) for weight in weights}
    rest = [p for p in network.parameters() if id(p) not in own]
    groups.append({"params": rest, "lr": config.learning_rate})
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=config.weight_decay)


def _sgd(network: ReferenceNetwork, config: TrainingConfig) -> Optimizer:
    return torch.optim.SGD(
        network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
    )


def _one_cycle(optimiser: Optimizer, config: TrainingConfig, steps: int) -> Schedule:
    steps = max(steps, _SHORTEST)
    return lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=steps,
        pct_start=max(_RISE, 2 / steps),
        cycle_momentum=config.optimiser == "adamw" or config.momentum > 0,
    )


def _cosine(optimiser: Optimizer, config: TrainingConfig, steps: int) -> Schedule:
    return lr_scheduler.CosineAnnealingLR(optimiser, steps)


def _constant(optimiser: Optimizer, config: TrainingConfig, steps: int) -> Schedule:
    return lr_scheduler.ConstantLR(optimiser, 1.0, 0)


_OPTIMISERS: Mapping[str, Callable[[ReferenceNetwork, TrainingConfig], Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
}
_SCHEDULES: Mapping[str, Callable[[Optimizer, TrainingConfig, int], Schedule]] = {
    "one_cycle": _one_cycle,
    "cosine": _cosine,
    "none": _constant,
}
