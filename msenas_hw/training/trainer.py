"""Training of one network with surrogate gradients."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from msenas_hw.data import Dataset
from msenas_hw.training.checkpoint import Checkpoint
from msenas_hw.training.config import TrainingConfig
from msenas_hw.training.folding import fold
from msenas_hw.training.quantise import ChipGrid, widths
from msenas_hw.training.samples import Samples, evaluate
from msenas_hw.training.state import Best, Epoch, TrainingState
from msenas_hw.training.step import gradient, move
from targets.errors import ConfigError, DataError, GraphError
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SYNAPSE
from targets.graph.widths import with_weight_bits

__all__ = ["Epoch", "Excess", "Observer", "Trained", "train"]

# Share of its budget that a network is held to while it trains, so that test samples fit too.
_BUDGET_AIM = 0.9
# Samples on which folding is checked.
_CHECKED = 8


class Excess(NamedTuple):
    """Use of the tightest limit as a share of it: of all resources, and of those that spikes decide."""

    share: float = 0.0
    by_spikes: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A trained network, folded.

    Attributes:
        graph: the network with its normalisers folded in; on the chip's grid where weights have a width,
            which its populations then name.
        validation_accuracy: fraction, of the epoch kept, which is the best on validation.
        within_budget: whether every resource was within its budget in the epoch kept.
        history: every epoch.
    """

    graph: SpikingGraph
    seed: int
    validation_accuracy: float
    within_budget: bool
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Observer:
    """Who is told how far a training is.

    Attributes:
        batch: called after every batch with the batches done and those of a whole training.
        epoch: called after every pass.
        resumed: called first of all with the epochs that a checkpoint brought back.
    """

    batch: Callable[[int, int], None] = field(default=lambda done, total: None)
    epoch: Callable[[Epoch], None] = field(default=lambda epoch: None)
    resumed: Callable[[Sequence[Epoch]], None] = field(default=lambda epochs: None)


