"""A network lowered to a Loihi core's integers: what the simulator, Lava and ONNX all load.

Per population, each step t of its window (Davies et al. 2018; Lava's bit-accurate LIF model):

    a = sum over hops of (W @ s) << exponent      with s taken 1 + axonal_delay steps earlier
    u = trunc(u * (4096 - (du + 1)) / 4096) + ((a + bias_u) << 6)    wraps into (-2^23, 2^23]
    v = trunc(v * (4096 - dv) / 4096) + u + bias_v                   clipped to +-(2^23 - 1)
    spike = v > (vth << 6);  v = 0 where spike, or v - (vth << 6) under a soft reset

A Loihi 1 core resets to zero only; the soft reset needs a programmable neuron of Loihi 2, and no neuron of
Lava has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from targets.graph.graph import SpikingGraph
from targets.loihi import limits

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class FixedHop:
    """Integer synapses from one population to another.

    Attributes:
        matrix: int32 [target, source]; as the core holds them (mixed-sign weights are even).
        exponent: left shift of the accumulated sum.
        delay: delay of the graph in steps; the layer-by-layer view uses s[t - delay].
        axonal_delay: delay beyond the one step that a hop takes, in the aligned view.
        sign: "mixed" | "excitatory" | "inhibitory".
        convolution: name of the convolution where the hop is that node alone, else None; then
            `kernel` holds its integer weights [out, in / groups, *kernel].
    """

    source: str
    target: str
    matrix: csr_matrix
    exponent: int
    delay: int
    axonal_delay: int
    sign: str
    convolution: str | None = None
    kernel: Integers | None = None

    @property
    def relays(self) -> int:
        """Relay neurons that each spike passes on the chip; a hop reaches 63 steps, axonal delay included."""
        return self.axonal_delay // (limits.AXONAL_DELAY_MAX + 1)


@dataclass(frozen=True)
class FixedPopulation:
    """One neuron population on the chip; neurons are flattened in C order.

    Attributes:
        du, dv: decay fields, 12 bit (du = 4095: no synaptic memory); int64 [neurons] where they differ
            between neurons, which then form several hardware populations (`hardware_populations`).
        vth: threshold mantissa, 17 bit, shifted left by 6 when compared.
        bias_u: int64 [K, neurons], added to the summed input in step k of the window; the last row
            holds from step K - 1 on. Carried by a constant source, in units of weights.
        bias_v: int64 [K, neurons], added to the membrane: mantissa << exponent, already shifted.
        offset: clock offset phi of the population in steps.
        subtract: soft reset: a spike takes the threshold off the membrane instead of clearing it.
    """

    name: str
    shape: tuple[int, ...]
    du: int | Integers
    dv: int | Integers
    vth: int
    bias_u: Integers
    bias_v: Integers
    offset: int
    subtract: bool = False


def hardware_populations(population: FixedPopulation) -> list[Integers]:
    """Neurons of each hardware population, those of equal du and dv, in the order of their first neuron."""
    size = int(np.prod(population.shape))
    fields = np.stack([np.broadcast_to(field, size) for field in (population.du, population.dv)])
    _, first, group = np.unique(fields, axis=1, return_index=True, return_inverse=True)
    return [np.flatnonzero(group.ravel() == i) for i in np.argsort(first)]


@dataclass(frozen=True)
class LoweredRow:
    """One row of the table float -> fixed (`table.py`).

    Attributes:
        value: the largest of `count` values; `fixed` is the integer stored for it, at `scale` units for 1.
        error: largest error of all of them, as a share of `value`.
    """

    node: str
    parameter: str
    value: float
    fixed: int
    scale: float
    error: float
    count: int = 1


@dataclass(frozen=True)
class Program:
    """A whole lowered network.

    Attributes:
        inputs: `{Input node: shape}`; outputs: `{Output node: population it reads}`.
        drain: steps after T until the last window of a sample closes (max phi + max delay).
        table: what lowering did to each parameter.
    """

    graph: SpikingGraph
    populations: tuple[FixedPopulation, ...]
    hops: tuple[FixedHop, ...]
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, str]
    drain: int
    table: tuple[LoweredRow, ...]
