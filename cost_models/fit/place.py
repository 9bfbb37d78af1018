"""Placement: regions of populations on cores, and which axons lead to which core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork, Connection, Group
from cost_models.fit.report import Region, Slice
from cost_models.fit.split import flat, part_of
from targets.errors import ConfigError, GraphError


@dataclass(frozen=True)
class Layout:
    """Regions of each placed group.

    Attributes:
        regions: `{group: regions}`, populations and relays in execution order.
        alone_too_big: `{group: resources that a single neuron exceeds}`.
        out_axons: `{group: destination cores of each of its neurons}`.
    """

    regions: dict[str, tuple[Region, ...]]
    alone_too_big: dict[str, dict[str, int]]
    out_axons: dict[str, NDArray[np.int64]]


def lay_out(network: ChipNetwork, chip: Chip) -> Layout:
    """Split every population and relay so that each slice keeps the limits of a core.

    Out-axons depend on how the targets are split, so splitting repeats until no slice has too many.
    """
    groups = [*network.placed("population"), *network.placed("relay")]
    limits = {group.name: _limits(network, chip, group) for group in groups}
    too_big = {group.name: _alone(network, chip, group, limits[group.name]) for group in groups}
    for name, broken in too_big.items():
        for resource in broken:
            del limits[name][resource]
    none = {group.name: np.zeros(group.size, dtype=np.int64) for group in groups}
    regions = {g.name: chip.split(network, g, limits[g.name], none[g.name], 1) for g in groups}
    allowed = chip.device.integer("out_axons")
    while True:
        out = out_axons(network, chip, regions)
        grow = [g for g in groups if _over(g, regions[g.name], out[g.name], allowed)]
        if not grow:
            break
        for group in grow:
            least, kept = len(regions[group.name]) + 1, {**limits[group.name], "out_axons": allowed}
            regions[group.name] = chip.split(network, group, kept, out[group.name], least)
    for group in groups:
        if out[group.name].max(initial=0) > allowed:
            too_big[group.name]["out_axons"] = int(out[group.name].max())
    return Layout(regions, {n: b for n, b in too_big.items() if b}, out)


def out_axons(
    network: ChipNetwork, chip: Chip, regions: Mapping[str, tuple[Region, ...]]
) -> dict[str, NDArray[np.int64]]:
    """`{group: destination cores of each of its neurons}`, where the chip's accounting is known."""
    out = {name: np.zeros(group.size, dtype=np.int64) for name, group in network.groups.items()}
    for target, parts in regions.items():
        if not chip.counts_axons(network, network.groups[target]):
            continue
        for region in parts:
            for source, indices in network.sources(target, region).items():
                out[source][indices] += 1
    return out


def slices_in_order(network: ChipNetwork, chip: Chip, layout: Layout, first: int = 0) -> tuple[Slice, ...]:
    """One core a region, in execution order from core `first` on; constant sources join the first
    core of the population that they serve."""
    found: list[Slice] = []
    for name, regions in layout.regions.items():
        core = first + len(found)
        found.extend(Slice(name, r, core + i, chip.tile_of(core + i)) for i, r in enumerate(regions))
    return (*found, *_constants(network, found))


def slices_on(network: ChipNetwork, chip: Chip, cores: Mapping[str, Sequence[int]]) -> tuple[Slice, ...]:
    """A placement by hand: equal slices of each group on the cores listed for it.

    Raises:
        ConfigError: a group is unknown, missing or has no core, or a core is negative.
        GraphError: the network cannot be aligned, or holds what no synapse can.
    """
    problems = [f"cycle {' -> '.join(short.nodes)} holds too few delays" for short in network.short]
    problems += [f"node {name!r} is not linear" for name in network.nonlinear]
    if problems:
        raise GraphError(f"no placement exists: {'; '.join(problems)}")
    roles = ("input", "population", "relay")
    known = [group.name for role in roles for group in network.placed(role)]
    for name in cores:
        if name not in known:
            raise ConfigError(f"cores: node {name!r} is not placed, allowed {', '.join(known)}")
    found: list[Slice] = []
    for name in known:
        where = list(cores.get(name, ()))
        if not where or min(where) < 0 or len(where) > network.groups[name].size:
            raise ConfigError(
                f"cores: node {name!r}: found {where}, "
                f"allowed 1 to {network.groups[name].size} core numbers >= 0"
            )
        regions = flat(network.groups[name].size, len(where))
        found.extend(Slice(name, r, c, chip.tile_of(c)) for r, c in zip(regions, where, strict=True))
    return (*found, *_constants(network, found))


def _constants(network: ChipNetwork, found: Sequence[Slice]) -> list[Slice]:
    constants = []
    for group in network.placed("constant"):
        home = next(part for part in found if part.population == group.follows)
        constants.append(Slice(group.name, ((0, 1),), home.core, home.tile))
    return constants


def _limits(network: ChipNetwork, chip: Chip, group: Group) -> dict[str, int]:
    """Limits of a core; constant sources take their compartments from each core of the population."""
    limits = {key: chip.device.integer(key) for key in ("compartments", "in_axons", chip.memory)}
    limits["compartments"] -= sum(source.follows == group.name for source in network.placed("constant"))
    return limits


def _alone(network: ChipNetwork, chip: Chip, group: Group, limits: Mapping[str, int]) -> dict[str, int]:
    """Resources that a neuron exceeds on a core of its own: the one with the most synapses, or the one
    with the most sources."""
    exceeded: dict[str, int] = {}
    for region in _fullest(network, chip, group):
        for name, most in chip.use(network, group, region).items():
            if most > max(limits[name], exceeded.get(name, 0)):
                exceeded[name] = most
    return exceeded


def _fullest(network: ChipNetwork, chip: Chip, group: Group) -> set[Region]:
    """Neurons that decide whether one fits alone; the first where no connection tells neurons apart."""
    into = network.into(group.name)
    if not chip.counts_axons(network, group):
        return {((0, 1),) * len(group.shape)}
    if all(connection.full for connection in into):
        return {((0, 1),)}
    synapses, sources = np.zeros(group.size, int), np.zeros(group.size, int)
    by_source: dict[str, list[Connection]] = {}
    for connection in into:
        synapses += np.diff(connection.matrix.indptr)
        by_source.setdefault(connection.source, []).append(connection)
    for parallel in by_source.values():
        pattern = parallel[0].matrix if len(parallel) == 1 else sum(abs(c.matrix) for c in parallel)
        sources += np.diff(pattern.indptr)
    return {((int(worst), int(worst) + 1),) for worst in (np.argmax(synapses), np.argmax(sources))}


def _over(group: Group, regions: tuple[Region, ...], out: NDArray[np.int64], allowed: int) -> bool:
    """A slice has too many out-axons and can still be cut."""
    if out.sum() <= allowed:
        return False
    slices = (part_of(out, group.shape, region) for region in regions)
    return any(part.size > 1 and int(part.sum()) > allowed for part in slices)
