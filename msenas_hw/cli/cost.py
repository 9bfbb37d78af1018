"""`msenas cost`"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Data, Encoding, Format, Output, Profile, Samples, Split, Steps, read_model
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from cost_models import Estimate
    from targets.graph.graph import SpikingGraph
    from targets.run import Run

Found = dict[str, list["Estimate"]]


def cost(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL.nir|RUN...",
            help="Networks in NIR; or run folders, whose fronts are costed.",
            show_default=False,
        ),
    ],
    device: Annotated[
        list[str],
        typer.Option(
            "--device", help="Cost model or TOML file, may stand several times.", show_default=False
        ),
    ],
    data: Data = None,
    encoding: Encoding = None,
    steps: Steps = None,
    split: Split = "test",
    samples: Samples = 20,
    profile: Profile = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples that a GPU runs at once.")] = 1,
    form: Output = Format.TABLE,
) -> None:
    """Estimate energy and latency of a sample, from the spikes of real input.

    Several networks and several devices: also how far the cost models agree on their order (Kendall's tau).
    """
    import cost_models
    from msenas_hw.cli.inputs import read_inputs
    from msenas_hw.search.remeasure import chip_run, target_of

    found: Found = {}
    for path in models:
        if path.is_dir():
            for arch, graph, run in _front(path):
                found[arch] = [cost_models.estimate(graph, run, name, batch=batch) for name in device]
            continue
        graph = read_model(path, profile)
        given = read_inputs(path, graph, data, encoding, steps, split, samples)
        one_each = {target_of(name): name for name in device}
        runs = {target: chip_run(graph, given.x, name) for target, name in one_each.items()}
        found[str(path)] = [
            cost_models.estimate(graph, runs[target_of(name)], name, batch=batch) for name in device
        ]
    _show(form, found, _agreement(found, device))


def _front(run: Path) -> Iterator[tuple[str, SpikingGraph, Run]]:
    """Every network on the front of a run, with the run of its balanced weights that the search measured."""
    from msenas_hw.fitness import fitness
    from msenas_hw.search import Study
    from msenas_hw.search.evaluation import setting
    from msenas_hw.space import Genome, own_task
    from targets.errors import BudgetError

    study = Study.open(run)
    trials = study.front()
    if not trials:
        raise BudgetError(f"{run}: no network of this run is inside the budget, so there is none to cost")
    given = setting(study.config)
    for trial in trials:
        genome = Genome.from_json(trial.measured.genome)
        task = own_task(genome, given.task)
        measured = fitness(genome, task, given.inputs(genome), draws=given.draws)
        yield trial.key, measured.graph, measured.runs[0]


def _agreement(found: Found, device: Sequence[str]) -> dict[tuple[str, str], float | None]:
    """Kendall's tau of every pair of devices over the networks; empty where there is nothing to rank."""
    import cost_models

    if len(found) < 2 or len(device) < 2:
        return {}
    return cost_models.agreement(_energies(found))


def _energies(found: Found) -> dict[str, list[float]]:
    columns = zip(*found.values(), strict=True)
    return {column[0].device: [one.energy_j for one in column] for column in columns}


def _show(form: Format, found: Found, taus: dict[tuple[str, str], float | None]) -> None:
    data = [
        {"model": model, **one.as_json(), **_ranks(one.device, taus)}
        for model, estimates in found.items()
        for one in estimates
    ]
    named = [(model, one) for model, estimates in found.items() for one in estimates]
    first = next(iter(found.values()))
    emit(
        form,
        data,
        [_total(model, one) for model, one in named],
        [_kinds(model, one) for model, one in named],
        [row for one in first for row in _terms(one)] if len(found) == 1 else [],
        [row for one in first for row in _constants(one)],
        [{"device": a, "and": b, "kendall_tau": tau} for (a, b), tau in taus.items()],
    )
    if taus:
        _say_winners(found)
    for said in dict.fromkeys(
        f"{one.device} leaves out: {text}"
        for estimates in found.values()
        for one in estimates
        for text in one.omitted
    ):
        say(said)


def _ranks(device: str, taus: dict[tuple[str, str], float | None]) -> dict[str, Any]:
    """Tau of one device with every other."""
    if not taus:
        return {}
    others = {(set(pair) - {device}).pop(): tau for pair, tau in taus.items() if device in pair}
    return {"kendall_tau": others}


def _say_winners(found: Found) -> None:
    import cost_models

    names, energies = list(found), _energies(found)
    for device, index in cost_models.winners(energies).items():
        say(f"{device}: {names[index]} takes the least energy")
    robust = [names[index] for index in cost_models.robust_front(energies)]
    say(f"least under every device: {', '.join(robust) or 'none'}")


def _total(model: str, one: Estimate) -> dict[str, Any]:
    low, high = one.energy_band_j
    return {
        "model": model,
        "device": one.device,
        "energy_j": one.energy_j,
        "low_j": low,
        "high_j": high,
        "latency_s": one.latency_s,
        "spikes": one.spikes,
        "synops": one.synops,
    }


def _kinds(model: str, one: Estimate) -> dict[str, Any]:
    """Joules of each kind of term; a kind that the model does not price has none."""
    joules = {f"{kind}_j": value for kind, value in one.by_kind.items()}
    return {"model": model, "device": one.device, **joules, "figures": one.figures or None}


def _terms(one: Estimate) -> list[dict[str, Any]]:
    return [
        {"device": one.device, "pays_for": one.kinds[name], "term": name, "energy_j": joules}
        for name, joules in one.terms.items()
    ]


def _constants(one: Estimate) -> list[dict[str, Any]]:
    return [
        {
            "device": one.device,
            "constant": name,
            "value": constant.value,
            "unit": constant.unit,
            "grade": constant.grade,
            "scope": constant.scope,
            "source": constant.source,
        }
        for name, constant in one.constants.items()
    ]
