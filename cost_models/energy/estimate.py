"""From a run to its cost on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cost_models.activity import activity, spike_counts
from cost_models.device import Device, load_device
from cost_models.energy import loihi1_sanafe
from cost_models.energy.events import Events, Wiring, wire
from cost_models.energy.report import Estimate
from cost_models.fit.check import check_on, chip_of
from cost_models.fit.chips import Chip
from cost_models.fit.network import ChipNetwork, Group, chip_network
from cost_models.fit.place import slices_on
from cost_models.fit.report import FitReport, Slice
from cost_models.fit.split import flat
from targets.errors import ConfigError, DoesNotFitError
from targets.graph.graph import SpikingGraph
from targets.run import Run


@dataclass(frozen=True)
class Model:
    """An event-based energy model: joules of each term, and seconds for a number of steps."""

    terms: Callable[[Events, Device], dict[str, float]]
    latency_s: Callable[[Events, int, Device], float]


MODELS: Mapping[str, Model] = {"loihi1_sanafe": Model(loihi1_sanafe.terms, loihi1_sanafe.latency_s)}
INPUTS: Mapping[str, str] = {
    "mapped": "",
    "injected": "soma energy and time of Input neurons, taken as injected by spike generators",
}


def estimate(
    graph: SpikingGraph,
    run: Run,
    device: str | Path,
    *,
    weight_bits: int = 8,
    inputs: str = "mapped",
    cores: Mapping[str, Sequence[int]] | None = None,
) -> Estimate:
    """Energy and latency of `run` on `device`, per sample.

    Args:
        graph: the network that ran.
        run: its spike counts; with the fixed arithmetic's where the chip is fixed-point.
        device: an energy device by name, or a TOML path.
        weight_bits: stored width of weights, which decides the split over cores.
        inputs: "mapped" charges Input neurons as neurons that fire, as SANA-FE does; "injected"
            charges their packets and synapses only.
        cores: `{node: core numbers}` for every Input and population, a placement by hand in equal
            slices. By default populations lie on the cores of `check`, Inputs on the cores after.

    Raises:
        ConfigError: unknown device, a device without an energy model, or a wrong option.
        DataError: the run does not belong to the graph.
        DoesNotFitError: no placement exists on however many cores. A network that needs more cores
            than the chip has is still costed.
    """
    source = load_device(device)
    if source.model not in MODELS:
        raise ConfigError(
            f"device {source.name!r} has limits and no energy model, allowed {_energy_devices()}"
        )
    if inputs not in INPUTS:
        raise ConfigError(f"inputs: found {inputs!r}, allowed {', '.join(INPUTS)}")
    by_hand = None if cores is None else tuple((name, tuple(where)) for name, where in cores.items())
    placed = _place(graph, source, weight_bits, by_hand)
    steps = run.steps + placed.network.latency
    counts = _group_counts(placed.network, spike_counts(graph, run), run)
    idle = frozenset(graph.inputs) if inputs == "injected" else frozenset()
    events = placed.wiring.events(counts, steps * run.samples, idle)
    model, did = MODELS[source.model], activity(graph, run)
    terms = {name: joules / run.samples for name, joules in model.terms(events, source).items()}
    return Estimate(
        device=source.name,
        energy_j=sum(terms.values()),
        latency_s=model.latency_s(events, steps * run.samples, source) / run.samples,
        spikes=did.total_spikes,
        synops=did.total_synops,
        terms=terms,
        sources=source.sources,
        omitted=tuple(text for text in (*source.omitted, INPUTS[inputs]) if text),
        cores=len({s.core for s in placed.slices if s.population not in graph.inputs}),
        input_cores=len({s.core for s in placed.slices if s.population in graph.inputs}),
        steps=steps,
        placement=placed.slices,
    )


@dataclass(frozen=True, eq=False)
class _Placed:
    network: ChipNetwork
    slices: tuple[Slice, ...]
    wiring: Wiring


@lru_cache(maxsize=8)
def _place(
    graph: SpikingGraph,
    device: Device,
    weight_bits: int,
    by_hand: tuple[tuple[str, tuple[int, ...]], ...] | None,
) -> _Placed:
    chip = chip_of(device, weight_bits)
    network = chip_network(graph, chip.max_delay())
    if by_hand is not None:
        slices = slices_on(network, chip, dict(by_hand))
    else:
        report = check_on(graph, device, weight_bits)
        slices = (*_existing(report), *_input_slices(network, chip, report.cores))
    return _Placed(network, slices, wire(network, slices))


def _existing(report: FitReport) -> tuple[Slice, ...]:
    if not report.placement:
        listed = "\n".join(f"  {broken}" for broken in report.broken)
        raise DoesNotFitError(f"no placement on {report.device} exists, on however many cores:\n{listed}")
    return report.placement


def _input_slices(network: ChipNetwork, chip: Chip, first: int) -> list[Slice]:
    """Inputs on cores of their own, from core `first` on, in equal slices."""
    slices: list[Slice] = []
    for group in network.placed("input"):
        parts = -(-group.size // chip.device.integer("compartments"))
        for region in flat(group.size, parts):
            core = first + len(slices)
            slices.append(Slice(group.name, region, core, chip.tile_of(core)))
    return slices


def _group_counts(
    network: ChipNetwork, counts: Mapping[str, NDArray[np.int64]], run: Run
) -> dict[str, NDArray[np.int64]]:
    """Spikes of every group: relays repeat their source, constants fire in each step from their onset on."""
    return {
        group.name: _constant_spikes(group, run) if group.role == "constant" else counts[group.follows]
        for group in network.groups.values()
    }


def _constant_spikes(group: Group, run: Run) -> NDArray[np.int64]:
    return np.array([max(run.steps - group.onset, 0) * run.samples], dtype=np.int64)


def _energy_devices() -> str:
    return ", ".join(sorted(name.replace("_", "-") for name in MODELS))
