"""The networks of `executor_networks` in SpikingJelly, apart because its import is slow."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn

from targets.graph.graph import SpikingGraph

Record = dict[str, list[Tensor]] | None
# It fires where v >= threshold: with the float32 after 1 that is v > 1.
_ABOVE_ONE = float(torch.nextafter(torch.tensor(1.0), torch.tensor(2.0)))


class MultiStep(nn.Module):
    """Layers outside cycles see all steps at once; a cycle goes step by step."""

    def __init__(self, graph: SpikingGraph, synapses: nn.ModuleDict, tau: float, unit: float) -> None:
        super().__init__()
        self.synapses = synapses
        self.unit = unit
        cyclic = {name for name in graph.populations if name in graph.cyclic}
        self.neurons = nn.ModuleDict({name: _lif(tau, name in cyclic) for name in graph.populations})
        self.run = self._feedback if cyclic else self._feed_forward

    def forward(self, x: Tensor, record: Record = None) -> Tensor:
        functional.reset_net(self)
        spikes = self.run(x)
        if record is not None:
            record.update({name: list(s) for name, s in zip(self.neurons, spikes, strict=True)})
        return spikes[-1]

    def _folded(self, name: str, x: Tensor) -> Tensor:
        out: Tensor = functional.seq_to_ann_forward(x, self.synapses[name])
        return out

    def _feed_forward(self, x: Tensor) -> list[Tensor]:
        n = self.neurons
        s1 = n["lif1"](self._folded("conv1", x))
        s2 = n["lif2"](self._folded("conv2", s1))
        s3 = n["lif3"](self._folded("conv3", s2))
        return [s1, s2, s3, n["lif4"](self._folded("dense", s3.flatten(2)))]

    def _feedback(self, x: Tensor) -> list[Tensor]:
        w, n = self.synapses, self.neurons
        s1 = n["lif1"](self._folded("conv1", x))
        second, third = [], []
        back: Tensor | None = None
        for current in self._folded("conv2", s1):
            s2 = n["lif2"](current if back is None else current + back)
            s3 = n["lif3"](w["conv3"](s2) + s2 * self.unit)
            back = w["back"](s3)
            second.append(s2)
            third.append(s3)
        s3 = torch.stack(third)
        s4 = n["lif4"](self._folded("conv4", s3))
        last: list[Tensor] = []
        for current in self._folded("dense", s4.flatten(2)):
            last.append(n["lif5"](current + w["loop"](last[-1]) if last else current))
        return [s1, torch.stack(second), s3, s4, torch.stack(last)]


def _lif(tau: float, stepwise: bool) -> nn.Module:
    node: nn.Module = neuron.LIFNode(
        tau=tau,
        decay_input=False,
        v_threshold=_ABOVE_ONE,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="s" if stepwise else "m",
    )
    return node
