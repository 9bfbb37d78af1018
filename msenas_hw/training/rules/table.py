"""The learning rules as a page: made from the words and the docstrings of their files.

python -m msenas_hw.training.rules.table > docs/learning-rules.md
"""

from __future__ import annotations

import inspect
from itertools import pairwise
from types import ModuleType
from typing import get_args

import nir
import numpy as np

from cost_models.learning import check_learning
from msenas_hw.training.rules import deltas, feedback, teachers, traces
from msenas_hw.training.rules.words import PRESETS, Delta, Feedback, Teacher, Temporal
from targets.graph.graph import SpikingGraph

_HEAD = """# Learning rules

Made from the words and their files, by `python -m msenas_hw.training.rules.table`. A rule is a few words
joined by `+`, one of an axis at most; what is left out is back-propagation through time. Every layer may
have its own:

```toml
[training.rules]
default = "dfa+trace"
cell1_E = "usf"
```
"""
_AXES: tuple[tuple[str, str, object, ModuleType], ...] = (
    ("feedback", "what carries the error through a synapse to the layer below", Feedback, feedback),
    ("teacher", "where a population gets its error when not from above", Teacher, teachers),
    ("temporal", "`bptt`: back through time; `none`: the present step only; `trace`", Temporal, traces),
    ("delta", "weight changes without an error", Delta, deltas),
)
_CHIPS_HEAD = """## What a chip can learn by itself

A dense hidden layer of 16 LIF neurons behind 8, with 4 classes, asked of `cost_models.learning`;
`msenas check MODEL.nir --device loihi2 --rule LAYER=WORDS` asks it of any network.
"""
_CHIPS = ("loihi1", "loihi2")


def markdown() -> str:
    """The page `docs/learning-rules.md`."""
    return "\n".join([_HEAD, *(_axis(*axis) for axis in _AXES), _presets(), _chips()])


def _axis(name: str, purpose: str, words: object, module: ModuleType) -> str:
    listed = ", ".join(f"`{word}`" for word in get_args(words))
    text = inspect.cleandoc(module.__doc__ or "")
    return f"## {name}: {listed}\n\n{purpose[0].upper()}{purpose[1:]}.\n\n```text\n{text}\n```\n"


def _presets() -> str:
    rows = [f"| `{name}` | `{'+'.join(words)}` |" for name, words in PRESETS.items()]
    head = "## Names in the literature\n\n| name | words |\n| --- | --- |\n"
    return head + "\n".join(rows) + "\n"


def _chips() -> str:
    """Each rule on a dense hidden layer of LIF neurons, asked of `cost_models.learning`."""
    columns = ["rule", *_CHIPS, "words of state on loihi2"]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", *map(_row, _rules())]
    return "\n".join([_CHIPS_HEAD, *lines])


def _rules() -> list[str]:
    errors = [word for axis in (Feedback, Teacher) for word in get_args(axis) if word != "none"]
    return [*(f"{word}+trace" for word in errors), *(word for word in get_args(Delta) if word != "none")]


def _row(rule: str) -> str:
    asked = [check_learning(_example(), {"hidden": rule}, chip)[0] for chip in _CHIPS]
    cells = [f"yes: {row.why}" if row.fits else f"no: {row.why}" for row in asked]
    words = str(asked[-1].state_words) if asked[-1].fits else "-"
    return "| " + " | ".join([f"`{rule}`", *cells, words]) + " |"


def _example() -> SpikingGraph:
    def lif(size: int) -> nir.LIF:
        one = np.ones(size, np.float32)
        return nir.LIF(tau=4e-3 * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)

    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "dense": nir.Linear(np.ones((16, 8), np.float32)),
        "hidden": lif(16),
        "out": nir.Linear(np.ones((4, 16), np.float32)),
        "readout": lif(4),
        "output": nir.Output({"output": np.array([4])}),
    }
    names = list(nodes)
    return SpikingGraph.build(nodes, list(pairwise(names)), {"dt": 1e-3})


if __name__ == "__main__":
    print(markdown())
