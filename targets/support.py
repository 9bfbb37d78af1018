"""Which target runs which node kind: asked of the targets, never written by hand.

python -m targets.support > docs/support.md
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import nir
import numpy as np

from targets.graph.graph import SpikingGraph
from targets.graph.kinds import KNOWN, POPULATION, PORT
from targets.target import find, names

_IMAGE, _ROW, _DT = (2, 4, 4), (4,), 1e-3


def _neuron(cls: type[nir.NIRNode]) -> nir.NIRNode:
    """A population of four neurons with values that every target can hold."""
    one = np.ones(_ROW)
    values = {
        "r": one,
        "tau": 4 * _DT * one,
        "tau_mem": 4 * _DT * one,
        "tau_syn": 2 * _DT * one,
        "v_leak": 0 * one,
        "v_threshold": one,
        "v_reset": 0 * one,
        "w_in": one,
    }
    fields = cls.__dataclass_fields__
    return cls(**{name: value for name, value in values.items() if name in fields})


# One node of each stateless kind, with the shape that it takes.
_STATELESS: Mapping[type[nir.NIRNode], tuple[tuple[int, ...], nir.NIRNode]] = {
    nir.Affine: (_ROW, nir.Affine(np.eye(4), np.ones(4))),
    nir.Linear: (_ROW, nir.Linear(np.eye(4))),
    nir.Scale: (_ROW, nir.Scale(np.full(4, 0.5))),
    nir.Delay: (_ROW, nir.Delay(np.full(4, 2 * _DT))),
    nir.Flatten: (_IMAGE, nir.Flatten({"input": np.array(_IMAGE)}, 0, -1)),
    nir.Threshold: (_ROW, nir.Threshold(np.full(4, 0.5))),
    nir.Conv1d: ((2, 4), nir.Conv1d(4, np.ones((3, 2, 3)), 1, 1, 1, 1, np.ones(3))),
    nir.Conv2d: (_IMAGE, nir.Conv2d((4, 4), np.ones((3, 2, 3, 3)), 1, 1, 1, 1, np.ones(3))),
    nir.SumPool2d: (_IMAGE, nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 0)))),
    nir.AvgPool2d: (_IMAGE, nir.AvgPool2d(*(np.array([n, n]) for n in (2, 2, 0)))),
}


def example(cls: type[nir.NIRNode]) -> SpikingGraph:
    """The smallest useful graph with a node of kind `cls` in it."""
    if issubclass(cls, POPULATION):
        chain = [nir.Input({"input": np.array(_ROW)}), nir.Linear(np.eye(4)), _neuron(cls)]
    else:
        shape, node = _STATELESS[cls]
        bare = SpikingGraph.build(*_chained([nir.Input({"input": np.array(shape)}), node]), {"dt": _DT})
        size = int(np.prod(bare.shapes["output"]))
        flat = nir.Flatten({"input": np.array(bare.shapes["output"])}, 0, -1)
        dense = nir.Linear(np.ones((4, size)))
        chain = [nir.Input({"input": np.array(shape)}), node, flat, dense, _neuron(nir.IF)]
    return SpikingGraph.build(*_chained(chain), {"dt": _DT})


def _chained(chain: list[nir.NIRNode]) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    nodes = {f"n{i}": node for i, node in enumerate(chain)} | {
        "output": nir.Output({"output": np.array([1])})
    }
    return nodes, list(pairwise(nodes))


@cache
def support() -> dict[str, dict[str, str]]:
    """`{node kind: {target: "runs" or why not}}`."""
    kinds = sorted((k for k in KNOWN if not issubclass(k, PORT)), key=lambda k: k.__name__)
    return {
        cls.__name__: {
            target: "; ".join(refusal.reason for refusal in find(target).check(example(cls))) or "runs"
            for target in names()
        }
        for cls in kinds
    }


def markdown() -> str:
    """The table as a page."""
    found = support()
    head = ["node", *names()]
    rows = [head, ["---"] * len(head), *([kind, *row.values()] for kind, row in found.items())]
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        "# Which target runs which node\n\n"
        "Asked of the targets with a small graph a node kind, by `python -m targets.support`. "
        "A refusal is the target's own words.\n\n" + lines + "\n"
    )


if __name__ == "__main__":
    print(markdown(), end="")
