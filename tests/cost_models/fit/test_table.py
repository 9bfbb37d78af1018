"""The page of rules is that of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_models.fit.table import RULES, markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rules.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == markdown(), "run: python -m cost_models.fit.table > docs/rules.md"


@pytest.mark.parametrize("chip", RULES)
def test_every_rule_says_what_it_demands(chip):
    names = [rule.__name__ for rule in RULES[chip]]
    assert len(set(names)) == len(names)
    for rule in RULES[chip]:
        assert rule.__doc__
        assert rule.__doc__.rstrip().endswith(".")