def train(
    graph: SpikingGraph,
    data: Dataset,
    encoding: str,
    steps: int,
    config: TrainingConfig,
    seed: int,
    excess: Callable[[SpikingGraph], Excess] | None = None,
    observer: Observer | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train `graph` on the training part; the epoch with the best validation accuracy is kept.

    Args:
        graph: initial weights; one Input, spike counts of its Output are the class scores.
        excess: measured cost of a graph over its budget. While what spikes decide exceeds 0.9 of it,
            the spike penalty grows; an epoch within budget is preferred to one that is not.
        checkpoint: where the state is kept after every epoch, and taken from where there is one. The
            result is that of a training never interrupted, to the last bit.

    The test part is never read.

    Raises:
        DataError: the data do not suit the network.
        GraphError: the network has several Inputs or Outputs, or nothing to train.
        UnsupportedNodeError: weights have a width of their own, or by `config.weight_bits`, and a Loihi core
            cannot hold the network.
        ConfigError: rules that do not suit the network; a checkpoint of other settings.
        MsenasError: a damaged checkpoint.
    """
    _check(graph, data)
    if config.step_wise and excess is not None:
        raise ConfigError("training.step_wise: has no spike penalty to hold a budget; leave one of them out")
    shape = graph.shapes[graph.inputs[0]]
    parts = {part: Samples.of(data, part, encoding, steps, shape) for part in ("train", "validation")}
    if checkpoint is not None:
        checkpoint = checkpoint.with_settings(
            training=config.model_dump(mode="json", exclude={"seeds"}),
            data={"steps": steps, "encoding": encoding, **{p: s.digest() for p, s in parts.items()}},
            seed=seed,
            network=_network_digest(graph),
        )
    stored = widths(graph, config.weight_bits)
    graph = with_weight_bits(graph, stored) if stored else graph
    batches = -(-len(parts["train"]) // config.batch)
    session = _Session(
        state=TrainingState.begin(graph, config, seed, batches, data.classes),
        grid=ChipGrid(graph, stored) if stored else None,
        config=config,
        batches=batches,
        learned=parts["train"],
        checked=parts["validation"],
        excess=excess,
        observer=observer or Observer(),
    )
    best = session.run(checkpoint)
    history = tuple(session.state.history)
    return Trained(best.graph, seed, best.validation_accuracy, best.within_budget, history)


@dataclass(eq=False)
class _Session:
    """One call of `train`; `batches` is the number of them in an epoch."""

    state: TrainingState
    grid: ChipGrid | None
    config: TrainingConfig
    batches: int
    learned: Samples
    checked: Samples
    excess: Callable[[SpikingGraph], Excess] | None
    observer: Observer

    def run(self, checkpoint: Checkpoint | None) -> Best:
        saved = checkpoint.read() if checkpoint is not None else None
        if saved is not None:
            self.state.load(saved)
            self.observer.resumed(self.state.history)
        while not self._finished():
            self._epoch()
            if checkpoint is not None:
                checkpoint.write(self.state.save())
            self.observer.epoch(self.state.history[-1])
        assert self.state.best is not None
        return self.state.best

    def _finished(self) -> bool:
        done, best, patience = len(self.state.history), self.state.best, self.config.patience
        waited = 0 if best is None else done - 1 - best.since
        return done >= self.config.epochs or (patience is not None and waited >= patience)

    def _epoch(self) -> None:
        started, state, number = time.perf_counter(), self.state, len(self.state.history)
        state.network.train()
        losses = []
        for x, y in self.learned.batches(self.config, state.rng):
            losses.append(self._batch(x, y))
            self.observer.batch(number * self.batches + len(losses), self.config.epochs * self.batches)
        folded = fold(state.network, self.checked.first(_CHECKED))
        if self.grid is not None:
            folded = self.grid.rounded(folded)
        found = evaluate(folded, self.checked)
        over = Excess() if self.excess is None else self.excess(folded)
        best = Best(over.share <= 1.0, found.accuracy, number, folded)
        if state.best is None or best.rank > state.best.rank:
            state.best = best
        elif best.rank == state.best.rank:
            state.best = replace(best, since=state.best.since)
        share, penalty = None if self.excess is None else over.by_spikes, state.penalty
        state.penalty = _adapted(penalty, over.by_spikes, self.config)
        seconds = time.perf_counter() - started
        mean = float(np.mean(losses))
        state.history.append(Epoch(number, mean, found.accuracy, found.spikes, share, penalty, seconds))

    def _held(self) -> AbstractContextManager[None]:
        """Weights on the grid, once the epochs in floating point are over."""
        first = self.config.float_share * self.config.epochs
        if self.grid is None or len(self.state.history) < first:
            return nullcontext()
        return self.grid.held(self.state.network)

    def _batch(self, x: Tensor, y: Tensor) -> float:
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        with self._held():
            loss = gradient(state.network, x, y, self.config, state.penalty)
        move(state.network, state.optimiser, self.config)
        state.schedule.step()
        return loss


def _check(graph: SpikingGraph, data: Dataset) -> None:
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        found = f"{len(graph.inputs)} Inputs and {len(graph.outputs)} Outputs"
        raise GraphError(f"train: the network has {found}, allowed one of each")
    if not any(isinstance(node, SYNAPSE) for node in graph.nodes.values()):
        raise GraphError("train: the network has no node with weights, so nothing to train")
    width = int(np.prod(graph.shapes[graph.outputs[0]]))
    if width < data.classes:
        raise DataError(
            f"node {graph.outputs[0]!r} (Output): has {width} values, data {data.name!r} have {data.classes} "
            "classes; give a network with one output a class"
        )


def _network_digest(graph: SpikingGraph) -> str:
    """Hash of edges, profile and every parameter of the nodes."""
    digest = hashlib.sha256(repr((graph.edges, graph.profile)).encode())
    for name, node in graph.nodes.items():
        for key, value in sorted(vars(node).items()):
            exact = value.tobytes() if isinstance(value, np.ndarray) else b""
            digest.update(f"{name} {key} {value!r}".encode() + exact)
    return digest.hexdigest()[:16]


def _adapted(penalty: float, excess: float, config: TrainingConfig) -> float:
    """The spike penalty of the next epoch: it grows while the budget is exceeded, and eases after."""
    if excess > _BUDGET_AIM:
        return min(max(2.0 * penalty, config.spike_penalty_start), config.spike_penalty_most)
    return max(config.spike_penalty, penalty / 2.0 if penalty > config.spike_penalty_start / 8 else 0.0)
