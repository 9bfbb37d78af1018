"""Random graphs over every node kind."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np
import pytest

from targets import SpikingGraph

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
ANY = ("Affine", "Linear", "Scale", "Threshold", "Delay", *NEURONS)
IMAGE = ("Conv2d", "SumPool2d", "AvgPool2d", "Flatten")
LINE = ("Conv1d", "Flatten")


def elementwise(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> nir.NIRNode:
    def draw(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, shape).astype(rng.choice(["f4", "f8"]))

    tau = {"tau_syn": draw(2e-3, 9e-3), "tau_mem": draw(2e-3, 9e-3), "w_in": draw(0.5, 2)}
    leak = {"r": draw(0.5, 2), "v_leak": draw(-0.1, 0.1)}
    fire = {"v_threshold": draw(0.5, 2), "v_reset": draw(-0.1, 0.1)}
    return {
        "Scale": lambda: nir.Scale(draw(-1, 1)),
        "Threshold": lambda: nir.Threshold(draw(-0.5, 0.5)),
        "Delay": lambda: nir.Delay(np.full(shape, 1e-3 * rng.integers(0, 4))),
        "I": lambda: nir.I(draw(0.5, 2)),
        "IF": lambda: nir.IF(draw(100, 900), **fire),
        "LI": lambda: nir.LI(tau=draw(2e-3, 9e-3), **leak),
        "LIF": lambda: nir.LIF(tau=draw(2e-3, 9e-3), **leak, **fire),
        "CubaLI": lambda: nir.CubaLI(**tau, **leak),
        "CubaLIF": lambda: nir.CubaLIF(**tau, **leak, **fire),
    }[kind]()


def convolution(rng: np.random.Generator, shape: tuple[int, ...]) -> nir.NIRNode:
    axes, channels = len(shape) - 1, shape[0]
    groups = int(rng.choice([g for g in (1, 2, channels) if channels % g == 0]))
    kernel = tuple(int(k) for k in rng.choice([1, 3], axes))
    weight = rng.normal(size=(2 * groups, channels // groups, *kernel)).astype("f4")
    bias = rng.normal(size=2 * groups).astype("f4")
    padding = str(rng.choice(["same", "valid"])) if rng.random() < 0.3 else None
    stride, dilation = 1 if padding else int(rng.integers(1, 3)), int(rng.integers(1, 3))
    if padding is None or (padding == "valid" and min(shape[1:]) < 5):
        padding = 2
    cls = nir.Conv1d if axes == 1 else nir.Conv2d
    return cls(None, weight, stride, padding, dilation, groups, bias)


def stateless(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> nir.NIRNode:
    if kind in ("Affine", "Linear"):
        weight = rng.normal(size=(int(rng.integers(1, 5)), shape[-1])).astype("f4")
        return nir.Affine(weight, rng.normal(size=len(weight))) if kind == "Affine" else nir.Linear(weight)
    if kind in ("Conv1d", "Conv2d"):
        return convolution(rng, shape)
    if kind == "Flatten":
        start = int(rng.integers(0, len(shape)))
        return nir.Flatten({"input": np.array(shape)}, start, int(rng.integers(start, len(shape))))
    pool = nir.SumPool2d if kind == "SumPool2d" else nir.AvgPool2d
    return pool(np.array([2, 3]), np.array([1, 2]), np.array([1, 1]))


def grow(rng: np.random.Generator, length: int) -> SpikingGraph:
    """A chain of random nodes with a skip edge of equal shape and, after a Delay, an edge back."""
    shape = tuple(int(n) for n in [(4,), (2, 7), (2, 5, 6)][rng.integers(3)])
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input({"input": np.array(shape)})}
    edges: list[tuple[str, str]] = []
    at, shapes = "in", {"in": shape}
    for i in range(length):
        kinds = (*ANY, *(IMAGE if len(shape) == 3 else LINE if len(shape) == 2 else ()))
        kind = str(rng.choice(kinds))
        node = (elementwise if kind in ANY[2:] else stateless)(rng, kind, shape)
        name = f"{kind.lower()}.{i}" if rng.random() < 0.5 else f"{i} {kind} \N{GREEK SMALL LETTER TAU}"
        nodes[name] = node
        edges.append((at, name))
        # Two edges into one node: an earlier value of the same shape is added.
        twin = [n for n, s in shapes.items() if s == shape and n != at]
        if twin and rng.random() < 0.4:
            edges.append((str(rng.choice(twin)), name))
        ends = {**nodes, "out": nir.Output({"output": np.array([1])})}
        shape = SpikingGraph.build(ends, [*edges, (name, "out")]).shapes[name]
        at, shapes[name] = name, shape
    nodes["out"] = nir.Output({"output": np.array(shape)})
    edges.append((at, "out"))
    _loop(rng, nodes, edges, shapes)
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3}, ["a sentence"] if rng.random() < 0.5 else [])


def _loop(
    rng: np.random.Generator,
    nodes: dict[str, nir.NIRNode],
    edges: list[tuple[str, str]],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    spiking = [n for n, node in nodes.items() if isinstance(node, nir.IF | nir.LIF | nir.CubaLIF)]
    if spiking and rng.random() < 0.5:
        name = str(rng.choice(spiking))
        nodes["loop"] = nir.Delay(np.full(shapes[name], 2e-3))
        edges += [(name, "loop"), ("loop", name)]


@pytest.fixture(scope="session")
def random_graph() -> Callable[[int], SpikingGraph]:
    """A random valid graph for a seed."""

    def draw(seed: int) -> SpikingGraph:
        rng = np.random.default_rng(seed)
        return grow(rng, int(rng.integers(1, 9)))

    return draw
