"""Fit on a chip with a mesh of like cores (Loihi 1, Loihi 2): split, place, and ask the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork, chip_network
from cost_models.fit.place import Layout, lay_out, slices_in_order
from cost_models.fit.report import FitReport, Use, WeightBits
from cost_models.fit.rules import LOIHI1, LOIHI2, UNPLACEABLE, Case, Rule, broken_by
from cost_models.fit.split import part_of
from targets.graph.graph import SpikingGraph

RULES: Mapping[str, Sequence[Rule]] = {"loihi1": LOIHI1, "loihi2": LOIHI2}


def fit(graph: SpikingGraph, chip: Chip, weight_bits: WeightBits, graded: bool) -> FitReport:
    """Check `graph` on a chip with a mesh of cores."""
    network = chip_network(graph, chip.max_delay())
    layout = lay_out(network, chip)
    broken = broken_by(RULES[chip.device.chip], Case(graph, network, chip, layout, graded))
    placeable = not UNPLACEABLE & {found.rule for found in broken}
    needed = sum(map(len, layout.regions.values()))
    return FitReport(
        device=chip.device.name,
        weight_bits=weight_bits,
        cores=needed,
        population_cores={name: len(regions) for name, regions in layout.regions.items()},
        use=_use(network, chip, layout),
        broken=broken,
        placement=slices_in_order(network, chip, layout) if placeable else (),
        stored=tuple(
            chip.stored(network.groups[name], connection, regions[0])
            for name, regions in layout.regions.items()
            for connection in network.into(name)
        ),
        chip_use={"cores": Use(needed, chip.device.integer("cores"))},
        unchecked=_unchecked(network, chip),
        sources=chip.device.sources,
    )


def _use(network: ChipNetwork, chip: Chip, layout: Layout) -> dict[str, dict[str, Use]]:
    found: dict[str, dict[str, Use]] = {}
    for name, regions in layout.regions.items():
        group, out = network.groups[name], layout.out_axons[name]
        most: dict[str, int] = {}
        for region in regions:
            use = chip.use(network, group, region)
            use["out_axons"] = int(part_of(out, group.shape, region).sum())
            most = {key: max(value, most.get(key, 0)) for key, value in use.items()}
        found[name] = {key: Use(value, chip.device.integer(key)) for key, value in most.items()}
    return found


def _unchecked(network: ChipNetwork, chip: Chip) -> tuple[str, ...]:
    axons = tuple(
        f"in-axons of {group.name!r} and out-axons into it: how the compiler counts convolutions is not known"
        for group in network.placed("population")
        if not chip.counts_axons(network, group)
    )
    delay = ("axonal delay: this chip's range is not known",) if chip.max_delay() is None else ()
    tile = ("where a core lies on the mesh: not published",) if chip.tile_of(0) is None else ()
    return (*axons, *delay, *tile)
