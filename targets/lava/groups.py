"""Hardware populations: a LIF process of Lava has one du and one dv, so other decays need another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from targets.loihi.program import FixedPopulation, hardware_populations

Neurons = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A hardware population: some neurons of the population `of`, all of them where `neurons` is None."""

    population: FixedPopulation
    of: str
    neurons: Neurons | None = None


def parts(population: FixedPopulation) -> list[Part]:
    """The hardware populations of `population`."""
    name, groups = population.name, hardware_populations(population)
    if len(groups) == 1:
        return [Part(population, name)]
    return [
        Part(_part(population, f"{name}, group {i}", neurons), name, neurons)
        for i, neurons in enumerate(groups)
    ]


def _part(population: FixedPopulation, name: str, neurons: Neurons) -> FixedPopulation:
    size, first = int(np.prod(population.shape)), neurons[0]
    return replace(
        population,
        name=name,
        shape=(neurons.size,),
        du=int(np.broadcast_to(population.du, size)[first]),
        dv=int(np.broadcast_to(population.dv, size)[first]),
        bias_u=population.bias_u[:, neurons],
        bias_v=population.bias_v[:, neurons],
    )


def by_population(found: Iterable[Part]) -> dict[str, list[Part]]:
    """Parts of each population, by its name."""
    table: dict[str, list[Part]] = {}
    for part in found:
        table.setdefault(part.of, []).append(part)
    return table
