"""Successive halving among the front, and the learning rules that it chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cost_models.learning import LearningRow
from msenas_hw.config import Config, parse_config
from msenas_hw.search import Short, Study, resume, search, second_stage
from msenas_hw.search.second_stage import halve
from msenas_hw.space import Task, rules_of
from targets.errors import ConfigError

STAGE = {"candidates": 6, "epochs": [1, 2], "keep": 0.5}
SPACE = {"rules": ["bp", "usf", "dfa"]}


def test_halving_keeps_the_better_share_and_spends_what_it_says() -> None:
    asked: list[tuple[int, int]] = []

    def score(candidate: int, epochs: int) -> tuple[bool, float]:
        asked.append((candidate, epochs))
        return candidate != 7, float(candidate)

    assert halve(range(8), score, [1, 3, 9], 0.5) == [6, 5]
    assert [epochs for _, epochs in asked] == [1] * 8 + [3] * 4 + [9] * 2
    assert {c for c, epochs in asked if epochs == 3} == {3, 4, 5, 6}


def test_ties_keep_their_order() -> None:
    assert halve("abcd", lambda candidate, epochs: (True, 0.5), [1, 2], 0.5) == ["a", "b"]


@pytest.mark.parametrize("epochs", [[2, 1], [1, 1], []])
def test_rungs_must_rise(epochs: list[int]) -> None:
    with pytest.raises(ConfigError, match="second_stage"):
        parse_config({"second_stage": {"epochs": epochs}}, "test")


def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Short trainings that cost nothing: the more layers learn by usf, the better."""
    asked: list[str] = []

    def trained(candidate: Any, rung: int, config: Config, given: Any, data: Any) -> Short:
        asked.append(f"{rung} {candidate.key}")
        share = candidate.key.count("usf") / len(candidate.rules.root)
        text = candidate.genome.to_json()
        return Short(rung, candidate.key, candidate.arch, text, rung + 1, share, True, "", 0.0)

    monkeypatch.setattr(second_stage, "trained", trained)
    return asked


def test_the_winner_is_chosen_with_its_rules(
    quick: None, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = scored(monkeypatch)
    study = search(config(second_stage=STAGE, space=SPACE))

    shorts = study.shorts()
    assert len(asked) == len(set(asked)) == len(shorts) == 6 + 3
    best = max((short for short in shorts if short.rung == 1), key=lambda short: short.accuracy)
    assert study.chosen == best.arch
    task = second_stage_task(study)
    assert rules_of(study.genome("chosen"), task) == rules_of(
        type(study.genome("chosen")).from_json(best.genome), task
    )
    assert "usf" in best.key


def second_stage_task(study: Study) -> Any:
    from msenas_hw.search import setting

    return setting(study.config).task


def test_a_stage_that_was_interrupted_trains_only_what_is_missing(
    quick: None, config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    experiment = config(second_stage=STAGE, space=SPACE)
    scored(monkeypatch)
    whole = search(experiment, tmp_path / "whole").shorts()

    class KilledError(Exception):
        pass

    def told(short: Short, total: int) -> None:
        count.append(short.key)
        if len(count) == 4:
            raise KilledError

    count: list[str] = []
    first = scored(monkeypatch)
    with pytest.raises(KilledError):
        search(experiment, tmp_path / "cut", told=told)
    second = scored(monkeypatch)
    study = resume(tmp_path / "cut")

    assert len(first) == 4
    assert len(second) == len(whole) - 4
    assert study.shorts() == whole


def test_two_stages_of_a_real_search_train_and_choose(tmp_path: Path) -> None:
    experiment = parse_config(
        {
            "data": {"samples": 8, "steps": 3, "train_samples": 60, "validation": 1200},
            "space": {"cells": [1, 1], "widths": [4], "rules": ["bp", "usf", "dfa", "frozen"]},
            "search": {"population": 4, "generations": 1},
            "second_stage": {"candidates": 3, "epochs": [1, 2], "keep": 0.4},
            "training": {"batch": 30},
        },
        "test",
    )
    study = search(experiment, tmp_path / "run")
    shorts = study.shorts()
    assert [short.rung for short in shorts] == [0, 0, 0, 1, 1]
    assert all(0 < short.accuracy < 1 and not short.failure for short in shorts)
    assert study.chosen in {short.arch for short in shorts if short.rung == 1}


def test_rules_that_suit_no_network_are_refused_before_anything_is_evaluated(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msenas_hw.search.engine.Engine.run", None)
    with pytest.raises(ConfigError, match=r"learns_on = 'loihi2'.*'readout'.*IF.*; leave learns_on out"):
        search(config(second_stage={**STAGE, "learns_on": "loihi2"}, space={"rules": ["frozen", "bp+trace"]}))
    with pytest.raises(ConfigError, match=r"'cell1.A' does not learn by bp\+dfa.*Conv2d.*, nor do .*readout"):
        search(config(second_stage={**STAGE, "learns_on": "loihi2"}, space={"rules": ["dfa"]}))


def test_on_chip_rules_pass_where_a_network_can_learn_by_them(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with frozen cells below a readout that could: the check then asks no more."""
    asked = []

    def learns(graph: Any, rules: dict[str, str], device: str) -> tuple[Any, ...]:
        asked.append(rules)
        rows = [
            LearningRow(name, rule, "frozen" in rule or name == "readout", "no")
            for name, rule in rules.items()
        ]
        return tuple(rows)

    monkeypatch.setattr(second_stage, "check_learning", learns)
    experiment = config(
        second_stage={**STAGE, "learns_on": "loihi2"}, space={"rules": ["bp+trace", "frozen"]}
    )
    second_stage.require_rules(experiment, Task((1, 8, 8), 10, 4))
    assert [set(rules.values()) for rules in asked][-1] == {"bp+frozen", "bp+trace"}
    assert len(asked) == 3
