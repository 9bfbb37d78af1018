"""What a fit check gives, and where everything lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Region = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Broken:
    """One broken rule: what was found on which node against what is allowed, and what to do."""

    rule: str
    node: str
    found: int
    allowed: int
    hint: str

    def __str__(self) -> str:
        return f"node {self.node!r}: {self.rule}: found {self.found}, allowed {self.allowed}; {self.hint}"

    def as_json(self) -> dict[str, Any]:
        """The keys `rule`, `node`, `found`, `allowed`, `hint`."""
        return dict(vars(self))


@dataclass(frozen=True)
class Slice:
    """Neurons of one population on one core.

    Attributes:
        region: half-open ranges: one of flattened neurons, or one for each axis of the population.
        tile: (column, row) of the core's tile, None where the chip's mesh is not known.
    """

    population: str
    region: Region
    core: int
    tile: tuple[int, int] | None

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        size = 1
        for start, stop in self.region:
            size *= stop - start
        return size


@dataclass(frozen=True)
class Use:
    """The fullest core of a population for one resource: `most` of `allowed`."""

    most: int
    allowed: int

    @property
    def share(self) -> float:
        """Part of the resource in use; above 1 where it does not fit."""
        return self.most / self.allowed


@dataclass(frozen=True)
class FitReport:
    """Whether a network fits a chip.

    Attributes:
        cores: that the network needs.
        population_cores: `{population: cores}` (relay groups stand beside the populations).
        use: `{population: {resource: Use}}` of its fullest core.
        binding: the broken rule that comes first, else the resource nearest its limit.
        placement: slices in core order; empty where no placement exists.
        unchecked: what this device's limits cannot decide for this network.
        sources: where the limits come from.
    """

    device: str
    weight_bits: int
    cores: int
    population_cores: dict[str, int]
    use: dict[str, dict[str, Use]]
    binding: str
    broken: tuple[Broken, ...]
    placement: tuple[Slice, ...]
    unchecked: tuple[str, ...] = ()
    sources: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fits(self) -> bool:
        """No rule is broken."""
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        """JSON of `msenas check`; `populations`, `unchecked` and `sources` stand beside its keys."""
        return {
            "device": self.device,
            "fits": self.fits,
            "cores": self.cores,
            "binding": self.binding,
            "broken": [broken.as_json() for broken in self.broken],
            "populations": {
                name: {
                    "cores": cores,
                    "use": {key: [use.most, use.allowed] for key, use in self.use[name].items()},
                }
                for name, cores in self.population_cores.items()
            },
            "unchecked": list(self.unchecked),
            "sources": list(self.sources),
        }
