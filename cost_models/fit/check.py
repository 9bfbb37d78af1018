"""Does a network fit a chip: every broken rule at once, cores, and what binds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cost_models.device import Device, load_device
from cost_models.fit import mesh, speck, xylo
from cost_models.fit.chips import Chip, chip_for
from cost_models.fit.report import FitReport, WeightBits
from targets.errors import ConfigError
from targets.graph.graph import SpikingGraph
from targets.graph.widths import weight_bits_of

_FITS: Mapping[str, Callable[[SpikingGraph, Device, WeightBits, bool], FitReport]] = {
    "speck2f": speck.fit,
    "xylo-a2": xylo.fit,
}


def check(
    graph: SpikingGraph,
    device: str | Path,
    weight_bits: int | Mapping[str, int] | None = None,
    graded: bool = False,
) -> FitReport:
    """Check `graph` against the limits of `device` ("loihi1", "loihi2", an energy device, or a TOML path).

    Args:
        weight_bits: width that every weight is stored with, 1 to 8; or of the weights into each
            population, by its name; by default the widths that the graph names itself, else 8.
        graded: the Inputs carry values rather than spikes.

    Raises:
        ConfigError: unknown device, or `weight_bits` outside its range or not of every population.
        GraphError: stateless nodes form a cycle without a population, or the step is needed and not known.
    """
    return check_on(graph, load_device(device), widths(graph, weight_bits), graded)


@lru_cache(maxsize=8)
def check_on(graph: SpikingGraph, device: Device, weight_bits: WeightBits, graded: bool = False) -> FitReport:
    """`check` for a loaded device."""
    _check_bits(weight_bits)
    limits = limits_of(device)
    if limits.chip in _FITS:
        report = _FITS[limits.chip](graph, limits, weight_bits, graded)
    else:
        report = mesh.fit(graph, chip_for(limits, weight_bits), weight_bits, graded)
    return replace(report, device=device.name)


def chip_of(device: Device, weight_bits: WeightBits) -> Chip:
    """How the mesh chip of `device`, which may be an energy device naming its chip, counts and splits."""
    _check_bits(weight_bits)
    return chip_for(limits_of(device), weight_bits)


def limits_of(device: Device) -> Device:
    """The device whose limits decide for `device`: itself, or the chip that it names."""
    if device.model == "limits" or device.chip == device.name:
        return device
    limits = load_device(device.chip)
    if limits.model != "limits" and limits.chip != limits.name:
        raise ConfigError(f"{device.file}: chip: {device.chip!r} is no device of limits")
    return limits


def _check_bits(weight_bits: WeightBits) -> None:
    for bits in (weight_bits,) if not isinstance(weight_bits, tuple) else (b for _, b in weight_bits):
        if not 1 <= bits <= 8 or bits != int(bits):
            raise ConfigError(f"weight_bits: found {bits}, allowed a whole number from 1 to 8")


def widths(graph: SpikingGraph, weight_bits: int | Mapping[str, int] | None) -> WeightBits:
    """The widths that `check` is asked for; without any those of the graph, 8 where it names none."""
    if isinstance(weight_bits, Mapping):
        return _by_population(graph, weight_bits)
    if weight_bits is not None:
        return weight_bits
    own = weight_bits_of(graph)
    return tuple((name, own.get(name, 8)) for name in graph.populations) if own else 8


def _by_population(graph: SpikingGraph, weight_bits: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if set(weight_bits) != set(graph.populations):
        wrong = sorted(set(weight_bits) ^ set(graph.populations))
        raise ConfigError(
            f"weight_bits: {', '.join(wrong)} missing or no population, "
            f"allowed {', '.join(graph.populations)}"
        )
    return tuple((name, weight_bits[name]) for name in graph.populations)
