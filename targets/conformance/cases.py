"""Graphs and inputs of the suite.

Weights, decays and gains are short binary fractions, so that every order of summation gives the
same float32 number: between targets of one arithmetic, one differing spike is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from targets.graph.graph import SpikingGraph
from targets.graph.kinds import KNOWN, PORT
from targets.support import example

DT = 2.0**-10


def events(graph: SpikingGraph, steps: int = 12, samples: int = 3) -> NDArray[np.float32]:
    """Spikes [T, B, *input], two in five set."""
    shape = graph.shapes[graph.inputs[0]]
    return (np.random.default_rng(steps).random((steps, samples, *shape)) < 0.4).astype(np.float32)


def _weights(seed: int, *shape: int, low: int = -64, high: int = 128) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(low, high + 1, shape) / 128


def _lif(*shape: int, threshold: float = 0.75) -> nir.LIF:
    one = np.ones(shape)
    return nir.LIF(tau=4 * DT * one, r=4 * one, v_leak=0 * one, v_threshold=threshold * one, v_reset=0 * one)


def _if(size: int, threshold: float = 1.0) -> nir.IF:
    one = np.ones(size)
    return nir.IF(r=one / DT, v_threshold=threshold * one, v_reset=0 * one)


def _wait(size: int, steps: int) -> nir.Delay:
    return nir.Delay(np.full(size, steps * DT))


def _graph(nodes: dict[str, nir.NIRNode], paths: list[str], inputs: int, outputs: int) -> SpikingGraph:
    """Nodes joined along `paths`, "a b c" each."""
    ends = {
        "in": nir.Input({"input": np.array([inputs])}),
        "out": nir.Output({"output": np.array([outputs])}),
    }
    edges = dict.fromkeys(edge for path in paths for edge in pairwise(path.split()))
    return SpikingGraph.build({**ends, **nodes}, list(edges), {"dt": DT})


def _feed_forward_inhibition() -> SpikingGraph:
    nodes = {
        "excite": nir.Linear(_weights(1, 4, 3, low=0)), "a": _lif(4),
        "drive": nir.Linear(_weights(2, 3, 3, low=0)), "i": _lif(3),
        "ab": nir.Linear(_weights(3, 4, 4, low=0)), "ib": nir.Linear(-_weights(4, 4, 3, low=0)), "b": _lif(4),
    }  # fmt: skip
    return _graph(nodes, ["in excite a ab b out", "in drive i ib b"], 3, 4)


def _feedback_inhibition() -> SpikingGraph:
    nodes = {
        "excite": nir.Affine(_weights(5, 4, 3, low=16), _weights(6, 4, low=0, high=32)), "e": _lif(4),
        "ei": nir.Linear(_weights(7, 3, 4, low=0)), "i": _lif(3),
        "ie": nir.Linear(-_weights(8, 4, 3, low=0)), "wait": _wait(4, 2),
    }  # fmt: skip
    return _graph(nodes, ["in excite e out", "e ei i ie wait e"], 3, 4)


def _lateral_inhibition() -> SpikingGraph:
    rest = 1 - np.eye(4)
    nodes = {"excite": nir.Linear(_weights(9, 4, 3, low=32)), "e": _if(4), "ee": nir.Linear(-0.5 * rest)}
    return _graph({**nodes, "wait": _wait(4, 1)}, ["in excite e out", "e wait ee e"], 3, 4)


def _mutual_inhibition() -> SpikingGraph:
    nodes = {
        "left": nir.Linear(_weights(10, 3, 3, low=32)), "a": _lif(3), "to": _wait(3, 1),
        "ab": nir.Linear(-_weights(11, 3, 3, low=0)),
        "right": nir.Linear(_weights(12, 3, 3, low=32)), "b": _lif(3), "fro": _wait(3, 1),
        "ba": nir.Linear(-_weights(13, 3, 3, low=0)),
        "more": nir.Linear(_weights(24, 3, 3, low=0)), "less": nir.Linear(-_weights(25, 3, 3, low=0)),
        "c": _lif(3),
    }  # fmt: skip
    paths = ["in left a more c out", "a to ab b", "in right b less c", "b fro ba a"]
    return _graph(nodes, paths, 3, 3)


def _skip() -> SpikingGraph:
    nodes = {
        "first": nir.Linear(_weights(14, 4, 3, low=16)), "a": _lif(4),
        "second": nir.Linear(_weights(15, 4, 4)), "b": _lif(4),
        "third": nir.Linear(_weights(16, 4, 4)), "c": _lif(4), "around": nir.Linear(_weights(17, 4, 3)),
    }  # fmt: skip
    return _graph(nodes, ["in first a second b third c out", "a third", "in around c"], 3, 4)


def _long_delay() -> SpikingGraph:
    """A delay of most of the run: what it holds at the end must not reach the next sample."""
    nodes = {"wait": _wait(3, 9), "drive": nir.Linear(_weights(18, 4, 3, low=32)), "a": _lif(4)}
    return _graph(nodes, ["in wait drive a out"], 3, 4)


def _bias_alone() -> SpikingGraph:
    """A bias makes the second layer fire from its first step on, and not outside the window."""
    nodes = {
        "first": nir.Linear(_weights(19, 3, 3)), "a": _lif(3),
        "second": nir.Affine(_weights(20, 4, 3), np.array([0.25, 0.5, 0.75, 1.5])), "b": _lif(4),
    }  # fmt: skip
    return _graph(nodes, ["in first a second b out"], 3, 4)


def _image() -> SpikingGraph:
    shape = {"input": np.array([2, 6, 6])}
    two = np.array([2, 2])
    nodes = {
        "in": nir.Input(shape),
        "conv": nir.Conv2d((6, 6), _weights(21, 3, 2, 3, 3), 1, 1, 1, 1, _weights(22, 3, low=0, high=32)),
        "a": _lif(3, 6, 6),
        "pool": nir.SumPool2d(two, two, np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 3, 3])}, 0, -1),
        "dense": nir.Linear(_weights(23, 4, 27)),
        "b": _lif(4),
        "out": nir.Output({"output": np.array([4])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": DT})


KINDS: Mapping[str, type[nir.NIRNode]] = {cls.__name__: cls for cls in KNOWN if not issubclass(cls, PORT)}
CIRCUITS: Mapping[str, Callable[[], SpikingGraph]] = {
    "feed-forward inhibition": _feed_forward_inhibition,
    "feedback inhibition": _feedback_inhibition,
    "lateral inhibition": _lateral_inhibition,
    "mutual inhibition": _mutual_inhibition,
    "skip": _skip,
    "long delay": _long_delay,
    "bias alone": _bias_alone,
    "image": _image,
}
CASES = (*KINDS, *CIRCUITS)


def case(name: str) -> SpikingGraph:
    """The graph called `name`: the smallest one with a node of that kind, or a circuit."""
    return CIRCUITS[name]() if name in CIRCUITS else example(KINDS[name])


@dataclass(frozen=True)
class Recorded:
    """One neuron driven by an event in each of the steps `fed`, and the steps in which it must fire.

    Worked out by hand; no membrane comes within a tenth of the threshold, so fixed point agrees.
    """

    graph: Callable[[], SpikingGraph]
    fed: tuple[int, ...]
    fires: tuple[int, ...]


def _one(nodes: dict[str, nir.NIRNode], path: str) -> Callable[[], SpikingGraph]:
    return lambda: _graph(nodes, path.split(";"), 1, 1)


def _weight(value: float) -> nir.Linear:
    return nir.Linear(np.array([[value]]))


RECORDED: Mapping[str, Recorded] = {
    # 0.4, 0.8, 1.2: the third event fires.
    "integrates": Recorded(_one({"w": _weight(0.4), "n": _if(1)}, "in w n out"), tuple(range(9)), (2, 5, 8)),
    # 0.75 v + 0.6 crosses 0.9 at the second event: 0.6, 1.05.
    "leaks": Recorded(
        _one({"w": _weight(0.6), "n": _lif(1, threshold=0.9)}, "in w n out"), tuple(range(6)), (1, 3, 5)
    ),
    # The first leaks away to 0.6 * 0.75^4 = 0.19: 0.79 at the second, 1.19 at the third.
    "forgets": Recorded(
        _one({"w": _weight(0.6), "n": _lif(1, threshold=0.9)}, "in w n out"), (0, 4, 5), (5,)
    ),
    "waits": Recorded(
        _one({"d": _wait(1, 3), "w": _weight(1.5), "n": _if(1)}, "in d w n out"), (0, 2, 10), (3, 5)
    ),
    # Each spike comes back two steps later and fires again.
    "rings": Recorded(
        _one({"w": _weight(1.5), "n": _if(1), "d": _wait(1, 2), "r": _weight(1.5)}, "in w n out;n d r n"),
        (1,),
        (1, 3, 5, 7, 9, 11),
    ),
}


def without_dt() -> SpikingGraph:
    """A graph with dynamics and no time step."""
    return _skip().replace(profile={})


def with_half_a_step() -> SpikingGraph:
    """A Delay of one and a half steps."""
    graph = _long_delay()
    return graph.replace(nodes={**graph.nodes, "wait": nir.Delay(np.full(3, 1.5 * DT))})


def with_instant_cycle() -> SpikingGraph:
    """A cycle in which nothing waits."""
    nodes = {"w": _weight(1.5), "n": _if(1), "r": _weight(0.5)}
    return _graph(nodes, ["in w n out", "n r n"], 1, 1)


# Graphs that no target may run in silence.
IMPOSSIBLE: Mapping[str, Callable[[], SpikingGraph]] = {
    "no dt": without_dt,
    "half a step of delay": with_half_a_step,
    "an instant cycle": with_instant_cycle,
}


def bad_inputs(graph: SpikingGraph) -> dict[str, NDArray[Any]]:
    """Inputs that every target refuses with a DataError."""
    good = events(graph)
    return {
        "no steps": good[:0],
        "no samples": good[:, :0],
        "one axis too few": good[:, 0],
        "wrong shape": np.concatenate([good, good], axis=-1),
        "NaN": np.where(good > 0, np.nan, good),
        "infinite": np.where(good > 0, np.inf, good),
        "text": good.astype(str),
    }
