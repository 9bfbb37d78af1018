"""Small networks that other frameworks are given to read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest

import targets
from targets import SpikingGraph
from targets.graph.cycles import delay_cycles
from targets.graph.implicit import RULES, without_delays

DT, BATCH = 1e-4, 2
# Steps with and without neurons.
LONG, SHORT = 24, 3
Edges = list[tuple[str, str]]


def full(shape: int | tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def neurons(kind: str, shape: int | tuple[int, ...]) -> nir.NIRNode:
    """Neurons whose parameters every framework here can hold, where it knows the kind."""
    tau, zero, one = full(shape, 1e-3), full(shape, 0), full(shape, 1)
    current = {"tau_syn": full(shape, 3e-4), "tau_mem": full(shape, 8e-4), "w_in": full(shape, 3)}
    return {
        "I": lambda: nir.I(full(shape, 1e4)),
        "IF": lambda: nir.IF(full(shape, 1e4), one * 0.9, zero),
        "LI": lambda: nir.LI(tau, one, zero),
        "LIF": lambda: nir.LIF(tau, one, zero, one * 0.25, zero),
        "CubaLI": lambda: nir.CubaLI(**current, r=full(shape, 8), v_leak=zero),
        "CubaLIF": lambda: nir.CubaLIF(
            **current, r=full(shape, 8), v_leak=zero, v_threshold=one * 0.9, v_reset=zero
        ),
    }[kind]()


class Networks:
    """Chains and small graphs with weights from one seed."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def weight(self, *shape: int, scale: float = 2.0) -> np.ndarray:
        fan = int(np.prod(shape[1:]))
        return (scale / np.sqrt(fan) * self.rng.normal(0.3, 1, shape)).astype("f4")

    def linear(self, outputs: int, inputs: int, scale: float = 2.0) -> nir.Linear:
        return nir.Linear(self.weight(outputs, inputs, scale=scale))

    def affine(self, outputs: int, inputs: int, scale: float = 2.0) -> nir.Affine:
        return nir.Affine(self.weight(outputs, inputs, scale=scale), self.weight(outputs))

    def conv(
        self, stride: object = 1, padding: object = 0, dilation: object = 1, groups: int = 1
    ) -> nir.Conv2d:
        weight = self.weight(4, 2 // groups, 3, 3)
        return nir.Conv2d(None, weight, stride, padding, dilation, groups, self.weight(4))

    def chain(self, shape: tuple[int, ...], *nodes: nir.NIRNode) -> SpikingGraph:
        named = {"in": nir.Input(np.array(shape))}
        named.update({f"n{i}": node for i, node in enumerate(nodes)})
        named["out"] = nir.Output(np.array([1]))
        return SpikingGraph.build(named, list(pairwise(named)), {"dt": DT})

    def graph(self, nodes: dict[str, nir.NIRNode], edges: Edges) -> SpikingGraph:
        ports = {"in": nir.Input(np.array([6])), "out": nir.Output(np.array([1]))}
        return SpikingGraph.build({**ports, **nodes}, edges, {"dt": DT})

    def kinds(self, first: type[nir.NIRNode] = nir.Linear) -> dict[str, SpikingGraph]:
        """One node each behind a `first`, by its kind."""
        line, image = (2, 9), (2, 6, 6)
        pool = [np.array([2, 2]), np.array([2, 2]), np.array([0, 0])]
        line_weight = self.weight(3, 2, 3)
        nodes: dict[str, tuple[tuple[int, ...], nir.NIRNode]] = {
            "Affine": ((6,), self.affine(4, 6)),
            "Linear": ((6,), self.linear(4, 6)),
            "Conv1d": (line, nir.Conv1d(None, line_weight, 2, 1, 1, 1, self.weight(3))),
            "Conv2d": (image, self.conv((2, 1), (1, 0), (1, 2))),
            "SumPool2d": (image, nir.SumPool2d(*pool)),
            "AvgPool2d": (image, nir.AvgPool2d(*pool)),
            "Flatten": (image, nir.Flatten({"input": np.array(image)}, 0, -1)),
            "Scale": ((6,), nir.Scale(self.weight(6))),
            "Threshold": ((6,), nir.Threshold(full(6, 0.5))),
            "Delay": ((6,), nir.Delay(full(6, 2e-4))),
        }
        nodes |= {kind: ((6,), neurons(kind, 6)) for kind in ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")}
        graphs = {}
        for name, (shape, node) in nodes.items():
            weight = self.weight(shape[-1], shape[-1])
            head = nir.Linear(weight) if first is nir.Linear else nir.Affine(weight, full(shape[-1], 0))
            if len(shape) > 1:  # merges nothing
                head = nir.Flatten({"input": np.array(shape)}, len(shape) - 1, len(shape) - 1)
            graphs[name] = self.chain(shape, head, node)
        return graphs

    def layers(self) -> dict[str, SpikingGraph]:
        """Feed-forward networks, and fields in forms that readers stumble over."""
        image, pool = (2, 6, 6), [np.array([2, 2]), np.array([2, 2]), np.array([0, 0])]
        flatten = nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1)
        keeps = nir.Flatten({"input": np.array(image)}, 2, 2)  # merges nothing
        graphs = {
            "dense_rows": self.chain(
                (2, 6), nir.Flatten({"input": np.array([2, 6])}, 1, 1), self.linear(4, 6)
            ),
            "conv_grouped": self.chain(image, self.conv(groups=2)),
            "conv_same": self.chain(image, self.conv(padding="same")),
            "sum_pool_one_number": self.chain(image, nir.SumPool2d(2, 2, 0)),
            "sum_pool_padded": self.chain(image, nir.SumPool2d(*pool[:2], np.array([1, 1]))),
            "avg_pool_one_number": self.chain(image, keeps, nir.AvgPool2d(2, 2, 0)),
            "flatten_two_of_three": self.chain(image, nir.Flatten({"input": np.array(image)}, 1, 2)),
            "whole_numbers": self.chain((6,), nir.Affine(np.eye(6, dtype="i8"), np.ones(6, "i4"))),
            "conv_oblong": self.chain(
                image, nir.Conv2d(None, self.weight(3, 2, 1, 3), 1, 0, 1, 1, full(3, 0.5))
            ),
            "lif_r": self.chain((6,), nir.LIF(*(full(6, v) for v in (1e-3, 2, 0, 0.25, 0)))),
            "lif_reset": self.chain((6,), nir.LIF(*(full(6, v) for v in (1e-3, 1, 0, 0.25, 0.1)))),
            "lif_leak": self.chain((6,), nir.LIF(*(full(6, v) for v in (1e-3, 1, 0.1, 0.25, 0)))),
            "lif_uneven": self.chain(
                (6,), nir.LIF(*(full(6, v) for v in (1e-3, 1, 0)), self.rng.uniform(0.1, 0.4, 6), full(6, 0))
            ),
            "cuba_r": self.chain((6,), nir.CubaLIF(*(full(6, v) for v in (3e-4, 8e-4, 4, 0, 0.9, 0, 3)))),
            "cuba_leak": self.chain(
                (6,), nir.CubaLIF(*(full(6, v) for v in (3e-4, 8e-4, 8, 0.1, 0.9, 0, 3)))
            ),
            "if_r": self.chain((6,), nir.IF(*(full(6, v) for v in (4e3, 0.9, 0)))),
            "float64": self.chain((6,), nir.Affine(np.eye(6) / 2, np.ones(6) / 4)),
        }
        for kind in ("IF", "LIF", "CubaLIF"):
            first, second = neurons(kind, 8), neurons(kind, 4)
            graphs[f"dense_{kind}"] = self.chain((6,), self.affine(8, 6), first, self.linear(4, 8), second)
        for kind, pooling in (("IF", nir.SumPool2d), ("LIF", nir.AvgPool2d)):
            nodes = (self.conv(), neurons(kind, (4, 4, 4)), pooling(*pool), flatten, self.affine(5, 16))
            graphs[f"conv_{kind}"] = self.chain(image, *nodes, neurons(kind, 5))
        graphs["readout"] = self.chain((6,), self.linear(8, 6, 6), neurons("LIF", 8), neurons("LI", 8))
        skip = {
            "a": self.linear(5, 6, 9),
            "n": neurons("LIF", 5),
            "w": self.linear(5, 5),
            "m": neurons("LIF", 5),
        }
        edges = [("in", "a"), ("a", "n"), ("n", "m"), ("n", "w"), ("w", "m"), ("m", "out")]
        graphs["skip"] = self.graph(skip, edges)
        graphs["skip_later"] = self.graph(skip, [*edges[:2], edges[3], edges[4], edges[2], edges[5]])
        return graphs

    def meshed(self, seed: int) -> SpikingGraph:
        """Three populations, connected at random, one step on each edge that leads back."""
        rng = np.random.default_rng(seed)
        names = iter(rng.permutation(list("abcdefghjk")).tolist())
        first, *populations = (next(names) for _ in range(4))
        nodes: dict[str, nir.NIRNode] = {"in": nir.Input(np.array([6])), first: self.linear(5, 6, 9)}
        nodes |= {name: neurons("LIF", 5) for name in populations}
        edges: Edges = [("in", first), (first, populations[0])]
        pairs = [(0, 1), (1, 2), *((int(a), int(b)) for a, b in rng.integers(0, 3, (3, 2)))]
        for a, b in dict.fromkeys(pairs):
            name = next(names)
            nodes[name] = self.linear(5, 5, 3)
            edges += [(populations[a], name), (name, populations[b])]
        nodes["out"] = nir.Output(np.array([1]))
        edges.append((populations[2], "out"))
        nodes, edges, _ = delay_cycles(nodes, edges, DT)
        return SpikingGraph.build(nodes, edges, {"dt": DT})

    def cycles(self) -> dict[str, SpikingGraph]:
        """Recurrent networks with one Delay of one step."""
        delay = nir.Delay(full(5, DT))
        one = {"a": self.linear(5, 6, 9), "n": neurons("LIF", 5), "r": self.linear(5, 5), "d": delay}
        head: Edges = [("in", "a"), ("a", "n")]
        after = [*head, ("n", "r"), ("r", "d"), ("d", "n"), ("n", "out")]
        biased = {**one, "r": self.affine(5, 5)}
        two = {**one, "r": self.linear(7, 5), "m": neurons("LIF", 7), "s": self.affine(5, 7)}
        scaled = {**one, "s": nir.Scale(full(5, 0.75))}
        return {
            **{f"meshed_{seed}": self.meshed(seed) for seed in range(8)},
            "own": self.graph(
                {k: one[k] for k in ("a", "n", "d")}, [*head, ("n", "d"), ("d", "n"), ("n", "out")]
            ),
            "after": self.graph(one, after),
            "before": self.graph(one, [*head, ("n", "out"), ("n", "d"), ("d", "r"), ("r", "n")]),
            "biased": self.graph(biased, after),
            "scaled": self.graph(
                scaled, [*head, ("n", "r"), ("r", "s"), ("s", "d"), ("d", "n"), ("n", "out")]
            ),
            "through": self.graph(
                two, [*head, ("n", "out"), ("n", "r"), ("r", "m"), ("m", "s"), ("s", "d"), ("d", "n")]
            ),
            "currents": self.graph({**biased, "n": neurons("CubaLIF", 5)}, after),
        }


def write(folder: Path, graphs: dict[str, SpikingGraph]) -> None:
    """Each graph as a file, with its input."""
    for name, graph in graphs.items():
        targets.save(graph, folder / f"{name}.nir")
        np.save(folder / f"{name}.npy", spikes(graph))


def spikes(graph: SpikingGraph) -> np.ndarray:
    """Input spikes [T, B, *shape]."""
    shape, steps = graph.shapes["in"], LONG if graph.populations else SHORT
    return (np.random.default_rng(9).random((steps, BATCH, *shape)) < 0.4).astype(np.float32)


@cache
def feed_forward(first: type[nir.NIRNode]) -> dict[str, SpikingGraph]:
    """All networks without a cycle."""
    return Networks().kinds(first) | Networks().layers()


def given_to(framework: str) -> dict[str, SpikingGraph]:
    """All networks for one framework, the cycles without their Delay nodes where it has a rule."""
    # Sinabs leaves Linear out.
    found = dict(feed_forward(nir.Affine if framework == "sinabs" else nir.Linear))
    if framework == "norse":
        # It leaves AvgPool2d out, and which of the two halves it then runs depends on the order of a set.
        del found["conv_LIF"]
    for name, graph in Networks().cycles().items() if framework in RULES else ():
        with suppress(targets.UnsupportedNodeError):
            found[f"cycle_{name}"] = without_delays(graph, framework)
    return found


@cache
def own_output(graph: SpikingGraph) -> np.ndarray:
    """What the reference computes, [T, B, *output]."""
    (out,) = targets.compile(graph, "reference").run(spikes(graph)).outputs.values()
    return out


@pytest.fixture(scope="session")
def own() -> Callable[[SpikingGraph], np.ndarray]:
    """`own_output`."""
    return own_output


@pytest.fixture(scope="session")
def networks() -> Callable[[str], dict[str, SpikingGraph]]:
    """`given_to`."""
    return given_to


@pytest.fixture(scope="session")
def cycles() -> dict[str, SpikingGraph]:
    """Recurrent networks with one Delay of one step."""
    return Networks().cycles()


@pytest.fixture(scope="session")
def written() -> Callable[..., None]:
    """`write`."""
    return write
