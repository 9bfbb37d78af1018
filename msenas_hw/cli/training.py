"""What `msenas train` does: the seeds of one network, their checkpoints, figures and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import targets
from msenas_hw.cli.inputs import recorded_steps
from msenas_hw.cli.options import read_model
from msenas_hw.cli.output import say
from msenas_hw.cli.train_progress import Follower, following
from msenas_hw.config import Config, load_config
from msenas_hw.data import Dataset, configured
from msenas_hw.report.card import write_cards
from msenas_hw.search import Setting, Study, open_run, setting
from msenas_hw.search.devices import structure
from msenas_hw.search.remeasure import Figures, binds, figures
from msenas_hw.space import Genome, decode, own_task, rules_of
from msenas_hw.space.genome import BACKPROPAGATION
from msenas_hw.space.notes import encoding_of, steps_of, with_input
from msenas_hw.training import Checkpoint, Excess, Observer, Trained, train
from msenas_hw.training.initial import initial, redrawn
from msenas_hw.training.rules import Rules
from msenas_hw.training.samples import Samples, evaluate
from targets.errors import ConfigError, DataError, DoesNotFitError, UnsupportedNodeError
from targets.files import replacing
from targets.graph.graph import SpikingGraph

# Test samples on which costs are measured, at most; accuracies take all of them.
_COSTED = 1000
# Sections that a training may change.
_CHANGED = ("training", "data")
_COSTS = ("energy_j", "latency_s", "spikes", "synops", "cores", "memory", "parameters", "devices")


@dataclass(frozen=True, eq=False)
class Job:
    """A network to train.

    Attributes:
        name: what reports call it.
        place: folder of the results and checkpoints.
        initial: `(untrained network, weight draw)` of a seed; the draw is None where nothing is drawn.
        budgeted: whether the chip and the budget bind.
        told: what train.json says besides.
        run: folder of the run whose model cards follow the results; None where none do.
        loaded: whether the first weights are a file's, so that the chip must hold them as they are; the
            weights of an untrained network need not.
    """

    name: str
    place: Path
    config: Config
    data: Dataset
    initial: Callable[[int], tuple[SpikingGraph, int | None]]
    budgeted: bool = True
    told: Mapping[str, Any] = field(default_factory=dict)
    loaded: bool = False
    run: Path | None = None


@dataclass(frozen=True)
class Report:
    """What a job gave: `table` is train.json, `kept` its row that was kept, `over` what breaks the budget."""

    table: Mapping[str, Any]
    kept: Mapping[str, Any]
    over: str


def job_of_run(run: Path, arch: str | None, changes: Sequence[str]) -> Job:
    """The job for an architecture of a run folder.

    With other data than those of the search, the same genome is drawn for their shape and classes, and what
    it becomes stands in a folder of its own below the architecture's.
    """
    folder, study = open_run(run), Study.open(run)
    if arch is None:
        raise ConfigError(f"{run}: give --arch ID, from msenas front {run}, or --arch chosen")
    outside = [change for change in changes if change.strip().partition(".")[0] not in _CHANGED]
    if outside:
        raise ConfigError(
            f"--set {outside[0]}: allowed {' or '.join(f'{name}.KEY=VALUE' for name in _CHANGED)}; "
            "the run fixes all else"
        )
    config, name = load_config(folder.config, changes), study.find(arch).key
    given, genome = setting(config), study.genome(name)
    config = _with_data_keys(config, steps=own_task(genome, given.task).steps)
    data, place, told = _loaded(config), folder.artifacts(name), {}
    transferred = _source(config) != _source(folder.config)
    if transferred:
        place = place / f"on-{Path(config.data.name).stem}"
        told = {"searched_on": folder.config.data.name, "data": config.data.model_dump(mode="json")}
        _require_fit(name, genome, given, config.data.name)
    if not config.training.rules.root:
        config = _with_rules(config, rules_of(genome, given.task))
    begin = partial(initial, genome, given)
    return Job(name, place, config, data, begin, told=told, run=None if transferred else run)


def _require_fit(name: str, genome: Genome, given: Setting, data: str) -> None:
    """Refuse a network that breaks rules of the chips in the shape of other data; no training mends that."""
    found = structure(decode(genome, given.task), given.chip, given.others)
    chips = {given.chip: found["broken"]} | {one: own["broken"] for one, own in found["devices"].items()}
    for chip, broken in chips.items():
        if broken:
            rule, more = broken[0], f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise DoesNotFitError(
                f"architecture {name} on data {data!r} does not fit {chip}: node {rule['node']!r}: "
                f"{rule['rule']}: found {rule['found']}, allowed {rule['allowed']}{more}; choose a smaller "
                "network of the front, or data with fewer pixels"
            )


def _source(config: Config) -> Mapping[str, Any]:
    """The data of a configuration; their steps are the genome's."""
    return config.data.model_dump(exclude={"steps"})


