"""All that a training changes as it goes, and how a checkpoint holds it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from msenas_hw.training.checkpoint import Saved
from msenas_hw.training.config import TrainingConfig
from msenas_hw.training.normaliser import CurrentNormaliser
from msenas_hw.training.optimiser import Schedule, optimiser, schedule
from msenas_hw.training.rules import LayerRules, RuleHooks
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SYNAPSE
from targets.reference.network import ReferenceNetwork

# Parameters of a synapse node that training changes.
_TRAINED = ("weight", "bias")


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass.

    Attributes:
        number: from 0.
        loss: mean over the batches.
        validation_accuracy: fraction.
        spikes: a validation sample's, input included.
        energy_share: use of the tightest limit that spikes decide, as a share of it; None without a budget.
        penalty: weight of the mean spike rate in the loss.
        seconds: wall time, validation included; says nothing about the result.
    """

    number: int
    loss: float
    validation_accuracy: float
    spikes: float
    energy_share: float | None
    penalty: float
    seconds: float = field(compare=False)


@dataclass(frozen=True)
class Best:
    """The epoch kept so far.

    Attributes:
        since: the first epoch as good as this one; of equal epochs the last is kept.
        graph: its folded network.
    """

    within_budget: bool
    validation_accuracy: float
    since: int
    graph: SpikingGraph

    @property
    def rank(self) -> tuple[bool, float]:
        """What makes an epoch better than another."""
        return self.within_budget, self.validation_accuracy


@dataclass(eq=False)
class TrainingState:
    """A training between two epochs.

    Attributes:
        network: the weights, its normalisers among its modules.
        rng: of the order of the samples and their augmentation; torch's own generator counts too.
        penalty: weight of the mean spike rate in the loss of the next epoch.
    """

    network: ReferenceNetwork
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    rng: np.random.Generator
    penalty: float
    history: list[Epoch] = field(default_factory=list)
    best: Best | None = None

    @classmethod
    def begin(
        cls, graph: SpikingGraph, config: TrainingConfig, seed: int, batches: int, classes: int
    ) -> TrainingState:
        """The state before the first epoch of `batches` steps; seeds torch's generator."""
        torch.manual_seed(seed)
        network = _network(graph, config, seed, classes)
        mover = optimiser(network, config)
        rng = np.random.default_rng([seed, 1])
        return cls(network, mover, schedule(mover, config, batches), rng, config.spike_penalty)

    def save(self) -> Saved:
        """The state as a checkpoint holds it."""
        assert self.best is not None
        moments = self.optimiser.state_dict()
        tensors: dict[str, Tensor] = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        for index, values in moments["state"].items():
            tensors.update({f"optimiser/{index}/{k}": v for k, v in values.items() if v is not None})
        tensors.update({f"best/{k}": v for k, v in _parameters(self.best.graph).items()})
        tensors["torch_rng"] = torch.get_rng_state()
        state = {
            "optimiser": moments["param_groups"],
            "schedule": self.schedule.state_dict(),
            "rng": self.rng.bit_generator.state,
            "penalty": self.penalty,
            "history": [asdict(epoch) for epoch in self.history],
            "best": [self.best.within_budget, self.best.validation_accuracy, self.best.since],
        }
        return Saved(tensors, state)

    def load(self, saved: Saved) -> None:
        """Take over a checkpoint of the same settings."""
        state, parts = saved.state, _grouped(saved.tensors)
        self.network.load_state_dict(parts["network"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts.get("optimiser", {}).items():
            index, key = name.split("/", 1)
            moments.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({"state": moments, "param_groups": state["optimiser"]})
        self.schedule.load_state_dict(dict(state["schedule"]))
        self.rng.bit_generator.state = state["rng"]
        self.penalty = state["penalty"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        kept = _with_parameters(self.network.graph, parts["best"])
        within_budget, accuracy, since = state["best"]
        self.best = Best(within_budget, accuracy, since, kept)
        torch.set_rng_state(saved.tensors["torch_rng"])


def _network(graph: SpikingGraph, config: TrainingConfig, seed: int, classes: int) -> ReferenceNetwork:
    ruled = bool(config.rules.root) or config.step_wise
    hooks = RuleHooks(graph, config.rules, seed, classes) if ruled else None
    # What takes no gradient gets no scale and shift by gradient either.
    gradual = [n for n in graph.populations if hooks is None or _by_gradient(hooks.rules.of(n))]
    names = [name for name in gradual if config.normalise and _can_normalise(graph, name)]
    normalisers = {name: CurrentNormaliser(graph.shapes[name]) for name in names}
    network = ReferenceNetwork(graph, transforms=normalisers, hooks=hooks, checkpoint=config.checkpoint)
    network.add_module("normalisers", nn.ModuleList(normalisers.values()))
    return network


def _by_gradient(rule: LayerRules) -> bool:
    return not rule.frozen and rule.delta == "none"


def _can_normalise(graph: SpikingGraph, population: str) -> bool:
    """Whether a normaliser of `population` can be folded into its synapses, and into nothing else's."""
    sources = _sources(graph, population)
    if not all(isinstance(graph.nodes[name], SYNAPSE) for name in sources):
        return False
    alone = all(_readers(graph, name) == {population} for name in sources)
    return alone and any(
        hasattr(graph.nodes[name], "bias") and graph.nodes[name].metadata.get("bias", True)
        for name in sources
    )


def _sources(graph: SpikingGraph, population: str) -> list[str]:
    """The nodes directly before `population`, looking through Delay nodes."""
    found: list[str] = []
    for name in graph.predecessors[population]:
        through = isinstance(graph.nodes[name], nir.Delay)
        found.extend(graph.predecessors[name] if through else [name])
    return found


def _readers(graph: SpikingGraph, name: str) -> set[str]:
    """The nodes directly after `name`, looking through Delay nodes."""
    found: set[str] = set()
    for source, target in graph.edges:
        if source == name:
            found |= _readers(graph, target) if isinstance(graph.nodes[target], nir.Delay) else {target}
    return found


def _parameters(graph: SpikingGraph) -> dict[str, Tensor]:
    return {
        f"{key}/{name}": torch.from_numpy(np.array(getattr(node, key)))
        for name, node in graph.nodes.items()
        if isinstance(node, SYNAPSE)
        for key in _TRAINED
        if hasattr(node, key)
    }


def _with_parameters(graph: SpikingGraph, found: Mapping[str, Tensor]) -> SpikingGraph:
    nodes = dict(graph.nodes)
    for name in {path.split("/", 1)[1] for path in found}:
        nodes[name] = copy.copy(nodes[name])
    for path, value in found.items():
        key, name = path.split("/", 1)
        setattr(nodes[name], key, value.numpy())
    return graph.replace(nodes=nodes)


def _grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Tensors by the first part of their names."""
    groups: dict[str, dict[str, Any]] = {}
    for path, value in tensors.items():
        head, _, rest = path.partition("/")
        groups.setdefault(head, {})[rest] = value
    return groups
