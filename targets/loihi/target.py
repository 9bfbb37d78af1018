"""The Loihi target: lowered integers on the batched simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import fold_graph
from targets.loihi.formats import Formats, formats, own_formats
from targets.loihi.lower import attempt, lower
from targets.loihi.program import Program
from targets.loihi.simulator import LoihiExecutable
from targets.target import Refusal


@dataclass(frozen=True)
class LoihiOptions:
    """How a network runs.

    Attributes:
        weight_bits: 1 to 8 for every hop, `{(source, target): bits}`, or "auto": for each hop what gives
            the least error on `calibration`, the fewest bits of equal error. Like `calibration`, used
            where the graph is lowered here. By default the widths that the graph names itself, else 8.
        calibration: input [T, B, *input]; scales and exponents are chosen by the spikes that it causes
            in the float network, and taken where the lowered one's outputs are as near to the float ones.
        program: an already lowered network.
        kernels: "auto" (C where a compiler is there, else torch; MSENAS_KERNELS overrules), "c" or "torch".
        device: a device of torch; any but "cpu" runs in torch.
        products: "events" (for each hop what costs less where a twentieth of the neurons fires: sums spike by
            spike, or lookups) or "dense" (lookups alone, whose time does not depend on activity); torch
            kernels always take dense products.

    Raises:
        ConfigError: another arithmetic, "auto" without calibration, or calibration beside a program.
    """

    arithmetic: str = "fixed"
    weight_bits: int | str | Mapping[tuple[str, str], int] | None = None
    program: Program | None = None
    kernels: str = "auto"
    device: str = "cpu"
    products: str = "events"
    calibration: NDArray[np.generic] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.arithmetic != "fixed":
            raise ConfigError(f"loihi: arithmetic {self.arithmetic!r}, allowed fixed")
        if isinstance(self.weight_bits, str) and self.weight_bits != "auto":
            raise ConfigError(f"weight_bits: found {self.weight_bits!r}, allowed 1 to 8 or 'auto'")
        if self.weight_bits == "auto" and self.calibration is None and self.program is None:
            raise ConfigError("weight_bits='auto' chooses by data: give calibration=x, [T, B, *input]")
        if self.program is not None and self.calibration is not None:
            raise ConfigError("loihi: a program is lowered already, calibration has no use; leave one out")


class LoihiTarget:
    """Loihi's fixed-point arithmetic on batches."""

    name = "loihi"
    describes = "Loihi simulator, fixed point"
    arithmetics = ("fixed",)
    options: type[Any] = LoihiOptions

    def check(self, graph: SpikingGraph) -> list[Refusal]:
        """Every reason why the graph cannot be lowered."""
        return list(attempt(graph, own_formats(graph))[1])

    def compile(self, graph: SpikingGraph, options: LoihiOptions) -> LoihiExecutable:
        """Lower the graph, or take the program given."""
        program = options.program or lower(graph, _formats(graph, options))
        return LoihiExecutable(program, options.kernels, options.device, options.products)

    def unavailable(self) -> str | None:
        """Always available."""
        return None


def _formats(graph: SpikingGraph, options: LoihiOptions) -> Formats:
    bits = options.weight_bits
    auto = isinstance(bits, str)
    named = None if isinstance(bits, str) else bits
    given = own_formats(graph) if named is None else formats(fold_graph(graph), named)
    if options.calibration is None:
        return given
    # Here, so that a lowering without data does not build the float network.
    from targets.loihi.calibrate import calibrated

    return calibrated(graph, options.calibration, given, auto)