def job_of_model(
    model: Path,
    config: Path | None,
    changes: Sequence[str],
    data: str | None,
    encoding: str | None,
    steps: int | None,
    profile: list[str] | None,
    output: Path | None,
    from_scratch: bool,
) -> Job:
    """The job for any network in NIR.

    Raises:
        ConfigError: the data are not given, or the output would replace the model.
    """
    graph = read_model(model, profile)
    graph.require_dt("train")
    given = load_config(config, changes)
    resolved = _with_data(given, graph, data, encoding, steps)
    place = output or Path("runs") / f"train-{model.stem}"
    if (place / "model.nir").resolve() == model.resolve():
        raise ConfigError(f"--output {place}: would replace {model}; choose another folder")
    found = _loaded(resolved)
    section, shape = resolved.data, graph.shapes[graph.inputs[0]]

    def begin(seed: int) -> tuple[SpikingGraph, int | None]:
        if not from_scratch:
            return graph, None
        few = Samples.of(found, "train", section.encoding, section.steps, shape).first(section.samples)
        return redrawn(graph, few, seed)

    told: dict[str, Any] = {"source": str(model), "data": section.model_dump(mode="json", exclude_none=True)}
    if not from_scratch:
        checked = Samples.of(found, "validation", section.encoding, section.steps, shape)
        told["validation_accuracy_before"] = evaluate(graph, checked).accuracy
        say(f"validation before training: {told['validation_accuracy_before']:.4f}")
    budgeted = "budget" in given.model_fields_set
    return Job(model.stem, place, resolved, found, begin, budgeted, told, loaded=not from_scratch)


def conduct(job: Job, seeds: int | None, restart: bool) -> Report:
    """Train every seed, keep the best by validation, write the files.

    An interrupted job continues from its checkpoints; they go once the results are written.
    """
    checkpoints = job.place / "checkpoints"
    wanted = tuple(range(seeds)) if seeds else job.config.training.seeds
    first = job.initial(wanted[0])  # what cannot begin leaves no folder behind
    job.place.mkdir(parents=True, exist_ok=True)
    # What would fail after hours of training fails now.
    TemporaryFile(dir=job.place).close()
    if restart:
        shutil.rmtree(checkpoints, ignore_errors=True)
    trained, rows, rules = [], [], job.config.training.rules.model_dump(mode="json")
    with following(job.place / "metrics.jsonl", wanted, job.config.training.epochs) as follower:
        for seed in wanted:
            graph, draw = first if seed == wanted[0] else job.initial(seed)
            file = Checkpoint(checkpoints / f"seed{seed}.safetensors", _settings(job))
            trained.append(_trained(job, graph, seed, file, follower))
            rows.append(_row(job, trained[-1], draw))
    # Chosen on validation figures alone; the rows hold those of the test part.
    best = max(range(len(trained)), key=lambda i: (trained[i].within_budget, trained[i].validation_accuracy))
    model = job.place / "model.nir"
    section = job.config.data
    targets.save(with_input(trained[best].graph, section.encoding, section.steps), model)
    told = {
        "steps": section.steps,
        "encoding": section.encoding,
        **({"rules": rules} if rules else {}),
        **job.told,
    }
    table = {"arch": job.name, "model": str(model), "kept": rows[best]["seed"], **told, "runs": rows}
    with replacing(job.place / "train.json") as temporary:
        temporary.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(checkpoints, ignore_errors=True)
    if job.run is not None:
        write_cards(job.run)
    over = "" if rows[best]["within_budget"] is not False else _over(rows[best], job.config)
    return Report(table, rows[best], over)


def _with_data(
    config: Config, graph: SpikingGraph, data: str | None, encoding: str | None, steps: int | None
) -> Config:
    """`config` with the data of the command line.

    An NPZ of recordings says its encoding and steps itself; a network may say those that it was trained on.
    """
    section = config.data
    if data is None and "name" not in section.model_fields_set:
        raise ConfigError("train: no data; give --data NAME|FILE.npz, or data.name in the configuration")
    name = data or section.name
    recorded = recorded_steps(name, graph.shapes[graph.inputs[0]])
    if recorded and "encoding" not in section.model_fields_set:
        encoding = encoding or "events"
        steps = steps or (None if "steps" in section.model_fields_set else recorded)
    elif not recorded and "encoding" not in section.model_fields_set:
        encoding = encoding or encoding_of(graph)
    if "steps" not in section.model_fields_set:
        steps = steps or steps_of(graph)
    return _with_data_keys(config, name=name, encoding=encoding, steps=steps)


