"""The reference target: torch on the CPU, in float32 or float64."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from targets.checks import check_graph, check_input
from targets.errors import ConfigError, UnsupportedNodeError
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING
from targets.reference.network import ReferenceNetwork
from targets.reference.scan import State
from targets.run import Run
from targets.target import Refusal

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Samples run at once: a working set of a small network then stays in the cache.
_BLOCK = 32


@dataclass(frozen=True)
class ReferenceOptions:
    """`arithmetic`: "float32" or "float64"."""

    arithmetic: str = "float32"


class ReferenceTarget:
    """The torch executor: the one definition of every node's dynamics."""

    name = "reference"
    describes = "torch executor, float32 or float64"
    arithmetics = ("float32", "float64")
    options: type[Any] = ReferenceOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot run."""
        found = check_graph(graph, any_profile=True)
        return found or [refusal for name in graph.populations for refusal in _rule(graph, name)]

    def compile(self, graph: SpikingGraph, options: ReferenceOptions) -> ReferenceExecutable:
        """The graph as a torch module."""
        if options.arithmetic not in _DTYPES:
            raise ConfigError(f"reference: arithmetic {options.arithmetic!r}, allowed {', '.join(_DTYPES)}")
        return ReferenceExecutable(graph, options)

    def unavailable(self) -> str | None:
        """Always available."""
        return None


def _rule(graph: SpikingGraph, name: str) -> list[Refusal]:
    try:
        dynamics(graph, name)
    except UnsupportedNodeError as error:
        return [Refusal(name, str(error))]
    return []


class ReferenceExecutable:
    """A network in torch."""

    def __init__(self, graph: SpikingGraph, options: ReferenceOptions) -> None:
        self.graph = graph
        self.options = options
        self.network = ReferenceNetwork(graph, _DTYPES[options.arithmetic])

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]."""
        started = time.perf_counter()
        x = check_input(self.graph, x, record)
        kept = self.graph.populations if states else ()
        blocks = [self._block(x[:, at : at + _BLOCK], record, kept) for at in range(0, x.shape[1], _BLOCK)]
        counts = {n: np.sum([block.counts[n] for block in blocks], axis=0) for n in blocks[0].counts}
        return Run(
            outputs=_joined([block.outputs for block in blocks]),
            spike_counts=counts,
            spikes=_joined([block.spikes for block in blocks]),
            ran_on=f"reference (torch {torch.__version__}, {self.options.arithmetic})",
            seconds=time.perf_counter() - started,
            steps=x.shape[0],
            samples=x.shape[1],
            states={name: _joined([block.states[name] for block in blocks]) for name in blocks[0].states},
        )

    @torch.no_grad()
    def _block(self, x: NDArray[np.generic], record: Collection[str], states: Collection[str]) -> _Block:
        fed = {self.graph.inputs[0]: torch.from_numpy(x)}
        values = self.network(fed, states)
        counted = [n for n in self.graph.populations if isinstance(self.graph.nodes[n], SPIKING)]
        counts = {n: _events(values.outputs[n]) for n in (*self.graph.inputs, *counted)}
        if self.graph.profile.spikes_per_step == "many":
            counts.update({n: values.outputs[n].to(torch.int64).sum(dim=(0, 1)).numpy() for n in counted})
        return _Block(
            {n: values.outputs[n].numpy() for n in self.graph.outputs},
            counts,
            {n: values.outputs[n].numpy() for n in record},
            {n: _arrays(state) for n, state in values.states.items()},
        )


@dataclass(frozen=True)
class _Block:
    outputs: Mapping[str, NDArray[Any]]
    counts: Mapping[str, NDArray[np.int64]]
    spikes: Mapping[str, NDArray[Any]]
    states: Mapping[str, Mapping[str, NDArray[Any]]]


def _events(values: torch.Tensor) -> NDArray[np.int64]:
    return np.asarray((values != 0).sum(dim=(0, 1)).numpy(), dtype=np.int64)


def _arrays(state: State) -> dict[str, NDArray[Any]]:
    return {key: value.numpy() for key, value in (("v", state.v), ("u", state.u)) if value is not None}


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
