"""Live sources: events and frames against whole runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import nir
import numpy as np
import pytest

import targets
from targets.errors import DataError
from targets.graph.graph import SpikingGraph

DT = 2.0**-10


def network(*shape: int) -> SpikingGraph:
    size = int(np.prod(shape))
    one = np.ones(4)
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input({"input": np.array(shape)})}
    if len(shape) > 1:
        nodes["flat"] = nir.Flatten({"input": np.array(shape)}, 0, -1)
    weight = np.random.default_rng(0).integers(-16, 65, (4, size)) / 64
    nodes |= {
        "w": nir.Linear(weight),
        "n": nir.LIF(tau=one * 4 * DT, r=one * 4, v_leak=one * 0, v_threshold=one, v_reset=one * 0),
        "out": nir.Output({"output": np.array([4])}),
    }
    return SpikingGraph.build(nodes, list(pairwise(nodes)), {"dt": DT})


def train(steps: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(steps).random((steps, 1, *shape)) < 0.3).astype(np.float32)


def as_events(x: np.ndarray, at: float = 0.0, unit: float = 1.0) -> list[tuple[float, ...]]:
    """Events at places within their steps."""
    rng = np.random.default_rng(1)
    found = []
    for t in range(len(x)):
        within = np.sort(rng.random(int(x[t].sum()))) * 0.9
        found += [
            ((t + w) * unit + at, *map(int, place))
            for w, place in zip(within, np.argwhere(x[t, 0]), strict=True)
        ]
    return found


@pytest.mark.parametrize("shape", [(6,), (2, 3, 3)])
@pytest.mark.parametrize("options", [{}, {"arithmetic": "fixed"}, {"form": "gpu", "steps": 2, "batch": 1}])
def test_events_equal_a_whole_run(shape: tuple[int, ...], options: dict[str, object]) -> None:
    graph = network(*shape)
    x = train(15, *shape)
    executable = targets.compile(graph, "onnx", **options)
    whole = executable.run(x).output
    assert whole.any()
    found = list(executable.run_events(as_events(x), start=0))
    assert [step for step, _ in found] == list(range(15))
    assert np.array_equal(np.stack([out["out"] for _, out in found]), whole)


def test_frames_equal_a_whole_run() -> None:
    graph = network(6)
    x = np.concatenate([train(9, 6), train(9, 6)[::-1]], axis=1)
    executable = targets.compile(graph, "onnx")
    found = [out["out"] for _, out in executable.run_events(iter(x))]
    assert np.array_equal(np.stack(found), executable.run(x).output)
    executable.reset()
    single = [out["out"] for _, out in executable.run_events(x[:, 0])]
    assert np.array_equal(np.stack(single), executable.run(x[:, :1]).output)


def test_microseconds_from_any_start_and_steps_without_events() -> None:
    graph = network(6)
    x = train(20, 6)
    x[5:9] = 0
    executable = targets.compile(graph, "onnx")
    microseconds = DT * 1e6
    given = as_events(x, at=3e9, unit=microseconds)
    found = [out["out"] for _, out in executable.run_events(given, unit_s=1e-6, start=3e9)]
    assert np.array_equal(np.stack(found), executable.run(x).output[: len(found)])
    assert len(found) >= 18


def test_a_step_comes_out_as_soon_as_a_later_event_arrives() -> None:
    executable = targets.compile(network(6), "onnx")
    given: list[float] = []

    def source() -> Iterator[tuple[float, int]]:
        for t in range(4):
            given.append(t)
            yield (t, 1)

    followed = executable.run_events(source())
    assert next(followed)[0] == 0
    assert given == [0, 1]
    assert [step for step, _ in followed] == [1, 2, 3]


def test_events_of_one_step_add_up_and_states_are_kept() -> None:
    graph = network(6)
    executable = targets.compile(graph, "onnx")
    x = np.zeros((4, 1, 6), np.float32)
    x[0, 0, 2], x[1, 0, 4] = 3, 1
    first = [out["out"] for _, out in executable.run_events([(0, 2), (0, 2), (0.5, 2), (1, 4)])]
    more = [out["out"] for _, out in executable.run_events([x[2], x[3]])]
    assert np.array_equal(np.stack(first + more), executable.run(x).output)
    executable.reset()
    again = [out["out"] for _, out in executable.run_events(x)]
    assert np.array_equal(np.stack(again), executable.run(x).output)


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        ([(3, 1), (2, 1)], "event 1: belongs to step -1, found after step 0"),
        ([(0, 6)], r"event 0: found \(0, 6\), allowed \(t, address inside \(6,\)\)"),
        ([(0, -1)], "address inside"),
        ([(0, 1, 1)], "address inside"),
        ([(0, 1.5)], "address inside"),
        ([(float("nan"), 1)], "address inside"),
        ([(0, 1), ("now", 1)], "event 1: found"),
        ([7], "event 0: found 7, allowed"),
        ([np.zeros(5)], r"frame 0: found shape \(5,\), allowed \(6,\)"),
        ([np.full(6, np.nan)], "NaN"),
        ([(0, 1), np.zeros(6)], "frame 1: found after events, allowed one kind"),
        ([np.zeros(6), (1, 1)], "event 1: found after frames, allowed one kind"),
        ([(10**400, 1)], "event 0: found"),
        ([(0, float("inf"))], "event 0: found"),
        ([(-1.7e308, 1), (1.7e308, 1)], "event 1: .*allowed a finite number of steps"),
    ],
)
def test_wrong_streams(stream: list[object], words: str) -> None:
    executable = targets.compile(network(6), "onnx")
    with pytest.raises(DataError, match=words):
        list(executable.run_events(stream))


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        *(
            ({"unit_s": unit}, f"unit_s: .* makes {said} steps")
            for unit, said in [(float("nan"), "nan"), (float("inf"), "inf"), (0, "0"), (-DT, "-1")]
        ),
        *(({"start": float(start)}, f"start: found {start}") for start in ("nan", "inf", "-inf")),
    ],
)
@pytest.mark.parametrize("stream", [[(0, 1), (1, 1)], [np.zeros(6)]])
def test_wrong_clocks(stream: list[object], clock: dict[str, float], words: str) -> None:
    executable = targets.compile(network(6), "onnx")
    with pytest.raises(DataError, match=words):
        next(executable.run_events(stream, **clock))


def test_two_threads_share_one_stream_without_losing_a_step() -> None:
    graph = network(6)
    executable = targets.compile(graph, "onnx")
    frame = np.ones((1, 6), np.float32) / 8
    barrier = threading.Barrier(2)

    def feed() -> None:
        barrier.wait()
        for _ in executable.run_events([frame] * 25):
            pass

    threads = [threading.Thread(target=feed) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = executable.step(frame)["out"]
    whole = executable.run(np.stack([frame] * 51)).output
    assert whole.any()
    assert np.array_equal(last, whole[50])
