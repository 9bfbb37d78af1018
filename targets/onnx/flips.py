"""What a cheaper precision changes, on given data: spikes and accuracy against float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph
from targets.graph.kinds import SPIKING
from targets.onnx.executable import OnnxExecutable
from targets.onnx.options import OnnxOptions

# Samples whose recorded spikes are held at once.
_BLOCK = 8


@dataclass(frozen=True)
class Flips:
    """Spikes of every spiking population in every step, compared with float32.

    Attributes:
        compared: neuron-steps.
        changed: spikes that differ, by population.
        accuracy, accuracy_float32: shares of the labels met; None without labels.
    """

    samples: int
    compared: int
    changed: dict[str, int]
    accuracy: float | None
    accuracy_float32: float | None

    @property
    def rate(self) -> float:
        """Spikes that differ over neuron-steps."""
        return sum(self.changed.values()) / max(self.compared, 1)


def flips(
    graph: SpikingGraph,
    executable: OnnxExecutable,
    x: NDArray[np.generic],
    labels: NDArray[np.integer] | None = None,
) -> Flips:
    """Compare `executable` with `graph` in float32 on `x` [T, B, *input] and `labels` [B].

    Raises:
        DataError: `x` does not suit the network.
    """
    whole = OnnxExecutable(graph, OnnxOptions(counts=False))
    names = [name for name in graph.populations if isinstance(graph.nodes[name], SPIKING)]
    changed, compared = dict.fromkeys(names, 0), 0
    met = np.zeros(2, np.int64)
    for at in range(0, x.shape[1], _BLOCK):
        runs = [exe.run(x[:, at : at + _BLOCK], names) for exe in (executable, whole)]
        for name in names:
            ours, theirs = (run.spikes[name] for run in runs)
            changed[name] += int(np.count_nonzero(ours != theirs))
            compared += ours.size
        if labels is not None:
            met += [int(np.sum(run.classes() == labels[at : at + _BLOCK])) for run in runs]
    shares = [None, None] if labels is None else [float(share) for share in met / x.shape[1]]
    return Flips(x.shape[1], compared, changed, shares[0], shares[1])
