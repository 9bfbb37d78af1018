"""A third party's target: integrate-and-fire behind dense layers, in numpy."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from targets import ConfigError, Refusal, Run, SpikingGraph
from targets.checks import check_graph, check_input
from targets.conformance import TargetConformance


@dataclass(frozen=True)
class ToyOptions:
    arithmetic: str = "float32"

    def __post_init__(self) -> None:
        if self.arithmetic != "float32":
            raise ConfigError(f"toy: arithmetic {self.arithmetic!r}, allowed float32")


class ToyTarget:
    name, describes, arithmetics = "toy", "a loop over neurons in numpy", ("float32",)
    options: type[Any] = ToyOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        knows = (nir.Input, nir.Output, nir.Linear, nir.IF)
        odd = [n for n, node in graph.nodes.items() if not isinstance(node, knows)]
        return check_graph(graph) + [Refusal(name, "is unknown here") for name in odd]

    def compile(self, graph: SpikingGraph, options: ToyOptions) -> ToyExecutable:
        return ToyExecutable(graph)

    def unavailable(self) -> str | None:
        return None


class ToyExecutable:
    def __init__(self, graph: SpikingGraph) -> None:
        self.graph = graph

    def run(self, x: np.ndarray, record: Collection[str] = (), states: bool = False) -> Run:
        started, graph = time.perf_counter(), self.graph
        values = {graph.inputs[0]: check_input(graph, x, record).astype(np.float32)}
        for (name,) in graph.components[1:]:
            fed, node = sum(values[source] for source in graph.predecessors[name]), graph.nodes[name]
            values[name] = fed @ node.weight.T.astype("f4") if isinstance(node, nir.Linear) else fed
            if isinstance(node, nir.IF):
                gain, v, values[name] = np.float32(graph.profile.dt * node.r), 0 * fed[0], 0 * fed
                for t, now in enumerate(fed):
                    v = v + gain * now
                    values[name][t] = fired = v > node.v_threshold.astype("f4")
                    v = np.where(fired, node.v_reset.astype("f4"), v)
        counts = {n: (values[n] != 0).sum((0, 1)) for n in (*graph.inputs, *graph.populations)}
        outputs, spikes = ({n: values[n] for n in names} for names in (graph.outputs, record))
        return Run(outputs, counts, spikes, "numpy", time.perf_counter() - started, *x.shape[:2])


class TestToy(TargetConformance):
    target = ToyTarget()
    must_run = ("IF",)