def _with_data_keys(config: Config, **given: str | int | None) -> Config:
    """`config` with keys of its section `[data]` replaced where they are given."""
    return load_config(config, [f"data.{key}={value}" for key, value in given.items() if value is not None])


def _with_rules(config: Config, rules: Mapping[str, str]) -> Config:
    """`config` with the learning rules that a search chose, where they are more than back-propagation."""
    if set(rules.values()) <= {BACKPROPAGATION}:
        return config
    training = config.training.model_copy(update={"rules": Rules.model_validate(dict(rules))})
    return config.model_copy(update={"training": training})


def _loaded(config: Config) -> Dataset:
    """The data of a configuration, every part tried on one sample."""
    section = config.data
    data = configured(section)
    for part in ("train", "validation", "test"):
        data.inputs(part, section.encoding, section.steps, 1)
    return data


def _settings(job: Job) -> dict[str, Any]:
    """What a result depends on besides what the trainer adds."""
    binding = job.config.budget.model_dump(mode="json") if binds(job.config.budget) else {}
    return {
        **{f"budget.{key}": value for key, value in binding.items() if value is not None},
        "data.samples": job.config.data.samples,
    }


def _trained(job: Job, graph: SpikingGraph, seed: int, checkpoint: Checkpoint, follower: Follower) -> Trained:
    """Train one seed; a network whose costs cannot be told on a chip that binds is refused before."""
    section, budget = job.config.data, job.config.budget
    shape = graph.shapes[graph.inputs[0]]
    sample = Samples.of(job.data, "validation", section.encoding, section.steps, shape).first(section.samples)

    def excess(graph: SpikingGraph) -> Excess:
        return figures(graph, sample, budget).excess(budget)

    if job.budgeted and job.loaded:
        figures(graph, sample[:, :1], budget)

    return train(
        graph,
        job.data,
        section.encoding,
        section.steps,
        job.config.training,
        seed,
        excess if binds(budget) else None,
        Observer(
            lambda done, total: follower.batch(seed, done, total),
            lambda epoch: follower.epoch(seed, epoch),
            lambda epochs: follower.resumed(seed, epochs),
        ),
        checkpoint,
    )


def _row(job: Job, trained: Trained, draw: int | None) -> dict[str, Any]:
    """A run's figures; accuracy and costs are those of the test part, read here for the only time."""
    section = job.config.data
    shape = trained.graph.shapes[trained.graph.inputs[0]]
    test = Samples.of(job.data, "test", section.encoding, section.steps, shape)
    found = _figures(job, trained.graph, test)
    costs = dict.fromkeys(_COSTS) if found is None else {key: getattr(found, key) for key in _COSTS}
    binds = found is not None and job.budgeted
    return {
        "seed": trained.seed,
        "draw": draw,
        "validation_accuracy": trained.validation_accuracy,
        "test_accuracy": evaluate(trained.graph, test).accuracy,
        "accuracy_fixed": _accuracy_fixed(job, trained.graph, test),
        **costs,
        "within_budget": found.within(job.config.budget) if found is not None and binds else None,
    }


def _figures(job: Job, graph: SpikingGraph, test: Samples) -> Figures | None:
    """Costs on the chip of the budget; None where no budget binds and the chip cannot run the network."""
    try:
        return figures(graph, test.first(_COSTED), job.config.budget)
    except (UnsupportedNodeError, DataError) as error:
        if job.budgeted:
            raise
        say(f"no costs on {job.config.budget.device}: {error}")
        return None


def _accuracy_fixed(job: Job, graph: SpikingGraph, test: Samples) -> float | None:
    """Accuracy in the fixed point of a Loihi core, None where it cannot hold the network or the input."""
    try:
        return evaluate(graph, test, "loihi").accuracy
    except (UnsupportedNodeError, DataError) as error:
        say(f"no fixed-point accuracy: {error}")
        return None


def _over(row: Mapping[str, Any], config: Config) -> str:
    budget = config.budget
    limited = [("", row, budget.limits)]
    limited += [(f" on {name}", row["devices"][name], own.limits) for name, own in budget.devices.items()]
    broken = [
        f"{key}{where} found {found[key]:.4g}, allowed {limit:.4g}"
        for where, found, limits in limited
        for key, limit in limits.items()
        if found[key] > limit
    ]
    return "; ".join(broken) or f"it does not fit {', '.join([budget.fits_on, *budget.devices])}"
