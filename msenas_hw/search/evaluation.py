"""One candidate measured: the unit of work of a search."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.config import Config
from msenas_hw.space import Genome, Task
from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph
from targets.run import Run

DECIDING = ("msenas-hw", "torch", "numpy")


@dataclass(frozen=True, eq=False)
class Setting:
    """All that the result of an evaluation depends on, besides the genome.

    Attributes:
        task: shape of the problem.
        x: encoded batch [T, B, *input_shape], the same for every candidate.
        draws: weight draws of the fitness.
        variant: of the fitness.
        device: cost model of energy and latency.
        chip: chip whose limits the network must fit.
        models: further cost models, of which only the energy is kept.
    """

    task: Task
    x: NDArray[np.float32]
    draws: int
    variant: str
    device: str
    chip: str
    models: tuple[str, ...] = ()

    def digest(self) -> str:
        """Hash of the setting, the constants of its devices, and the versions that decide a result."""
        from cost_models import load_device

        state = {
            "task": asdict(self.task),
            "x": hashlib.sha256(np.ascontiguousarray(self.x).tobytes()).hexdigest(),
            "shape": self.x.shape,
            "draws": self.draws,
            "variant": self.variant,
            "devices": [repr(load_device(name)) for name in (self.device, self.chip, *self.models)],
            "versions": {name: version(name) for name in DECIDING},
        }
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Measured:
    """What an evaluation found; figures are a sample's, summed over its steps.

    Attributes:
        arch: name of the architecture: its canonical hash (`msenas_hw.space.arch_id`).
        genome: the genome as JSON text.
        fitness: mean over the weight draws, larger is better.
        per_draw: fitness of each weight draw.
        alive: whether the network is neither silent nor saturated.
        energies: joules a sample under each cost model, where there are several.
        misfit: how far the chip's limits are exceeded, summed over the broken rules; 0 fits. A network
            that does not fit has no costs, and they are 0.
        broken: the broken rules (`cost_models.check`).
        reason: why the network is not alive, empty where it is; the figures are then 0.
        failure: why the evaluation failed, empty where it did not; the figures are then 0.
    """

    arch: str
    genome: str
    fitness: float = 0.0
    per_draw: tuple[float, ...] = ()
    alive: bool = False
    energy_j: float = 0.0
    latency_s: float = 0.0
    spikes: float = 0.0
    synops: float = 0.0
    cores: int = 0
    parameters: int = 0
    motifs: tuple[str, ...] = ()
    energies: Mapping[str, float] = field(default_factory=dict)
    misfit: float = 0.0
    broken: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    failure: str = ""
    seconds: float = 0.0

    def to_json(self) -> str:
        """Text for the store, without the time it took."""
        return json.dumps({k: v for k, v in asdict(self).items() if k != "seconds"}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, seconds: float) -> Measured:
        """The record of `to_json`."""
        table: dict[str, Any] = json.loads(text)
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return cls(**values, seconds=seconds)


def setting(config: Config) -> Setting:
    """The setting that a configuration asks for; reads the data.

    Raises:
        ConfigError, DataError: the data are missing, or do not suit the encoding; a device of the
            budget is unknown, or has no cost model.
    """
    from cost_models import load_device
    from msenas_hw.data import configured

    section, budget = config.data, config.budget
    load_device(budget.fits_on)
    if load_device(budget.device).model == "limits":
        raise ConfigError(
            f"budget.device: {budget.device!r} has limits and no energy model; "
            f"name a cost model (see: msenas devices), and budget.chip = {budget.device!r} for its limits"
        )
    if load_device(budget.device).band("latency") is None:
        raise ConfigError(
            f"budget.device: {budget.device!r} has no model of time, which is an objective; "
            "name another cost model (see: msenas devices)"
        )
    data = configured(section)
    if data.classes > len(data.train_y):
        raise DataError(
            f"data {data.name!r}: found class {data.classes - 1} among {len(data.train_y)} training samples, "
            "allowed fewer classes than samples; number the classes from 0"
        )
    x = data.batch(section.encoding, section.steps, section.samples)
    channels, rows, columns = data.input_shape
    task = Task((channels, rows, columns), data.classes, section.steps, section.dt_s)
    chosen = config.search
    return Setting(task, x, chosen.draws, chosen.fitness, budget.device, budget.fits_on, budget.models)


def evaluate(genome: Genome, arch: str, given: Setting) -> Measured:
    """Measure one genome, whose canonical hash is `arch`; a failure is recorded, never raised.

    One candidate that cannot be measured must not end a search of hours; `failure` keeps its
    reason and the search counts it as infeasible.
    """
    begin = time.perf_counter()
    text = genome.to_json()
    try:
        found = _measure(genome, arch, given)
    except Exception as error:
        found = Measured(arch, text, failure=f"{type(error).__name__}: {error}")
    return replace(found, seconds=time.perf_counter() - begin)


def _measure(genome: Genome, arch: str, given: Setting) -> Measured:
    import cost_models
    from msenas_hw.fitness import fitness

    text, motifs = genome.to_json(), tuple(cell.motif for cell in genome.cells)
    found = fitness(genome, given.task, given.x, given.draws, given.variant)
    if not found.alive:
        return Measured(arch, text, per_draw=found.per_draw, motifs=motifs, reason=found.reason)
    fit = cost_models.check(found.graph, given.chip)
    measured = Measured(
        arch,
        text,
        fitness=found.mean,
        per_draw=found.per_draw,
        alive=True,
        cores=fit.cores,
        parameters=parameters(found.graph),
        motifs=motifs,
        misfit=float(sum(excess(rule.found, rule.allowed) for rule in fit.broken)),
        broken=tuple(rule.as_json() for rule in fit.broken),
    )
    return measured if fit.broken else _with_costs(measured, found.graph, found.runs[0], given)


def _with_costs(measured: Measured, graph: SpikingGraph, run: Run, given: Setting) -> Measured:
    import cost_models

    names = (given.device, *given.models) if given.models else ()
    cost = cost_models.estimate(graph, run, given.device).as_json()
    return replace(
        measured,
        energies={name: float(cost_models.estimate(graph, run, name).energy_j) for name in names},
        energy_j=float(cost["energy_j"]),
        latency_s=float(cost["latency_s"]),
        spikes=float(cost["spikes"]),
        synops=float(cost["synops"]),
    )


def excess(found: float, allowed: float) -> float:
    """How far a broken rule is exceeded, relative to what is allowed; 1 where that is no measure."""
    return abs(found - allowed) / abs(allowed) if allowed and found != allowed else 1.0


def parameters(graph: SpikingGraph) -> int:
    """Stored weights and biases of a graph, zeros aside (a synapse of weight zero is none)."""
    arrays = [
        np.asarray(getattr(node, field))
        for node in graph.nodes.values()
        for field in ("weight", "bias")
        if getattr(node, field, None) is not None
    ]
    return sum(int(np.count_nonzero(array)) for array in arrays)
