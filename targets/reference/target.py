"""The reference target: torch on the CPU, in float32 or float64."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from targets.checks import check_graph, check_input
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.reference.blocks import samples_at_once
from targets.reference.kernels.build import kernels
from targets.reference.kernels.layout import layout
from targets.reference.kernels.memory import array
from targets.reference.network import ReferenceNetwork
from targets.reference.values import Asked, Carry, Values
from targets.run import Run
from targets.target import Refusal

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
Observe = Callable[[str, Tensor], None]
# The most steps run at once; memory does not grow with the steps of a run.
_STRETCH = 32


@dataclass(frozen=True)
class ReferenceOptions:
    """How a network runs.

    Attributes:
        arithmetic: "float32" or "float64".
        kernels: "auto" (C where a compiler is there, else torch; MSENAS_KERNELS overrules), "c" or "torch".
    """

    arithmetic: str = "float32"
    kernels: str = "auto"


class ReferenceTarget:
    """The torch executor: the one definition of every node's dynamics."""

    name = "reference"
    describes = "torch executor, float32 or float64"
    arithmetics = ("float32", "float64")
    options: type[Any] = ReferenceOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot run."""
        return check_graph(graph, any_profile=True)

    def compile(self, graph: SpikingGraph, options: ReferenceOptions) -> ReferenceExecutable:
        """The graph as a torch module.

        Raises:
            ConfigError: an unknown arithmetic or choice of kernels.
            TargetUnavailableError: C kernels asked for, without a compiler.
        """
        if options.arithmetic not in _DTYPES:
            raise ConfigError(f"reference: arithmetic {options.arithmetic!r}, allowed {', '.join(_DTYPES)}")
        kernels(options.kernels)
        return ReferenceExecutable(graph, options)

    def unavailable(self) -> str | None:
        """Always available."""
        return None


class ReferenceExecutable:
    """A network in torch."""

    def __init__(self, graph: SpikingGraph, options: ReferenceOptions) -> None:
        self.graph = graph
        self.options = options
        self.network = ReferenceNetwork(graph, _DTYPES[options.arithmetic], kernels=options.kernels)
        self.network.requires_grad_(False)

    def run(self, x: NDArray[np.generic], record: Collection[str] = (), states: bool = False) -> Run:
        """Run `x` [T, B, *input]."""
        x = check_input(self.graph, x, record, self.options.arithmetic == "float32")
        return self._run(_Kept(self.network, x, record, self.graph.populations if states else ()))

    def watch(self, x: NDArray[np.generic], record: Collection[str], observe: Observe | None = None) -> Run:
        """As `run`, in a fraction of the memory: one byte a spike, and membranes only in passing.

        Args:
            record: spikes of populations that send at most one a step come as uint8.
            observe: is shown each population and its membranes [T, samples, *shape], all steps of a few
                samples at a time, in order; it must copy what it keeps.
        """
        x = check_input(self.graph, x, record, self.options.arithmetic == "float32")
        return self._run(
            _Kept(self.network, x, record, self.graph.populations if observe else (), True, observe)
        )

    @torch.no_grad()
    def _run(self, kept: _Kept) -> Run:
        started = time.perf_counter()
        total, every = kept.x.shape[:2]
        steps = total if kept.small else min(total, _STRETCH)
        samples = samples_at_once(self.network, steps, every)
        for at in range(0, every, samples):
            carry = Carry() if steps < total else None
            for t in range(0, total, steps):
                kept.run(slice(t, t + steps), slice(at, at + samples), carry)
        said = kernels(self.options.kernels).said
        return Run(
            outputs={name: kept.outputs[name] for name in self.graph.outputs},
            spike_counts={name: count.numpy() for name, count in kept.asked.counts.items()},
            spikes={name: kept.outputs[name] for name in kept.record},
            ran_on=f"reference (torch {torch.__version__}, {self.options.arithmetic}, {said})",
            seconds=time.perf_counter() - started,
            steps=total,
            samples=every,
            states=kept.states,
        )


class _Kept:
    """What is asked of a run, filled block by block.

    With `small`, spikes are kept as uint8; with `observe`, states are shown to it and not kept.
    """

    def __init__(
        self,
        network: ReferenceNetwork,
        x: NDArray[np.generic],
        record: Collection[str],
        states: Collection[str],
        small: bool = False,
        observe: Observe | None = None,
    ) -> None:
        graph = network.graph
        self.network, self.x, self.record = network, x, record
        self.asked = Asked({*graph.outputs, *record}, states, network.zero_counts())
        self.small, self.observe = small, observe
        self._wide = np.dtype(str(network.dtype).removeprefix("torch."))
        self.outputs: dict[str, NDArray[Any]] = {}
        self.states: dict[str, dict[str, NDArray[Any]]] = {} if observe else {name: {} for name in states}

    def run(self, steps: slice, samples: slice, carry: Carry | None) -> None:
        (name,) = self.network.graph.inputs
        fed = torch.from_numpy(np.ascontiguousarray(self.x[steps, samples])).to(self.network.dtype)
        with self.network.lent({name: fed}, carry, self.asked) as values:
            self._take(values, steps, samples)

    def _take(self, values: Values, steps: slice, samples: slice) -> None:
        for node in self.asked.keep or ():
            self._store(self.outputs, node, values.outputs[node], steps, samples, self._dtype(node))
        for node, state in values.states.items():
            if self.observe is not None:
                self.observe(node, state.v)
                continue
            for key, value in (("v", state.v), ("u", state.u)):
                if value is not None:
                    self._store(self.states[node], key, value, steps, samples, self._wide)

    def _dtype(self, node: str) -> np.dtype[Any]:
        coefficients = self.network.coefficients.get(node)
        one_byte = self.small and coefficients is not None and coefficients.binary
        return np.dtype(np.uint8) if one_byte else self._wide

    def _store(
        self,
        into: dict[str, NDArray[Any]],
        key: str,
        value: Tensor,
        steps: slice,
        samples: slice,
        dtype: np.dtype[Any],
    ) -> None:
        if key not in into:
            lay, shape = layout(value, 2), (*value.shape[2:],)
            laid = (*shape[1:], *shape[:1]) if lay.last else shape
            room = array((*self.x.shape[:2], *laid), dtype)
            into[key] = np.moveaxis(room, -1, 2) if lay.last else room
        torch.from_numpy(into[key])[steps, samples] = value
