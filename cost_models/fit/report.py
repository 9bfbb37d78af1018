"""What a fit check gives, and where everything lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

# One width for all weights, or (population, width of the weights into it) pairs.
WeightBits = int | tuple[tuple[str, int], ...]
Region = tuple[tuple[int, int], ...]


def bits_of(weight_bits: WeightBits, population: str) -> int:
    """Width of the weights into a population; into relay neurons, the widest of the network."""
    if isinstance(weight_bits, int):
        return weight_bits
    widths = dict(weight_bits)
    return widths.get(population, max(widths.values()))


def volume(region: Region) -> int:
    """Number of neurons of a region."""
    return prod(stop - start for start, stop in region)


@dataclass(frozen=True)
class Broken:
    """One broken rule: what was found on which node against what is allowed, and what to do.

    `demands` is the rule in words; `node` names several nodes where the rule is about them together.
    """

    rule: str
    node: str
    found: int
    allowed: int
    hint: str
    demands: str = ""

    def __str__(self) -> str:
        return f"node {self.node!r}: {self.rule}: found {self.found}, allowed {self.allowed}; {self.hint}"

    def as_json(self) -> dict[str, Any]:
        """The keys `rule`, `node`, `found`, `allowed` and `hint`."""
        return {key: value for key, value in vars(self).items() if key != "demands"}


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
        return volume(self.region)

    def as_json(self) -> dict[str, Any]:
        """The keys `population`, `region`, `neurons`, `core` and `tile`."""
        return {
            "population": self.population,
            "region": [list(axis) for axis in self.region],
            "neurons": self.neurons,
            "core": self.core,
            "tile": None if self.tile is None else list(self.tile),
        }


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
class Stored:
    """How the core of a population's first slice stores the synapses from one source.

    Attributes:
        form: the format in use, of `sizes`.
        shared: repeated kernels are stored once.
        sizes: `{format: memory}` in the unit of the chip's memory resource.
        axons: in-axons, None where the chip's accounting is not known.
    """

    source: str
    target: str
    form: str
    shared: bool
    sizes: dict[str, int]
    axons: int | None

    @property
    def size(self) -> int:
        """Memory in the format in use."""
        return self.sizes[self.form]

    def as_json(self) -> dict[str, Any]:
        """The keys `source`, `target`, `form`, `shared`, `sizes` and `axons`."""
        return dict(vars(self))


@dataclass(frozen=True)
class FitReport:
    """Whether a network fits a chip.

    Attributes:
        cores: that the network needs.
        population_cores: `{population: cores}` (relay groups stand beside the populations).
        use: `{population: {resource: Use}}` of its fullest core.
        stored: synapse formats, connection by connection.
        chip_use: `{resource: Use}` of what the whole chip shares, such as its cores.
        placement: slices in core order; empty where no placement exists.
        figures: further numbers of this chip, such as clock cycles.
        unchecked: what this device's limits cannot decide for this network.
        sources: where the limits come from.
    """

    device: str
    weight_bits: WeightBits
    cores: int
    population_cores: dict[str, int]
    use: dict[str, dict[str, Use]]
    broken: tuple[Broken, ...]
    placement: tuple[Slice, ...]
    stored: tuple[Stored, ...] = ()
    chip_use: dict[str, Use] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()
    sources: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fits(self) -> bool:
        """No rule is broken."""
        return not self.broken

    @property
    def demands(self) -> dict[str, str]:
        """Each broken rule in words."""
        return {broken.rule: broken.demands for broken in self.broken}

    @property
    def binding(self) -> str:
        """The broken rule that comes first, else the resource nearest its limit."""
        return self._binding[0]

    @property
    def binding_node(self) -> str:
        """The node of `binding`, empty where it is the whole chip."""
        return self._binding[1]

    @property
    def _binding(self) -> tuple[str, str]:
        if self.broken:
            return self.broken[0].rule, self.broken[0].node
        shares = [(use.share, key, "") for key, use in self.chip_use.items() if key != "cores"]
        shares += [(use.share, key, name) for name, found in self.use.items() for key, use in found.items()]
        _, key, name = max(shares, default=(0.0, "cores", ""), key=lambda item: item[0])
        return key, name

    def _repr_html_(self) -> str:
        from targets.notebook import table

        if self.broken:
            broken = [rule.as_json() for rule in self.broken]
            return table(broken, f"Does not fit {self.device}: {len(broken)} rules are broken")
        rows = [
            {
                "population": name,
                "cores": cores,
                **{key: f"{use.share:.1%}" for key, use in self.use[name].items()},
            }
            for name, cores in self.population_cores.items()
        ]
        said = (
            f"Fits {self.device} on {self.cores} cores; nearest its limit: {self.binding} {self.binding_node}"
        )
        return table(rows, said.strip(), [f"not checked: {text}" for text in self.unchecked])

    def as_json(self) -> dict[str, Any]:
        """JSON of `msenas check`: the keys of the command line, and the rest of the report beside them."""
        return {
            "device": self.device,
            "fits": self.fits,
            "cores": self.cores,
            "binding": self.binding,
            "binding_node": self.binding_node,
            "weight_bits": self.weight_bits if isinstance(self.weight_bits, int) else dict(self.weight_bits),
            "broken": [broken.as_json() for broken in self.broken],
            "demands": self.demands,
            "chip": {key: [use.most, use.allowed] for key, use in self.chip_use.items()},
            "populations": {
                name: {
                    "cores": cores,
                    "use": {key: [use.most, use.allowed] for key, use in self.use[name].items()},
                }
                for name, cores in self.population_cores.items()
            },
            "synapses": [stored.as_json() for stored in self.stored],
            "placement": [part.as_json() for part in self.placement],
            "figures": dict(self.figures),
            "unchecked": list(self.unchecked),
            "sources": list(self.sources),
        }
