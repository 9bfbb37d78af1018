"""Small networks for the tests of learning rules."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import Tensor

from msenas_hw.training.rules import RuleHooks, Rules
from targets.graph.graph import SpikingGraph
from targets.reference.network import ReferenceNetwork


def leaky(shape: tuple[int, ...], decay: float = 0.8, model: str = "lif", threshold: float = 1.0) -> Any:
    """A population with gain 1 at dt = 1 ms; `li` does not fire."""
    one = np.ones(shape, np.float32)
    tau = 1e-3 / (1 - decay)
    if model == "if":
        return nir.IF(r=one * 1e3, v_threshold=one * threshold, v_reset=one * 0)
    leak = {"tau": one * tau, "r": one / np.float32(1 - decay), "v_leak": one * 0}
    if model == "li":
        return nir.LI(**leak)
    if model == "cubalif":
        return nir.CubaLIF(
            tau_syn=one * 2e-3, tau_mem=one * tau, r=one * 5, v_leak=one * 0, v_threshold=one * threshold,
            v_reset=one * 0, w_in=one * 2,
        )  # fmt: skip
    return nir.LIF(**leak, v_threshold=one * threshold, v_reset=one * 0)


def dense(sizes: tuple[int, ...], decay: float = 0.8, model: str = "lif", seed: int = 0) -> SpikingGraph:
    """input - w1 - h1 - w2 - h2 ... - out (LI) - output; soft reset."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([sizes[0]])})}
    for at, (n, m) in enumerate(pairwise(sizes), start=1):
        last = at == len(sizes) - 1
        weight = rng.uniform(-1, 1, (m, n)).astype(np.float32) * np.float32(2 / np.sqrt(n))
        nodes[f"w{at}"] = nir.Affine(weight, rng.uniform(0, 0.2, m).astype(np.float32))
        nodes["out" if last else f"h{at}"] = leaky((m,), decay, "li" if last else model)
    nodes["output"] = nir.Output({"output": np.array([sizes[-1]])})
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3, "reset": "subtract"})


def convolutional(seed: int = 0) -> SpikingGraph:
    """Conv2d with stride, groups, dilation and "same" padding, then a dense readout; soft reset."""
    rng = np.random.default_rng(seed)

    def conv(size: int, out: int, inputs: int, kernel: int, *rest: Any) -> nir.Conv2d:
        weight = rng.uniform(-1, 1, (out, inputs, kernel, kernel)).astype(np.float32) * np.float32(0.7)
        return nir.Conv2d((size, size), weight, *rest, rng.uniform(0, 0.2, out).astype(np.float32))

    nodes = {
        "input": nir.Input({"input": np.array([2, 8, 8])}),
        "c1": conv(8, 4, 2, 3, 2, 1, 1, 1),
        "l1": leaky((4, 4, 4)),
        "c2": conv(4, 4, 2, 3, 1, 2, 2, 2),
        "l2": leaky((4, 4, 4)),
        "c3": conv(4, 4, 4, 2, 1, "same", 1, 1),
        "l3": leaky((4, 4, 4)),
        "flatten": nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1),
        "dense": nir.Affine(rng.normal(size=(3, 64)).astype(np.float32) / 4, np.zeros(3, np.float32)),
        "out": leaky((3,), model="li"),
        "output": nir.Output({"output": np.array([3])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": 1e-3, "reset": "subtract"})


def recurrent(seed: int = 0, model: str = "lif", late: int = 0) -> SpikingGraph:
    """input - w1 - h1 (loop through a Delay before its synapse node) - w2 - out; soft reset.

    With `late`, a Delay of so many steps lies behind the loop's synapse node too, which has a bias then.
    """
    rng = np.random.default_rng(seed)
    draw = lambda m, n: nir.Linear(rng.uniform(-1, 1, (m, n)).astype(np.float32))  # noqa: E731
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "w1": draw(8, 6),
        "h1": leaky((8,), model=model),
        "later": nir.Delay(np.full(8, 1e-3)),
        "loop": draw(8, 8),
        "w2": draw(3, 8),
        "out": leaky((3,), model="li"),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [
        ("input", "w1"), ("w1", "h1"), ("h1", "later"), ("later", "loop"), ("loop", "h1"), ("h1", "w2"),
        ("w2", "out"), ("out", "output"),
    ]  # fmt: skip
    if late:
        nodes["loop"] = nir.Affine(nodes["loop"].weight, rng.uniform(0, 0.3, 8).astype(np.float32))
        nodes["due"] = nir.Delay(np.full(8, late * 1e-3))
        edges = [*(edge for edge in edges if edge != ("loop", "h1")), ("loop", "due"), ("due", "h1")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3, "reset": "subtract"})


GRAPHS: dict[str, Callable[..., SpikingGraph]] = {
    "dense": dense,
    "convolutional": convolutional,
    "recurrent": recurrent,
}


@pytest.fixture(scope="session")
def graphs() -> dict[str, Callable[..., SpikingGraph]]:
    return GRAPHS


@pytest.fixture(scope="session")
def sample() -> Callable[..., tuple[Tensor, Tensor]]:
    """Random spikes [T, B, *input] and labels for a graph."""

    def draw(graph: SpikingGraph, steps: int = 5, batch: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(seed)
        shape = graph.shapes[graph.inputs[0]]
        x = (rng.random((steps, batch, *shape)) < 0.5).astype(np.float64)
        return torch.from_numpy(x), torch.from_numpy(rng.integers(0, graph.shapes["output"][0], batch))

    return draw


@pytest.fixture(scope="session")
def gradients() -> Callable[..., dict[str, Tensor]]:
    """Gradients of every weight ("w1") and bias ("w1 bias") and of the input ("x") under rules."""

    def run(
        graph: SpikingGraph,
        rules: Rules | None,
        x: Tensor,
        y: Tensor,
        prepare: Callable[[RuleHooks, ReferenceNetwork], None] = lambda hooks, network: None,
        per_step: bool = False,
    ) -> dict[str, Tensor]:
        classes = graph.shapes["output"][0]
        hooks = None if rules is None else RuleHooks(graph, rules, seed=3, classes=classes)
        network = ReferenceNetwork(graph, dtype=torch.float64, hooks=hooks)
        if hooks is not None:
            prepare(hooks, network)
            hooks.begin(network, y)
        x = x.clone().requires_grad_()
        out = network({"input": x}).outputs["output"]
        if per_step:
            loss = torch.stack([torch.nn.functional.cross_entropy(o, y) for o in out]).mean()
        else:
            loss = torch.nn.functional.cross_entropy(out.mean(0), y)
        extra = None if hooks is None else hooks.extra_loss()
        (loss if extra is None else loss + extra).backward()
        if hooks is not None:
            hooks.finish(network)
        found = {"x": x.grad}
        found |= {name: weight.grad for name, weight in network.weights.items()}
        found |= {f"{name} bias": bias.grad for name, bias in network.biases.items()}
        return found

    return run
