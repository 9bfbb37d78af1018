"""Networks of a front run again, for what the study does not keep: layers, terms of the energy, cores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msenas_hw.search import Setting, Study, Trial, setting
from msenas_hw.space import Genome
from targets.errors import DataError, MsenasError

if TYPE_CHECKING:
    from targets.graph.graph import SpikingGraph
    from targets.run import Run

Told = Callable[[str, int, int], None]
# Test samples on which a trained network is run.
_SAMPLES = 64
TRAINED, UNTRAINED = "trained", "untrained"
_FILES = {"training": "train.json", "agreement": "verify.json"}


def silent(arch: str, number: int, total: int) -> None:
    """Say nothing of a network."""


def networks(study: Study, run: Path | None, most: int, told: Told = silent) -> dict[str, dict[str, Any]]:
    """`{arch: what is known of it}` for the front, fittest first; the trained ones stand first.

    Args:
        study: a finished search, or one that still runs.
        run: its folder, in which trained networks are looked up; None for a study in memory.
        most: networks that are run again; the others have their genome and files only.
        told: called before each run with the name, its number and the number of all.

    Raises:
        DataError: the data of the run are gone, or a file of a network is damaged.
    """
    trials = study.front()
    files = {trial.key: _files(run, trial.key) for trial in trials}
    chosen = study.chosen
    trials.sort(key=lambda trial: (not files[trial.key], trial.key != chosen))
    given = setting(study.config) if trials and most else None
    searched = {arch: study.genome(arch) for arch in {short.arch for short in study.shorts()}}
    found: dict[str, dict[str, Any]] = {}
    for number, trial in enumerate(trials):
        views: list[dict[str, Any]] = []
        if given is not None and number < most:
            told(trial.key, number + 1, min(most, len(trials)))
            views = list(_views(study, trial, given, run))
        genome = searched.get(trial.key) or Genome.from_json(trial.measured.genome)
        found[trial.key] = {"genome": genome.to_dict(), "views": views, **files[trial.key]}
    return found


def view(graph: SpikingGraph, run: Run, device: str, chip: str, others: Sequence[str]) -> dict[str, Any]:
    """Layers, energy and cores of one run of a network; figures a sample's.

    Args:
        device: cost model of energy and latency.
        chip: device whose limits bind.
        others: further cost models, for their energy alone.
    """
    import cost_models

    fit = cost_models.check(graph, chip).as_json()
    estimate = cost_models.estimate(graph, run, device)
    cost = {key: item for key, item in estimate.as_json().items() if key not in _OF_THE_DEVICE}
    return {
        "layers": _layers(graph, run, fit),
        "cost": {**cost, "kinds": dict(estimate.kinds)},
        "fit": {key: fit[key] for key in _FIT},
        "energies": _energies(graph, run, others),
    }


# The same for every network; the report has them once.
_OF_THE_DEVICE = ("constants", "sources", "omitted")
_FIT = ("device", "fits", "cores", "binding", "binding_node", "broken", "chip", "populations", "placement")


def _views(study: Study, trial: Trial, given: Setting, run: Path | None) -> Iterator[dict[str, Any]]:
    import cost_models
    from msenas_hw.fitness import fitness
    from msenas_hw.space import own_task

    others = cost_models.energy_devices()
    genome = Genome.from_json(trial.measured.genome)
    task = own_task(genome, given.task)
    searched = fitness(genome, task, given.inputs(genome), draws=1, variant=given.variant)
    told = f"balanced random weights, as the search measured it, on {given.x.shape[1]} training samples"
    yield {
        "state": UNTRAINED,
        "told": told,
        **view(searched.graph, searched.runs[0], given.device, given.chip, others),
    }
    model = None if run is None else run / "artifacts" / trial.key / "model.nir"
    if model is not None and model.is_file():
        graph, measured = _trained(study, model, given, task.steps)
        told = f"trained weights, in the chip's arithmetic, on {measured.samples} test samples"
        yield {"state": TRAINED, "told": told, **view(graph, measured, given.device, given.chip, ())}


def _trained(study: Study, model: Path, given: Setting, steps: int) -> tuple[SpikingGraph, Run]:
    import targets
    from msenas_hw.data import configured
    from msenas_hw.search.remeasure import chip_run

    section = study.config.data
    x, _ = configured(section).inputs("test", section.encoding, steps, _SAMPLES)
    graph = targets.load(model)
    shape = graph.shapes[graph.inputs[0]]
    return graph, chip_run(graph, x.reshape(*x.shape[:2], *shape), given.device)


def _layers(graph: SpikingGraph, run: Run, fit: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a population in the order of execution, the Input first."""
    from cost_models import activity
    from targets.graph.kinds import POPULATION, PORT, kind

    did, rows = activity(graph, run), []
    for name in (name for group in graph.components for name in group):
        node = graph.nodes[name]
        if name not in did.spikes and not isinstance(node, POPULATION):
            continue
        shape = tuple(graph.shapes[name])
        neurons = 1
        for size in shape:
            neurons *= size
        spikes = did.spikes.get(name, 0.0)
        into = [hop for hop in did.hops if hop.target == name]
        rows.append(
            {
                "node": name,
                "kind": kind(node),
                "shape": list(shape),
                "neurons": neurons,
                "spikes": spikes,
                "rate": spikes / (neurons * run.steps),
                "synapses": None if isinstance(node, PORT) else sum(hop.synapses for hop in into),
                "synops": None if isinstance(node, PORT) else sum(hop.synops for hop in into),
                "cores": fit["populations"].get(name, {}).get("cores"),
            }
        )
    return rows


def _energies(graph: SpikingGraph, run: Run, devices: Sequence[str]) -> dict[str, float]:
    """Joules under every cost model that can price the network."""
    import cost_models

    found: dict[str, float] = {}
    for name in devices:
        try:
            found[name] = float(cost_models.estimate(graph, run, name).energy_j)
        except MsenasError:
            # A chip that cannot hold the network has no figure, and is left out of the comparison.
            continue
    return found


def _files(run: Path | None, arch: str) -> dict[str, Any]:
    """What other verbs wrote about a network."""
    found: dict[str, Any] = {}
    for key, name in _FILES.items():
        file = None if run is None else run / "artifacts" / arch / name
        if file is not None and file.is_file():
            found[key] = read_json(file)
    return found


def read_json(file: Path) -> Any:
    """The content of a JSON file; DataError where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: not valid JSON ({error}); remove it and make it again") from None
