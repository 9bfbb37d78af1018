"""Second stage of a search: successive halving by short training on the validation part.

The training-free fitness cannot see learning rules, so they are chosen here: networks of the front, some
with their rules drawn anew, train for a few epochs; the better share trains again for longer, and so
on. The test part is never read. Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification
and Hyperparameter Optimization", AISTATS 2016.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np

from cost_models.learning import check_learning
from msenas_hw.config import Config
from msenas_hw.data import Dataset
from msenas_hw.search.cheapest import cheapest
from msenas_hw.search.evaluation import Setting
from msenas_hw.search.store import Short, Store, Trial
from msenas_hw.space import Genome, SpaceConfig, Task, decode, own_task, rules_of, vary_rules, with_rules
from msenas_hw.training.rules import Rules, canonical
from targets.errors import ConfigError, MsenasError

Item = TypeVar("Item")
Told = Callable[[Short, int], None]
_STREAM = 7
_ATTEMPTS = 20


@dataclass(frozen=True)
class Candidate:
    """An architecture with learning rules.

    Attributes:
        key: equal for assignments that train alike.
        rules: canonical.
    """

    key: str
    arch: str
    genome: Genome
    rules: Rules


def halve(
    candidates: Sequence[Item],
    score: Callable[[Item, int], tuple[bool, float]],
    epochs: Sequence[int],
    keep: float,
) -> list[Item]:
    """The candidates that are left after the last rung, best first.

    Args:
        score: rank of a candidate after so many epochs; larger is better, ties keep their order.
        epochs: of each rung.
        keep: share of the candidates that goes on to the next rung, rounded up.
    """
    left = list(candidates)
    for rung, passes in enumerate(epochs):
        scores = [score(candidate, passes) for candidate in left]
        order = sorted(range(len(left)), key=lambda i: scores[i], reverse=True)
        count = len(left) if rung == len(epochs) - 1 else math.ceil(keep * len(left))
        left = [left[i] for i in order[:count]]
    return left


def require_rules(config: Config, task: Task) -> None:
    """Refuse rules that suit no network of the space, before anything is evaluated.

    What suits a layer depends on its neurons and on the kind of the synapses into it, so one small network
    of each neuron model and motif stands for all; its cells learn by one rule, the readout by one.

    Raises:
        ConfigError: no rules of `space.rules` suit any of them, with the reasons of the nearest.
    """
    if not config.second_stage.candidates:
        return
    reasons = []
    for genome in _kinds(config.space, task):
        for cells, readout in product(config.space.rules, repeat=2):
            try:
                _candidate(with_rules(genome, cells, readout), "", config, task)
            except ConfigError as error:
                reasons.append(str(error))
            else:
                return
    chip, asked = config.second_stage.learns_on, list(config.space.rules)
    where, advice = (
        (f".learns_on = {chip!r}", "leave learns_on out, so that networks learn elsewhere")
        if chip
        else ("", "give other rules")
    )
    raise ConfigError(
        f"second_stage{where}: space.rules = {asked} suit no network of [space]: {min(reasons, key=len)}; "
        f"{advice}"
    )


def _kinds(space: SpaceConfig, task: Task) -> Iterator[Genome]:
    for model, motif in product(space.models, space.motifs):
        yield next(cheapest(space.model_copy(update={"motifs": (motif,)}), task, model, min(space.widths)))


def drawn(front: Sequence[Trial], config: Config, task: Task) -> list[Candidate]:
    """The candidates: the fittest of the front with the rules of their genes, then with rules drawn anew.

    Raises:
        ConfigError: no rules of `space.rules` suit any network of the front, with one reason.
    """
    genomes = [Genome.from_json(trial.measured.genome) for trial in front]
    found: dict[str, Candidate] = {}
    reason = ""
    for index in range(config.second_stage.candidates):
        genome = genomes[index % len(genomes)]
        rng = np.random.default_rng([config.search.seed, _STREAM, index])
        for attempt in range(_ATTEMPTS):
            given = index < len(genomes) and attempt == 0
            varied = genome if given else vary_rules(genome, rng, config.space)
            try:
                candidate = _candidate(varied, front[index % len(front)].key, config, task)
            except ConfigError as error:  # rules that do not suit this network, so draw others
                reason = str(error)
                continue
            if candidate.key not in found:
                found[candidate.key] = candidate
                break
    if config.second_stage.candidates and not found:
        raise ConfigError(f"second_stage: no rules of space.rules suit a network of the front; {reason}")
    return list(found.values())


def _candidate(genome: Genome, arch: str, config: Config, task: Task) -> Candidate:
    graph = decode(genome, task)
    rules = canonical(graph, Rules.model_validate(rules_of(genome, task)))
    if config.second_stage.learns_on is not None:
        texts = {name: str(rule) for name, rule in rules.named.items()}
        rows = check_learning(graph, texts, config.second_stage.learns_on)
        unfit = [row for row in rows if not row.fits]
        if unfit:
            others = f", nor do {', '.join(row.layer for row in unfit[1:])} by theirs" if unfit[1:] else ""
            raise ConfigError(
                f"layer {unfit[0].layer!r} does not learn by {unfit[0].rule}: {unfit[0].why}{others}"
            )
    return Candidate(f"{arch} {rules.model_dump_json()}", arch, genome, rules)


def run(
    config: Config, given: Setting, data: Dataset, front: Sequence[Trial], store: Store, told: Told
) -> list[Candidate]:
    """Train and halve until the last rung; rungs that `store` holds are not trained again.

    Args:
        told: called after each short training, with the number of all that there will be.
    """
    stage, known = config.second_stage, {(short.rung, short.key): short for short in store.shorts()}
    candidates = drawn(front, config, given.task)
    counts = [math.ceil(len(candidates) * stage.keep**rung) for rung in range(len(stage.epochs))]

    def score(candidate: Candidate, passes: int) -> tuple[bool, float]:
        rung = stage.epochs.index(passes)
        short = known.get((rung, candidate.key))
        if short is None:
            short = trained(candidate, rung, config, given, data)
            store.add_short(short)
        told(short, sum(counts))
        return short.rank

    return halve(candidates, score, stage.epochs, stage.keep)


def trained(candidate: Candidate, rung: int, config: Config, given: Setting, data: Dataset) -> Short:
    """One short training; what cannot be trained is recorded with its reason and ranks last."""
    from msenas_hw.search.remeasure import binds, figures
    from msenas_hw.training import Excess, train
    from msenas_hw.training.initial import initial
    from targets.graph.graph import SpikingGraph

    section, budget, passes = config.data, config.budget, config.second_stage.epochs[rung]
    settings = config.training.model_copy(
        update={"epochs": passes, "rules": candidate.rules, "patience": None}
    )
    steps = own_task(candidate.genome, given.task).steps
    sample, _ = data.inputs("validation", section.encoding, steps, section.samples)

    def excess(graph: SpikingGraph) -> Excess:
        return figures(graph, sample, budget).excess(budget)

    begin, failure, accuracy, within = time.perf_counter(), "", 0.0, False
    seed = settings.seeds[0]
    try:
        graph, _ = initial(candidate.genome, given, seed)
        limits = excess if binds(budget) else None
        found = train(graph, data, section.encoding, steps, settings, seed, limits)
        accuracy, within = found.validation_accuracy, found.within_budget
    except MsenasError as error:
        failure = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - begin
    text = candidate.genome.to_json()
    return Short(rung, candidate.key, candidate.arch, text, passes, accuracy, within, failure, seconds)
