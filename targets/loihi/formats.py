"""Formats: how many bits and which exponent each hop's weights get, and the scale of each population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.graph.hops import Folding, Hop
from targets.graph.widths import weight_bits_of
from targets.loihi import limits

HopKey = tuple[str, str, int]
"""Source, target and delay: the hops of a folding differ in one of them."""


@dataclass(frozen=True)
class HopFormat:
    """Weights of one hop: `bits` 1 to 8, and the exponent (None: the smallest that holds them all)."""

    bits: int = 8
    exponent: int | None = None

    def __post_init__(self) -> None:
        if self.bits not in limits.WEIGHT_BITS:
            raise ConfigError(f"weight_bits: found {self.bits}, allowed 1 to 8")


@dataclass(frozen=True)
class Formats:
    """Number formats of a whole network.

    Attributes:
        default: of every hop that neither `hops` nor `populations` names.
        populations: of the hops into a population that `hops` does not name.
        scales: chip units of one threshold, for populations where it is given.
        mixed: store every hop with a sign bit, also where all weights have one sign.
        least_bias_exponent: of the biases on membranes.
    """

    default: HopFormat = HopFormat()
    hops: tuple[tuple[HopKey, HopFormat], ...] = ()
    scales: tuple[tuple[str, float], ...] = ()
    mixed: bool = False
    least_bias_exponent: int = 0
    populations: tuple[tuple[str, HopFormat], ...] = ()
    _by_key: Mapping[HopKey, HopFormat] = field(init=False, repr=False, compare=False)
    _by_population: Mapping[str, HopFormat] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", dict(self.hops))
        object.__setattr__(self, "_by_population", dict(self.populations))

    def of(self, hop: Hop) -> HopFormat:
        """The format of `hop`."""
        into = self._by_population.get(hop.target, self.default)
        return self._by_key.get(key(hop), into)


def key(hop: Hop) -> HopKey:
    """What names `hop` among those of its graph."""
    return hop.source, hop.target, hop.delay


def own_formats(graph: SpikingGraph) -> Formats:
    """Formats of the widths that `graph` names itself (`targets.graph.widths`), 8 bits for the others."""
    return Formats(populations=tuple((n, HopFormat(bits)) for n, bits in weight_bits_of(graph).items()))


def formats(folding: Folding, weight_bits: int | Mapping[tuple[str, str], int]) -> Formats:
    """Formats of `weight_bits`: one number, or one for some `(source, target)` and 8 for the others.

    Raises:
        ConfigError: bits out of range, or a pair that no hop joins.
    """
    if not isinstance(weight_bits, Mapping):
        return Formats(HopFormat(weight_bits))
    pairs = {(hop.source, hop.target) for hop in folding.hops}
    unknown = [pair for pair in weight_bits if pair not in pairs]
    if unknown:
        allowed = ", ".join(map(repr, sorted(pairs)))
        raise ConfigError(f"weight_bits: no hop joins {unknown[0]!r}, allowed {allowed}")
    named = [
        (key(h), HopFormat(weight_bits[h.source, h.target]))
        for h in folding.hops
        if (h.source, h.target) in weight_bits
    ]
    return Formats(hops=tuple(named))
