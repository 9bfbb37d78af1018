"""`msenas check`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from msenas_hw.cli.options import Format, Model, Output, Profile, read_model
from msenas_hw.cli.output import emit, say

if TYPE_CHECKING:
    from cost_models import FitReport
    from cost_models.learning import LearningRow
    from targets.graph.graph import SpikingGraph

DOES_NOT_FIT = 3


def check(
    model: Model,
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="NAME|FILE.toml", help="Chip, see msenas devices.", show_default=False
        ),
    ],
    weight_bits: Annotated[
        int | None,
        typer.Option(
            "--weight-bits",
            min=1,
            max=8,
            help="Width that weights are stored with; by default what the network names, else 8.",
            show_default=False,
        ),
    ] = None,
    graded: Annotated[
        bool, typer.Option("--graded", help="The Inputs carry values rather than spikes.")
    ] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="LAYER=WORDS",
            help="Learning rule of a population, or of `default`, such as dfa+trace: can the chip run it?",
            show_default=False,
        ),
    ] = None,
    profile: Profile = None,
    form: Output = Format.TABLE,
) -> None:
    """Check a network against the limits of a chip; exit code 3 where it does not fit."""
    import cost_models

    graph = read_model(model, profile)
    report = cost_models.check(graph, device, weight_bits, graded)
    learning = [vars(row) for row in _learning(graph, rule or [], device)]
    emit(form, {**report.as_json(), **({"learning": learning} if rule else {})}, *_tables(report), learning)
    unlearnt = [row["layer"] for row in learning if not row["fits"]]
    if report.broken:
        say(f"error: {len(report.demands)} rules of {report.device} are broken")
    if unlearnt:
        say(f"error: {report.device} cannot run the learning rules of {', '.join(unlearnt)}")
    if report.broken or unlearnt:
        raise typer.Exit(DOES_NOT_FIT)


def _learning(graph: SpikingGraph, given: list[str], device: str) -> tuple[LearningRow, ...]:
    """Whether the chip can run each layer's learning rule; none where no rule is given."""
    from cost_models.learning import check_learning
    from msenas_hw.training.rules import Rules, canonical
    from targets.errors import ConfigError

    if not given:
        return ()
    wrong = [text for text in given if not all(text.partition("="))]
    if wrong:
        raise ConfigError(f"--rule {wrong[0]!r}: allowed LAYER=WORDS, such as default=dfa+trace")
    rules = canonical(graph, Rules.model_validate(dict(text.split("=", 1) for text in given)))
    return check_learning(graph, {name: str(rule) for name, rule in rules.named.items()}, device)


def _tables(report: FitReport) -> list[list[dict[str, Any]]]:
    head = {
        "device": report.device,
        "fits": report.fits,
        "cores": report.cores,
        "binding": report.binding,
        "at": report.binding_node or None,
    }
    broken = [found.as_json() for found in report.broken]
    demands = [{"rule": rule, "demands": text} for rule, text in report.demands.items()]
    chip = [
        {"of the chip": key, "used": use.most, "allowed": use.allowed, "share": _percent(use.share)}
        for key, use in report.chip_use.items()
    ]
    figures = [{"figure": key, "value": value} for key, value in report.figures.items()]
    unchecked = [{"not checked": text} for text in report.unchecked]
    return [[head], broken, demands, _populations(report), chip, figures, unchecked]


def _populations(report: FitReport) -> list[dict[str, Any]]:
    """A row a population: its cores, and how full the fullest of them is."""
    on: dict[str, list[int]] = {}
    for part in report.placement:
        on.setdefault(part.population, []).append(part.core)
    resources = list(dict.fromkeys(key for use in report.use.values() for key in use))
    return [
        {
            "population": name,
            "cores": cores,
            "on": _range(on.get(name, [])),
            **{key: _fill(report, name, key) for key in resources},
        }
        for name, cores in report.population_cores.items()
    ]


def _fill(report: FitReport, name: str, resource: str) -> str | None:
    use = report.use[name].get(resource)
    return None if use is None else f"{use.most}/{use.allowed} {_percent(use.share)}"


def _range(cores: list[int]) -> str | None:
    if not cores:
        return None
    return str(cores[0]) if len(cores) == 1 else f"{min(cores)}-{max(cores)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
