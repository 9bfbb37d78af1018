"""The node kinds of a spiking graph, grouped by what they do in time."""

from __future__ import annotations

import nir

# A population holds state and, LI and CubaLI apart, fires.
SPIKING: tuple[type[nir.NIRNode], ...] = (nir.IF, nir.LIF, nir.CubaLIF)
READOUT: tuple[type[nir.NIRNode], ...] = (nir.LI, nir.CubaLI)
POPULATION: tuple[type[nir.NIRNode], ...] = SPIKING + READOUT
# A synapse carries trainable weights.
SYNAPSE: tuple[type[nir.NIRNode], ...] = (nir.Affine, nir.Linear, nir.Conv2d)
# A stateless node is linear (or affine) within one time step.
STATELESS: tuple[type[nir.NIRNode], ...] = (
    *SYNAPSE,
    nir.Scale,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
)
PORT: tuple[type[nir.NIRNode], ...] = (nir.Input, nir.Output)
KNOWN: tuple[type[nir.NIRNode], ...] = (*PORT, *STATELESS, *POPULATION, nir.Delay)


def kind(node: nir.NIRNode) -> str:
    """The NIR name of a node's kind, as files store it."""
    return type(node).__name__
