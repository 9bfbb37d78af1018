"""A network of the search space for `bench_onnx.py`, and the same network as a plain loop in torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import torch
from executor_networks import EVENT_RATE, INPUT_SHAPE
from torch import Tensor, nn
from torch.nn import functional

from msenas_hw.fitness import Balanced, balance
from msenas_hw.space import SpaceConfig, Task, decode, sample
from targets.graph.dynamics import dynamics
from targets.graph.graph import SpikingGraph
from targets.graph.order import topological

STEPS = 10
SPACE = SpaceConfig(cells=(3, 4), widths=(16, 32), max_halvings=2)
SEED = 3


def searched() -> SpikingGraph:
    """The first drawn network that spikes and holds a cycle: motifs, skips, feedback, three neuron models."""
    task = Task(INPUT_SHAPE, classes=10, steps=STEPS)
    for attempt in range(100):
        rng = np.random.default_rng([SEED, attempt])
        x = (rng.random((STEPS, 4, *INPUT_SHAPE)) < EVENT_RATE).astype(np.float32)
        found = balance(decode(sample(rng, SPACE, task), task), x)
        if isinstance(found, Balanced) and found.graph.cyclic:
            return found.graph
    raise AssertionError("no drawn network holds a cycle")


class Neurons(nn.Module):
    """IF, LIF and CubaLIF by `targets.graph.dynamics`, as anyone would write them."""

    def __init__(self, graph: SpikingGraph, name: str) -> None:
        super().__init__()
        found = dynamics(graph, name)
        for key in ("gain", "decay", "decay_synapse", "leak", "threshold", "reset"):
            value = getattr(found, key)
            same = value is not None and (value == value.flat[0]).all()
            setattr(self, key, float(value.flat[0]) if same else _tensor(value))

    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        i, v = state
        driven = self.gain * current
        if self.decay_synapse is not None:
            driven = i = driven if i is None else self.decay_synapse * i + driven
        kept = v if v is None or self.decay is None else self.decay * v
        v = driven if kept is None else kept + driven
        if self.leak is not None:
            v = v + self.leak
        fired = v > self.threshold
        return fired.to(v.dtype), (i, torch.where(fired, self.reset, v))


class Loop(nn.Module):
    """The graph in a loop over steps, every node once a step."""

    def __init__(self, graph: SpikingGraph) -> None:
        super().__init__()
        self.graph = graph
        self.populations = graph.populations
        waits = {n: graph.delay_steps(n) for n, node in graph.nodes.items() if isinstance(node, nir.Delay)}
        order = topological(graph.nodes, [(a, b) for a, b in graph.edges if a not in waits])
        assert order is not None
        self.order, self.waits = order, waits
        self.calls: dict[str, Callable[[Tensor], Tensor]] = {}
        self.neurons = {name: Neurons(graph, name) for name in graph.populations}
        for name, node in graph.nodes.items():
            if name not in self.neurons and name not in waits:
                self.calls[name] = _call(node)

    def forward(self, x: Tensor, record: dict[str, list[Tensor]] | None = None) -> Tensor:
        states: dict[str, Any] = dict.fromkeys(self.populations, (None, None))
        lines = {name: deque([None] * steps, steps) for name, steps in self.waits.items()}
        out = []
        for now in x:
            values: dict[str, Any] = {name: line[0] for name, line in lines.items()}
            for name in self.order:
                total = self._total(name, values, now)
                if name in lines:
                    lines[name].append(total)
                elif name in states:
                    values[name], states[name] = self.neurons[name](total, states[name])
                    if record is not None:
                        record.setdefault(name, []).append(values[name])
                else:
                    values[name] = None if total is None else self.calls[name](total)
            out.append(values[self.graph.outputs[0]])
        return torch.stack(out)

    def _total(self, name: str, values: dict[str, Any], now: Tensor) -> Any:
        """The sum of what arrives; nothing arrives from a delay in its first steps, and no bias of it."""
        if name in self.graph.inputs:
            return now
        total = None
        for source in self.graph.predecessors[name]:
            value = values[source]
            if value is None and not isinstance(self.graph.nodes[source], nir.Delay):
                value = self._bias(source)
            if value is not None:
                total = value if total is None else total + value
        return total

    def _bias(self, name: str) -> Tensor | None:
        """What a synapse gives for silence."""
        node = self.graph.nodes[name]
        if not hasattr(node, "bias") or not np.any(node.bias):
            return None
        axes = (-1, *[1] * (len(self.graph.shapes[name]) - 1))
        return torch.from_numpy(np.asarray(node.bias, np.float32).reshape(axes))


def _tensor(value: Any) -> Tensor | None:
    return None if value is None else torch.from_numpy(np.asarray(value, np.float32))


def _call(node: nir.NIRNode) -> Callable[[Tensor], Tensor]:
    """A stateless node in torch."""
    if isinstance(node, nir.Conv2d):
        weight, bias = _tensor(node.weight), _tensor(node.bias)
        stride, pad = tuple(map(int, node.stride)), tuple(map(int, node.padding))
        return lambda x: functional.conv2d(x, weight, bias, stride, pad, 1, node.groups)
    if isinstance(node, nir.Affine | nir.Linear):
        weight, bias = _tensor(node.weight), _tensor(getattr(node, "bias", None))
        return lambda x: functional.linear(x, weight, bias)
    if isinstance(node, nir.Flatten):
        return lambda x: x.flatten(1)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        kernel, stride = tuple(map(int, node.kernel_size)), tuple(map(int, node.stride))
        one = 1 if isinstance(node, nir.SumPool2d) else None
        return lambda x: functional.avg_pool2d(x, kernel, stride, divisor_override=one)
    if isinstance(node, nir.Scale):
        return lambda x: x * _tensor(node.scale)
    return lambda x: x
