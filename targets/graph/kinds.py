"""The node kinds of a spiking graph, grouped by what they do in time."""

from __future__ import annotations

import nir

# A population holds state and, I, LI and CubaLI apart, fires.
SPIKING: tuple[type[nir.NIRNode], ...] = (nir.IF, nir.LIF, nir.CubaLIF)
READOUT: tuple[type[nir.NIRNode], ...] = (nir.I, nir.LI, nir.CubaLI)
POPULATION: tuple[type[nir.NIRNode], ...] = SPIKING + READOUT
# A synapse carries trainable weights.
SYNAPSE: tuple[type[nir.NIRNode], ...] = (nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d)
# A stateless node works within one time step; all but Threshold are linear (or affine).
LINEAR: tuple[type[nir.NIRNode], ...] = (
    *SYNAPSE,
    nir.Scale,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Flatten,
)
STATELESS: tuple[type[nir.NIRNode], ...] = (*LINEAR, nir.Threshold)
PORT: tuple[type[nir.NIRNode], ...] = (nir.Input, nir.Output)
KNOWN: tuple[type[nir.NIRNode], ...] = (*PORT, *STATELESS, *POPULATION, nir.Delay)


def kind(node: nir.NIRNode) -> str:
    """The NIR name of a node's kind, as files store it."""
    return type(node).__name__
