"""Does a network fit a chip: every broken rule at once, cores, and what binds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from cost_models.device import Device, load_device
from cost_models.fit.chips import Chip, chip_for
from cost_models.fit.network import ChipNetwork, chip_network
from cost_models.fit.place import Layout, lay_out, out_axons, slices_in_order
from cost_models.fit.report import Broken, FitReport, Use
from cost_models.fit.rules import RULES, Case
from cost_models.fit.split import members
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph

# Without these a placement does not exist on however many cores.
_UNPLACEABLE = frozenset({"fan_in", "fan_out", "synapse_memory", "compartments"})


def check(graph: SpikingGraph, device: str | Path, weight_bits: int = 8) -> FitReport:
    """Check `graph` against the limits of `device` ("loihi1", "loihi2", an energy device, or a TOML path).

    `weight_bits` is the width that every weight is stored with, 1 to 8.

    Raises:
        ConfigError: unknown device, or `weight_bits` outside its range.
        GraphError: a cycle holds fewer delays than hops.
    """
    return check_on(graph, load_device(device), weight_bits)


@lru_cache(maxsize=8)
def check_on(graph: SpikingGraph, device: Device, weight_bits: int) -> FitReport:
    """`check` for a loaded device."""
    chip = chip_of(device, weight_bits)
    network = chip_network(graph, chip.max_delay())
    layout = lay_out(network, chip)
    needed = sum(len(regions) for regions in layout.regions.values())
    case = Case(network, chip, layout, needed)
    broken = tuple(found for rule in RULES for found in rule(case))
    use = _use(network, chip, layout)
    placeable = not _UNPLACEABLE & {found.rule for found in broken}
    return FitReport(
        device=device.name,
        weight_bits=weight_bits,
        cores=needed,
        population_cores={name: len(regions) for name, regions in layout.regions.items()},
        use=use,
        binding=_binding(broken, use),
        broken=broken,
        placement=slices_in_order(network, chip, layout) if placeable else (),
        unchecked=_unchecked(network, chip),
        sources=chip.device.sources,
    )


def chip_of(device: Device, weight_bits: int) -> Chip:
    """The limits that decide for `device`, which may be an energy device naming its chip."""
    if not 1 <= weight_bits <= 8 or weight_bits != int(weight_bits):
        raise ConfigError(f"weight_bits: found {weight_bits}, allowed a whole number from 1 to 8")
    limits = device if device.model == "limits" else load_device(device.chip)
    if limits.model != "limits":
        raise ConfigError(f"{device.file}: chip: {device.chip!r} is no device of limits")
    return chip_for(limits, int(weight_bits))


def _use(network: ChipNetwork, chip: Chip, layout: Layout) -> dict[str, dict[str, Use]]:
    out = out_axons(network, chip, layout.regions)
    found: dict[str, dict[str, Use]] = {}
    for name, regions in layout.regions.items():
        group = network.groups[name]
        most: dict[str, int] = {}
        for region in regions:
            use = chip.use(network, group, region)
            use["out_axons"] = int(out[name][members(group.shape, region)].sum())
            most = {key: max(value, most.get(key, 0)) for key, value in use.items()}
        found[name] = {key: Use(value, chip.device.integer(key)) for key, value in most.items()}
    return found


def _binding(broken: tuple[Broken, ...], use: dict[str, dict[str, Use]]) -> str:
    if broken:
        return broken[0].rule
    nearest = [(found.share, key) for resources in use.values() for key, found in resources.items()]
    return max(nearest, default=(0.0, "cores"), key=lambda item: item[0])[1]


def _unchecked(network: ChipNetwork, chip: Chip) -> tuple[str, ...]:
    axons = tuple(
        f"in-axons of {group.name!r} and out-axons into it: how the compiler counts convolutions is not known"
        for group in network.placed("population")
        if not chip.counts_axons(network, group)
    )
    delay = ("axonal delay: this chip's range is not known",) if chip.max_delay() is None else ()
    return (*axons, *delay)
