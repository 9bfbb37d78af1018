"""The support table is what the targets say, and what they say is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import targets
from targets.support import KNOWN, PORT, example, markdown, support

PAGE = Path(__file__).resolve().parents[2] / "docs" / "support.md"
KINDS = [kind for kind in KNOWN if not issubclass(kind, PORT)]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "run: python -m targets.support > docs/support.md"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_said_to_run_runs(kind: type) -> None:
    graph = example(kind)
    row = support()[kind.__name__]
    assert row["reference"] == "runs"
    x = np.ones((4, 2, *graph.shapes[graph.inputs[0]]), np.float32)
    for name in ("reference", "onnx", "loihi"):
        if row[name] == "runs":
            assert targets.compile(graph, name).run(x).steps == 4
        else:
            with pytest.raises(targets.UnsupportedNodeError):
                targets.compile(graph, name)
