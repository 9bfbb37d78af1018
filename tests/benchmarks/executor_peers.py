"""The networks of `executor_networks` in other frameworks: the same weights, the same dynamics.

Every peer is a module that maps input [T, B, 2, 32, 32] to output spikes [T, B, 10] in the way its own
documentation recommends: a loop over steps for plain torch, snnTorch and Norse, the multi-step mode for
SpikingJelly (step by step inside the cycle of `fb`, which nothing can fold). What makes the dynamics equal:

    snnTorch      has no input gain: weights and biases are multiplied by dt / tau; reset "zero"
    SpikingJelly  the same, with decay_input=False; it fires at >=, so its threshold is the next float32 up
    Norse         LIFBox; it computes v + dt / tau * (I - v), which rounds differently
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import nir
import torch
from executor_networks import DT_S, NETWORKS, TAU_STEPS
from torch import Tensor, nn

from targets.graph.graph import SpikingGraph

GAIN = 1.0 / TAU_STEPS
Record = dict[str, list[Tensor]] | None


def synapses(graph: SpikingGraph, scale: float = 1.0) -> nn.ModuleDict:
    """The convolutions and dense layers of `graph`, weights and biases multiplied by `scale`."""
    return nn.ModuleDict(
        {name: _synapse(node, scale) for name, node in graph.nodes.items() if hasattr(node, "weight")}
    )


def _synapse(node: nir.Conv2d | nir.Affine, scale: float) -> nn.Module:
    out, into = node.weight.shape[:2]
    if isinstance(node, nir.Conv2d):
        made: nn.Module = nn.Conv2d(into, out, 3, int(node.stride[0]), 1)
    else:
        made = nn.Linear(into, out)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(node.weight) * scale)
        made.bias.copy_(torch.from_numpy(node.bias) * scale)
    return made


class Stepwise(nn.Module):
    """A loop over steps; `neuron()` makes modules that map (current, state) to (spikes, state).

    Args:
        start: the state before the first step, of a neuron module.
        scale: on weights and biases, and on the edge that skips a convolution.
    """

    def __init__(
        self,
        graph: SpikingGraph,
        neuron: Callable[[], nn.Module],
        start: Callable[[nn.Module], Any],
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.synapses = synapses(graph, scale)
        self.neurons = nn.ModuleDict({name: neuron() for name in graph.populations})
        self.start, self.unit = start, scale
        self.advance = self._feedback if "back" in self.synapses else self._feed_forward

    def forward(self, x: Tensor, record: Record = None) -> Tensor:
        states = {name: self.start(neuron) for name, neuron in self.neurons.items()}
        held: dict[str, Tensor] = {}
        out = []
        for now in x:
            spikes = self.advance(now, states, held)
            out.append(spikes[-1])
            if record is not None:
                for name, value in zip(self.neurons, spikes, strict=True):
                    record.setdefault(name, []).append(value)
        return torch.stack(out)

    def _fire(self, name: str, current: Tensor, states: dict[str, Any]) -> Tensor:
        spikes, states[name] = self.neurons[name](current, states[name])
        return spikes

    def _feed_forward(self, x: Tensor, states: dict[str, Any], held: dict[str, Tensor]) -> list[Tensor]:
        w = self.synapses
        s1 = self._fire("lif1", w["conv1"](x), states)
        s2 = self._fire("lif2", w["conv2"](s1), states)
        s3 = self._fire("lif3", w["conv3"](s2), states)
        return [s1, s2, s3, self._fire("lif4", w["dense"](s3.flatten(1)), states)]

    def _feedback(self, x: Tensor, states: dict[str, Any], held: dict[str, Tensor]) -> list[Tensor]:
        w = self.synapses
        s1 = self._fire("lif1", w["conv1"](x), states)
        into2 = w["conv2"](s1)
        s2 = self._fire("lif2", into2 + held["back"] if held else into2, states)
        s3 = self._fire("lif3", w["conv3"](s2) + (s2 if self.unit == 1 else s2 * self.unit), states)
        s4 = self._fire("lif4", w["conv4"](s3), states)
        into5 = w["dense"](s4.flatten(1))
        s5 = self._fire("lif5", into5 + held["loop"] if held else into5, states)
        held.update(back=w["back"](s3), loop=w["loop"](s5))
        return [s1, s2, s3, s4, s5]


class _Arctan(torch.autograd.Function):
    """Step function; gradient of an arctangent of slope 2, the surrogate of our executor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] / (1 + (math.pi * x) ** 2)


class EagerLIF(nn.Module):
    """v <- 0.75 v + 0.25 I; a spike where v > 1; reset to 0."""

    def forward(self, current: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        driven = GAIN * current
        v = driven if v is None else (1 - GAIN) * v + driven
        spikes = _Arctan.apply(v - 1.0)
        return spikes, torch.where(spikes.detach() > 0, 0.0, v)


def torch_eager(graph: SpikingGraph) -> nn.Module:
    """A plain loop over steps."""
    return Stepwise(graph, EagerLIF, lambda neuron: None)


def torch_compile(graph: SpikingGraph) -> nn.Module:
    """The plain loop through `torch.compile`."""
    module = torch_eager(graph)
    module.compile(dynamic=False)
    return module


def snntorch(graph: SpikingGraph) -> nn.Module:
    """`snntorch.Leaky` in a loop over steps."""
    import snntorch as snn

    neuron = partial(snn.Leaky, beta=1 - GAIN, threshold=1.0, reset_mechanism="zero")
    return Stepwise(graph, neuron, lambda leaky: leaky.reset_mem(), GAIN)


def norse(graph: SpikingGraph) -> nn.Module:
    """`norse.torch.LIFBoxCell` in a loop over steps."""
    import norse.torch

    parameters = norse.torch.LIFBoxParameters(tau_mem_inv=torch.tensor(1.0 / (TAU_STEPS * DT_S)))
    neuron = partial(norse.torch.LIFBoxCell, parameters, dt=DT_S)
    return Stepwise(graph, neuron, lambda cell: None)


def spikingjelly(graph: SpikingGraph) -> nn.Module:
    """`LIFNode` in multi-step mode."""
    from executor_spikingjelly import MultiStep

    return MultiStep(graph, synapses(graph, GAIN), TAU_STEPS, GAIN)


PEERS: Mapping[str, Callable[[SpikingGraph], nn.Module]] = {
    "torch-eager": torch_eager,
    "torch-compile": torch_compile,
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
}


def available(net: str, wanted: list[str]) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The peers that can be imported, and why the others cannot."""
    peers, absent = {}, {}
    for name in wanted:
        try:
            peers[name] = PEERS[name](NETWORKS[net]())
        except ImportError as error:
            absent[name] = str(error)
    return peers, absent
