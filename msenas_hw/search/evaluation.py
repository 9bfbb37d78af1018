"""One candidate measured: the unit of work of a search."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from msenas_hw.budget import BudgetConfig
from msenas_hw.config import Config
from msenas_hw.search.devices import Other, chip_of, costs, others, require, structure
from msenas_hw.search.objectives import structural, unfit
from msenas_hw.space import Genome, Task, decode, own_task
from targets.errors import ConfigError, DataError
from targets.graph.graph import SpikingGraph
from targets.run import Run

if TYPE_CHECKING:
    from msenas_hw.data import Dataset

DECIDING = ("msenas-hw", "torch", "numpy")


@dataclass(frozen=True, eq=False)
class Setting:
    """All that the result of an evaluation depends on, besides the genome.

    Attributes:
        task: shape of the problem.
        x: encoded batch [T, B, *input_shape], the same for every candidate of T = `task.steps`.
        draws: weight draws of the fitness.
        variant: of the fitness.
        device: cost model of energy and latency.
        chip: chip whose limits the network must fit; "" where the device has none.
        models: further cost models, of which only the energy is kept.
        others: further devices that the network must suit.
        budget: whose limits on structure reject a network before it runs; without one, rules of chips do.
        batches: the same samples encoded for every other T that a genome may have.
    """

    task: Task
    x: NDArray[np.float32]
    draws: int
    variant: str
    device: str
    chip: str
    models: tuple[str, ...] = ()
    others: tuple[Other, ...] = ()
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    batches: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)

    def inputs(self, genome: Genome) -> NDArray[np.float32]:
        """The encoded batch [T, B, *input_shape] of the genome's T; ConfigError where there is none."""
        steps = own_task(genome, self.task).steps
        if steps == self.task.steps:
            return self.x
        if steps not in self.batches:
            found = ", ".join(map(str, sorted({self.task.steps, *self.batches})))
            raise ConfigError(f"genome of {steps} steps: allowed {found}; add it to space.steps")
        return self.batches[steps]

    def digest(self) -> str:
        """Hash of the setting, the constants of its devices, and the versions that decide a result."""
        from cost_models import load_device

        state = {
            "task": asdict(self.task),
            "x": _hash(self.x),
            **{f"x of {steps} steps": _hash(x) for steps, x in sorted(self.batches.items())},
            "shape": self.x.shape,
            "draws": self.draws,
            "variant": self.variant,
            "devices": [repr(load_device(name)) for name in (self.device, self.chip, *self.models) if name],
            **{
                f"device {one.name}": [repr(load_device(name)) for name in (one.model, one.chip) if name]
                for one in self.others
            },
            "limits": structural(self.budget),
            "versions": {name: version(name) for name in DECIDING},
        }
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _hash(x: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


@dataclass(frozen=True)
class Measured:
    """What an evaluation found; figures are a sample's, summed over its steps.

    Attributes:
        arch: name of the architecture: its canonical hash (`msenas_hw.space.arch_id`).
        genome: the genome as JSON text.
        fitness: mean over the weight draws, larger is better.
        per_draw: fitness of each weight draw.
        alive: whether the network is neither silent nor saturated.
        memory: synapse memory in the chip's words, every core of a population counted as its fullest; 0
            where the chip's limits do not tell it.
        energies: joules a sample under each cost model, where there are several.
        devices: figures on each further device of the budget: `cores`, `memory`, `misfit` and `broken`, and
            `energy_j` and `latency_s` once the network fits; None where a device has no such figure.
        misfit: how far the chip's limits are exceeded, summed over the broken rules; 0 fits.
        rejected: the network breaks a rule of a chip, or a limit on cores, memory or parameters. It was
            not run: its fitness and costs are 0, and whether it lives is not known.
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
    memory: int = 0
    motifs: tuple[str, ...] = ()
    energies: Mapping[str, float] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    misfit: float = 0.0
    rejected: bool = False
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
    chip = chip_of(budget.fits_on)
    bare = load_device(budget.device).model == "limits"
    require("budget.device", "" if bare else budget.device, chip, (*config.search.objectives, *budget.limits))
    if bare:
        raise ConfigError(
            f"budget.device: {budget.device!r} has limits and no energy model; "
            f"name a cost model (see: msenas devices), and budget.chip = {budget.device!r} for its limits"
        )
    data = configured(section)
    if data.classes > len(data.train_y):
        raise DataError(
            f"data {data.name!r}: found class {data.classes - 1} among {len(data.train_y)} training samples, "
            "allowed fewer classes than samples; number the classes from 0"
        )
    _check_steps(config, data)
    batches = {
        steps: data.batch(section.encoding, steps, section.samples)
        for steps in sorted({section.steps, *config.space.steps})
    }
    x = batches.pop(section.steps)
    channels, rows, columns = data.input_shape
    task = Task((channels, rows, columns), data.classes, section.steps, section.dt_s)
    chosen = config.search
    return Setting(
        task,
        x,
        chosen.draws,
        chosen.fitness,
        budget.device,
        chip,
        budget.models,
        others(budget),
        budget,
        batches,
    )


def _check_steps(config: Config, data: Dataset) -> None:
    other = [steps for steps in config.space.steps if steps != config.data.steps]
    if data.recorded and other:
        raise ConfigError(
            f"space.steps: found {other[0]}, but {data.name!r} is recorded in {config.data.steps} steps; "
            "leave space.steps out"
        )


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
    from msenas_hw.fitness import fitness

    text, motifs = genome.to_json(), tuple(cell.motif for cell in genome.cells)
    task = own_task(genome, given.task)
    # Balancing scales weights and thresholds: what a network takes of a chip, and what a spike costs, stay.
    graph = decode(genome, task)
    still = Measured(arch, text, motifs=motifs, **structure(graph, given.chip, given.others))
    if unfit(still, given.budget):
        return replace(still, rejected=True, reason="not run: it breaks limits that need no spikes")
    found = fitness(genome, task, given.inputs(genome), given.draws, given.variant)
    if not found.alive:
        return replace(still, per_draw=found.per_draw, reason=found.reason)
    measured = replace(still, fitness=found.mean, per_draw=found.per_draw, alive=True)
    return _with_costs(measured, graph, found.runs[0], given)


def _with_costs(measured: Measured, graph: SpikingGraph, run: Run, given: Setting) -> Measured:
    import cost_models

    names = (given.device, *given.models) if given.models else ()
    cost = cost_models.estimate(graph, run, given.device).as_json()
    return replace(
        measured,
        devices={
            one.name: {**measured.devices[one.name], **costs(graph, run, one.model)} for one in given.others
        },
        energies={name: float(cost_models.estimate(graph, run, name).energy_j) for name in names},
        energy_j=float(cost["energy_j"]),
        latency_s=float(cost["latency_s"]),
        spikes=float(cost["spikes"]),
        synops=float(cost["synops"]),
    )
