"""Training of one network with surrogate gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import targets
from msenas_hw.data import Dataset
from msenas_hw.training.augment import shifted
from msenas_hw.training.config import TrainingConfig
from msenas_hw.training.constraints import project
from msenas_hw.training.folding import fold
from msenas_hw.training.normaliser import CurrentNormaliser
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING, SYNAPSE
from targets.reference.network import ReferenceNetwork

Floats = NDArray[np.float32]
# Share of its budget that a network is held to while it trains, so that test samples fit too.
_BUDGET_AIM = 0.9
# A tensor of zeros still learns.
_LEAST_SIZE = 1e-3


class Excess(NamedTuple):
    """Use of the tightest limit as a share of it: of all resources, and of those that spikes decide."""

    share: float = 0.0
    by_spikes: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass: mean loss, validation accuracy, spikes a sample."""

    number: int
    loss: float
    validation_accuracy: float
    spikes: float


@dataclass(frozen=True)
class Trained:
    """A trained network, folded.

    Attributes:
        graph: the network with its normalisers folded in.
        validation_accuracy: fraction, of the epoch kept, which is the best on validation.
        within_budget: whether every resource was within its budget in the epoch kept.
        history: every epoch.
    """

    graph: SpikingGraph
    seed: int
    validation_accuracy: float
    within_budget: bool
    history: tuple[Epoch, ...]


def train(
    graph: SpikingGraph,
    data: Dataset,
    encoding: str,
    steps: int,
    config: TrainingConfig,
    seed: int,
    excess: Callable[[SpikingGraph], Excess] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train `graph` on the training part; the epoch with the best validation accuracy is kept.

    Args:
        graph: initial weights; one Input, spike counts of its Output are the class scores.
        excess: measured cost of a graph over its budget. While what spikes decide exceeds 0.9 of it,
            the spike penalty grows; an epoch within budget is preferred to one that is not.
        on_epoch: told after every pass.

    The test part is never read.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    network, optimiser = _prepare(graph, config)
    train_x, train_y = data.inputs("train", encoding, steps)
    batches = -(-len(train_y) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=config.epochs * batches,
        pct_start=0.1,
    )
    check_x, check_y = data.inputs("validation", encoding, steps)
    penalty, history = config.spike_penalty, []
    best: tuple[tuple[bool, float], SpikingGraph] | None = None
    for number in range(config.epochs):
        network.train()
        losses = []
        for x, y in _batches(train_x, train_y, config, rng):
            losses.append(_step(network, optimiser, x, y, config, penalty))
            schedule.step()
        folded = fold(network, check_x[:, :8])
        run = targets.compile(folded, "reference").run(check_x)
        accuracy = float((run.classes() == check_y).mean())
        found = Excess() if excess is None else excess(folded)
        penalty = _adapted(penalty, found.by_spikes, config)
        spikes = sum(int(count.sum()) for count in run.spike_counts.values()) / run.samples
        history.append(Epoch(number, float(np.mean(losses)), accuracy, spikes))
        if on_epoch is not None:
            on_epoch(history[-1])
        rank = (found.share <= 1.0, accuracy)
        if best is None or rank >= best[0]:
            best = (rank, folded)
    assert best is not None
    return Trained(best[1], seed, best[0][1], best[0][0], tuple(history))


def _prepare(graph: SpikingGraph, config: TrainingConfig) -> tuple[ReferenceNetwork, torch.optim.Optimizer]:
    normalisers = {
        name: CurrentNormaliser(graph.shapes[name])
        for name in graph.populations
        if all(isinstance(graph.nodes[n], SYNAPSE) for n in _sources(graph, name))
    }
    network = ReferenceNetwork(graph, transforms=normalisers)
    network.add_module("normalisers", nn.ModuleList(normalisers.values()))
    optimiser = torch.optim.AdamW(_groups(network, config), weight_decay=config.weight_decay)
    return network, optimiser


def _sources(graph: SpikingGraph, population: str) -> list[str]:
    """The nodes directly before `population`, looking through Delay nodes."""
    found: list[str] = []
    for name in graph.predecessors[population]:
        through = isinstance(graph.nodes[name], nir.Delay)
        found.extend(graph.predecessors[name] if through else [name])
    return found


def _groups(network: ReferenceNetwork, config: TrainingConfig) -> list[dict[str, Any]]:
    """Adam moves every weight by the same step, so each tensor's step is taken relative to its size."""
    weights = list(network.weights.values())
    sizes = [float(weight.detach().square().mean().sqrt()) for weight in weights]
    groups = [
        {"params": [weight], "lr": config.learning_rate * max(size, _LEAST_SIZE)}
        for weight, size in zip(weights, sizes, strict=True)
    ]
    own = {id(weight) for weight in weights}
    rest = [p for p in network.parameters() if id(p) not in own]
    return [*groups, {"params": rest, "lr": config.learning_rate}]


def _batches(
    x: Floats, y: NDArray[np.int64], config: TrainingConfig, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    order = rng.permutation(len(y))
    for at in range(0, len(y), config.batch):
        chosen = order[at : at + config.batch]
        moved = shifted(x[:, chosen], config.shift, rng)
        yield torch.from_numpy(np.ascontiguousarray(moved)), torch.from_numpy(y[chosen])


def _step(
    network: ReferenceNetwork,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    config: TrainingConfig,
    penalty: float,
) -> float:
    graph = network.graph
    values = network({graph.inputs[0]: x}).outputs
    scores = values[graph.outputs[0]].mean(0).flatten(1)
    loss = functional.cross_entropy(config.score_scale * scores, y, label_smoothing=config.label_smoothing)
    if penalty > 0:
        loss = loss + penalty * _mean_rate(graph, values)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    optimiser.step()
    project(network)
    return float(loss.detach())


def _mean_rate(graph: SpikingGraph, values: Mapping[str, Tensor]) -> Tensor:
    """Spikes a neuron and step over all spiking populations."""
    spikes = [values[n] for n in graph.populations if isinstance(graph.nodes[n], SPIKING)]
    total = torch.stack([s.sum() for s in spikes]).sum()
    return total / sum(s.numel() for s in spikes)


def _adapted(penalty: float, excess: float, config: TrainingConfig) -> float:
    """The spike penalty of the next epoch: it grows while the budget is exceeded, and eases after."""
    if excess > _BUDGET_AIM:
        return min(max(2.0 * penalty, config.spike_penalty_start), config.spike_penalty_most)
    return max(config.spike_penalty, penalty / 2.0 if penalty > config.spike_penalty_start / 8 else 0.0)
