"""From a run to its cost on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from cost_models.activity import Activity, activity_of, events
from cost_models.device import Device, devices, load_device
from cost_models.energy import (
    cmos45,
    gpu,
    lemaire2022,
    loihi1_board,
    loihi1_davies2018,
    loihi1_sanafe,
    loihi2_empirical,
    spinnaker2,
    truenorth,
    xylo_a2,
)
from cost_models.energy.plan import Model, Options, Plan, Price, Usage
from cost_models.energy.report import Estimate
from cost_models.fit.check import widths
from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph
from targets.run import Run

MODELS: Mapping[str, Model] = {
    "loihi1_davies2018": loihi1_davies2018.MODEL,
    "loihi1_sanafe": loihi1_sanafe.MODEL,
    "loihi1_board": loihi1_board.MODEL,
    "loihi2_empirical": loihi2_empirical.MODEL,
    "truenorth": truenorth.MODEL,
    "spinnaker2": spinnaker2.MODEL,
    "xylo_a2": xylo_a2.MODEL,
    "cmos45": cmos45.MODEL,
    "lemaire2022": lemaire2022.MODEL,
    "gpu": gpu.MODEL,
}
INPUTS = ("mapped", "injected")


def estimate(
    graph: SpikingGraph,
    run: Run,
    device: str | Path,
    *,
    weight_bits: int | Mapping[str, int] | None = None,
    inputs: str = "mapped",
    cores: Mapping[str, Sequence[int]] | None = None,
    batch: int = 1,
) -> Estimate:
    """Energy and latency of `run` on `device`, per sample.

    What depends on graph, device and options only is kept, so further runs of a graph cost little.

    Args:
        graph: the network that ran.
        run: its spike counts; with the fixed arithmetic's where the chip is fixed-point.
        device: an energy device by name, or a TOML path.
        weight_bits: stored width of weights, which decides the split over cores; as in `check`.
        inputs: "mapped" charges Input neurons as neurons that fire, as SANA-FE does; "injected"
            charges their packets and synapses only. Models without a placement charge no Input neurons.
        cores: `{node: core numbers}` for every Input and population, a placement by hand in equal
            slices. By default populations lie on the cores of `check`, Inputs on the cores after.
        batch: samples that a GPU runs at once; chips take one at a time.

    Raises:
        ConfigError: unknown device, a device without an energy model, or a wrong option.
        DataError: the run does not belong to the graph, or a cost is too large for a number.
        DoesNotFitError: no placement exists on however many cores. A network that needs more cores
            than the chip has is still costed.
    """
    source = load_device(device)
    if source.model not in MODELS:
        raise ConfigError(
            f"device {source.name!r} has limits and no energy model, allowed {', '.join(energy_devices())}"
        )
    if inputs not in INPUTS:
        raise ConfigError(f"inputs: found {inputs!r}, allowed {', '.join(INPUTS)}")
    if batch < 1 or batch != int(batch):
        raise ConfigError(f"batch: found {batch}, allowed a whole number >= 1")
    by_hand = None if cores is None else tuple((name, tuple(where)) for name, where in cores.items())
    plan = _plan(graph, source, Options(widths(graph, weight_bits), inputs, by_hand, int(batch)))
    found = events(graph, run)
    price = plan.price(Usage(found, run.steps, run.samples))
    return _estimate(source, plan, price, activity_of(graph, run, found))


def energy_devices() -> tuple[str, ...]:
    """Names of the devices of the package that have an energy model."""
    return tuple(name for name, device in devices().items() if device.model in MODELS)


@lru_cache(maxsize=16)
def _plan(graph: SpikingGraph, device: Device, options: Options) -> Plan:
    return MODELS[device.model].plan(graph, device, options)


def _estimate(device: Device, plan: Plan, price: Price, did: Activity) -> Estimate:
    terms = {name: joules / did.samples for name, joules in price.terms.items()}
    energy_j = sum(terms.values())
    seconds = None if price.latency_s is None else price.latency_s / did.samples
    for what, value in (("energy", energy_j), ("latency", seconds or 0.0)):
        if not math.isfinite(value) or value < 0:
            raise DataError(
                f"{device.name}: {what} came out as {value}; the counts or constants are too large"
            )
    kinds = MODELS[device.model].kinds
    return Estimate(
        device=device.name,
        energy_j=energy_j,
        latency_s=seconds,
        spikes=did.total_spikes,
        synops=did.total_synops,
        terms=terms,
        kinds={name: kinds[name] for name in terms},
        energy_band_j=_band(device, "energy", energy_j),
        latency_band_s=None if seconds is None else _band(device, "latency", seconds),
        constants=dict(device.constants),
        sources=device.sources,
        omitted=(*device.omitted, *price.omitted, *did.assumed),
        figures=dict(price.figures),
        cores=plan.cores,
        input_cores=plan.input_cores,
        steps=price.steps,
        placement=plan.placement,
    )


def _band(device: Device, figure: str, value: float) -> tuple[float, float]:
    band = device.band(figure)
    if band is None:
        raise ConfigError(
            f"{device.file}: constants.band_{figure} is missing; give the factors [low, high] between which "
            "the truth is expected"
        )
    return band[0] * value, band[1] * value
