"""A target of one's own: integrate-and-fire neurons behind dense layers, in numpy.

Installed as an entry point of the group `msenas_hw.targets`, it would be a `--target` of every command;
`targets.conformance.TargetConformance` is the suite that then tests it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

import targets
from targets.checks import check_graph, check_input


@dataclass(frozen=True)
class Options:
    arithmetic: str = "float32"

    def __post_init__(self) -> None:
        if self.arithmetic != "float32":
            raise targets.ConfigError(f"numpy: arithmetic {self.arithmetic!r}, allowed float32")


class NumpyTarget:
    name, describes, arithmetics = "numpy", "a loop over steps in numpy", ("float32",)
    options: type[Any] = Options

    def check(self, graph: targets.SpikingGraph) -> list[targets.Refusal]:
        knows = (nir.Input, nir.Output, nir.Linear, nir.IF)
        odd = [name for name, node in graph.nodes.items() if not isinstance(node, knows)]
        return check_graph(graph) + [targets.Refusal(name, "is unknown here") for name in odd]

    def compile(self, graph: targets.SpikingGraph, options: Options) -> NumpyExecutable:
        return NumpyExecutable(graph)

    def unavailable(self) -> str | None:
        return None


class NumpyExecutable:
    def __init__(self, graph: targets.SpikingGraph) -> None:
        self.graph = graph

    def run(self, x: np.ndarray, record: Collection[str] = (), states: bool = False) -> targets.Run:
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
        return targets.Run(outputs, counts, spikes, "numpy", time.perf_counter() - started, *x.shape[:2])


def network(rng: np.random.Generator) -> targets.SpikingGraph:
    one = np.ones(32)
    # Multiples of 2^-8: every order of summation gives the same number.
    weights = [np.round(rng.normal(0, 0.3, shape) * 256) / 256 for shape in ((32, 64), (32, 32))]
    nodes = {
        "input": nir.Input({"input": np.array([64])}),
        "first": nir.Linear(weights[0]),
        "hidden": nir.IF(r=1e3 * one, v_threshold=one),
        "second": nir.Linear(weights[1]),
        "readout": nir.IF(r=1e3 * one, v_threshold=one),
        "output": nir.Output({"output": np.array([32])}),
    }
    return targets.SpikingGraph.build(nodes, list(itertools.pairwise(nodes)), {"dt": 1e-3})


def main() -> None:
    rng = np.random.default_rng(0)
    graph = network(rng)
    x = (rng.random((20, 8, 64)) < 0.2).astype(np.float32)
    mine = NumpyTarget().compile(graph, Options()).run(x, record=graph.populations)
    reference = targets.compile(graph, "reference").run(x, record=graph.populations)
    for name in graph.populations:
        differing = int((mine.spikes[name] != reference.spikes[name]).sum())
        print(
            f"{name}: {int(mine.spike_counts[name].sum())} spikes, {differing} differ from {reference.ran_on}"
        )
        assert differing == 0


if __name__ == "__main__":
    main()
