"""Pages that are made from the code are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_models import table as devices
from msenas_hw.data import augmentation
from msenas_hw.training.rules import table as rules

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "module"),
    [("devices.md", devices), ("learning-rules.md", rules), ("augmentation.md", augmentation)],
)
def test_the_page_is_up_to_date(page, module):
    text = (DOCS / page).read_text()
    assert text == module.markdown() + "\n", f"run: python -m {module.__name__} > docs/{page}"


def test_every_device_says_what_it_leaves_out():
    assert "nothing stated" not in devices.markdown()
