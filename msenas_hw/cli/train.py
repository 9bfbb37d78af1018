"""`msenas train`"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Format, Output, Run
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from msenas_hw.config import Config
    from msenas_hw.data import Dataset
    from msenas_hw.training import Excess, Trained
    from targets.graph.graph import SpikingGraph

OVER_BUDGET = 3


def train(
    run: Run,
    arch: Annotated[
        str, typer.Option("--arch", help="Architecture of the front, or chosen.", show_default=False)
    ],
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", min=1, help="Train seeds 0 to N - 1 instead of training.seeds.", show_default=False
        ),
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Train a network of a run; writes model.nir and train.json, exit code 3 where it is over budget."""
    import targets
    from msenas_hw.data import load
    from msenas_hw.search import Study, open_run, setting
    from msenas_hw.training.initial import initial

    folder, study = open_run(run), Study.open(run)
    config, name = folder.config, study.find(arch).key
    section = config.data
    data = load(section.name, validation=section.validation, recorded=section.encoding == "events")
    wanted = tuple(range(seeds)) if seeds else config.training.seeds
    given = setting(config)
    # What would fail after hours of training fails now.
    for part in ("train", "validation", "test"):
        data.inputs(part, section.encoding, section.steps, 1)
    place = folder.artifacts(name)
    place.mkdir(parents=True, exist_ok=True)
    TemporaryFile(dir=place).close()
    trained, rows = [], []
    for seed in wanted:
        graph, draw = initial(study.genome(name), given, seed)
        trained.append(_trained(graph, data, config, seed))
        rows.append(_row(trained[-1], draw, data, config))
    # Chosen on validation figures alone; the rows hold those of the test part.
    best = max(range(len(trained)), key=lambda i: (trained[i].within_budget, trained[i].validation_accuracy))
    targets.save(trained[best].graph, place / "model.nir")
    report = {"arch": name, "model": str(place / "model.nir"), "kept": rows[best]["seed"], "runs": rows}
    _write(place / "train.json", report)
    emit(form, report, rows)
    say(f"wrote {place / 'model.nir'} (seed {rows[best]['seed']})")
    if not rows[best]["within_budget"]:
        say(f"error: network {name} is over budget once trained: {_over(rows[best], config)}")
        raise typer.Exit(OVER_BUDGET)


def _trained(initial: SpikingGraph, data: Dataset, config: Config, seed: int) -> Trained:
    from msenas_hw.search.remeasure import figures
    from msenas_hw.training import train as fit

    section, budget = config.data, config.budget
    sample, _ = data.inputs("validation", section.encoding, section.steps, section.samples)

    def excess(graph: SpikingGraph) -> Excess:
        return figures(graph, sample, budget).excess(budget)

    return fit(
        initial,
        data,
        section.encoding,
        section.steps,
        config.training,
        seed,
        excess if budget.limits else None,
        lambda epoch: say(
            f"seed {seed} epoch {epoch.number + 1}/{config.training.epochs}: loss {epoch.loss:.4f}, "
            f"validation {epoch.validation_accuracy:.4f}, spikes {epoch.spikes:.0f}"
        ),
    )


def _row(trained: Trained, draw: int, data: Dataset, config: Config) -> dict[str, Any]:
    """A run's figures; accuracy and costs are those of the test part, read here for the only time."""
    import targets
    from msenas_hw.search.remeasure import figures

    section = config.data
    x, labels = data.inputs("test", section.encoding, section.steps)
    run = targets.compile(trained.graph, "reference").run(x)
    found = figures(trained.graph, x, config.budget)
    return {
        "seed": trained.seed,
        "draw": draw,
        "validation_accuracy": trained.validation_accuracy,
        "test_accuracy": float((run.classes() == labels).mean()),
        "energy_j": found.energy_j,
        "latency_s": found.latency_s,
        "spikes": found.spikes,
        "synops": found.synops,
        "cores": found.cores,
        "parameters": found.parameters,
        "within_budget": found.within(config.budget),
    }


def _over(row: dict[str, Any], config: Config) -> str:
    broken = [
        f"{key} found {row[key]:.4g}, allowed {limit:.4g}"
        for key, limit in config.budget.limits.items()
        if row[key] > limit
    ]
    return "; ".join(broken) or f"it does not fit {config.budget.fits_on}"


def _write(path: Path, report: dict[str, Any]) -> None:
    from targets.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
