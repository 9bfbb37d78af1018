"""One step of the optimiser on one batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from msenas_hw.training.config import TrainingConfig
from msenas_hw.training.constraints import project
from msenas_hw.training.rules import RuleHooks, step_wise
from targets.graph.kinds import SPIKING
from targets.reference.network import ReferenceNetwork


def gradient(
    network: ReferenceNetwork, x: Tensor, y: Tensor, config: TrainingConfig, penalty: float
) -> float:
    """Leave the gradient of the loss on `x` [T, B, *input], classes `y` [B]; the loss."""

    def error(scores: Tensor) -> Tensor:
        scaled = config.score_scale * scores.flatten(1)
        return functional.cross_entropy(scaled, y, label_smoothing=config.label_smoothing)

    if config.step_wise:
        return float(step_wise(network, x, error, y))
    graph = network.graph
    hooks = network.hooks if isinstance(network.hooks, RuleHooks) else None
    if hooks is not None:
        hooks.begin(network, y)
    spiking = [n for n in graph.populations if penalty > 0 and isinstance(graph.nodes[n], SPIKING)]
    values = network({graph.inputs[0]: x}, keep=graph.outputs, totals=spiking)
    loss = error(values.outputs[graph.outputs[0]].mean(0))
    if spiking:
        places = len(x) * len(y) * sum(math.prod(graph.shapes[name]) for name in spiking)
        loss = loss + penalty * (torch.stack([*values.totals.values()]).sum() / places)
    extra = None if hooks is None else hooks.extra_loss()
    (loss if extra is None else loss + extra).backward()  # type: ignore[no-untyped-call]
    if hooks is not None:
        hooks.finish(network)
    return float(loss.detach())


def move(network: ReferenceNetwork, optimiser: torch.optim.Optimizer, config: TrainingConfig) -> None:
    """Follow the gradient, shortened where it is long, and keep the constraints."""
    nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    optimiser.step()
    project(network)
