from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.data.dataset import Dataset
from msenas_hw.data.frames import Binning, Frames
from msenas_hw.data.recordings import Recordings, in_memory, packed
from msenas_hw.data.source import Recording
from targets.errors import DataError

SENSOR = (2, 5, 7)


def recording(rng: np.random.Generator, number: int, count: int, longest: int = 9000) -> Recording:
    t = rng.integers(0, longest, count)
    p, y, x = (rng.integers(0, limit, count) for limit in SENSOR)
    return Recording("train", number % 3, (number,), t, x, y, p)


def several(seed: int, counts: list[int]) -> list[Recording]:
    rng = np.random.default_rng(seed)
    return [recording(rng, i, count) for i, count in enumerate(counts)]


def held(items: list[Recording]) -> Recordings:
    return in_memory("toy", "f", SENSOR, items)[0]


def one_by_one(item: Recording, b: Binning) -> np.ndarray:
    """The frames of a recording, event after event, as the definitions say."""
    d = b.downsample
    frame = (1 if b.polarity == "merge" else 2, (SENSOR[1] + d - 1) // d, (SENSOR[2] + d - 1) // d)
    out = np.zeros((b.steps, *frame))
    events = list(zip(item.t, item.x, item.y, item.p, strict=True))
    if b.window_s is not None:
        events = [event for event in events if event[0] < round(b.window_s * 1e6)]
    end = round(b.window_s * 1e6) if b.window_s else max((e[0] for e in events), default=0) + 1
    for i, (t, x, y, p) in enumerate(events):
        step = i * b.steps // len(events) if b.by == "count" else int(t) * b.steps // end
        out[step, 0 if b.polarity == "merge" else p, y // d, x // d] += 1
    return out if b.counts else np.minimum(out, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.builds(
        Binning,
        steps=st.integers(1, 12),
        by=st.sampled_from(["time", "count"]),
        window_s=st.sampled_from([None, 0.001, 0.0045, 0.02]),
        downsample=st.integers(1, 3),
        polarity=st.sampled_from(["split", "merge"]),
        counts=st.booleans(),
    ),
)
def test_frames_are_those_of_the_definition(seed, counts, binning):
    items = several(seed, counts)
    frames = Frames(held(items), np.arange(len(items)), binning)
    found = frames[:]
    assert found.shape == frames.shape
    assert found.dtype == np.float32
    for row, item in enumerate(items):
        assert (found[row] == one_by_one(item, binning)).all()


def test_a_batch_is_a_part_of_the_whole_in_any_order():
    frames = Frames(held(several(1, [20, 0, 33, 5, 17])), np.array([4, 0, 2, 1]), Binning(3))
    whole = np.asarray(frames)
    assert (frames[np.array([2, 0])] == whole[[2, 0]]).all()
    assert (frames.take(np.array([3, 1]))[:] == whole[[3, 1]]).all()
    assert (frames.at(6)[:].reshape(4, 3, 2, *frames.frame).max(axis=2) == whole).all()


def test_all_events_are_counted_once():
    items = several(2, [50, 7])
    binning = Binning(5, counts=True, downsample=2, polarity="merge")
    assert Frames(held(items), np.arange(2), binning)[:].sum(axis=(1, 2, 3, 4)).tolist() == [50, 7]


def test_the_packed_form_gives_the_same_frames_and_is_written_once(nowhere):
    items = several(3, [30, 0, 12])
    recordings, parts = packed("toy", "abc", SENSOR, iter(items))
    again, _ = packed("toy", "abc", SENSOR, iter(()))
    assert isinstance(again.t, np.memmap)
    rows, labels = parts["train"]
    assert labels.tolist() == [0, 1, 2]
    for binning in (Binning(4), Binning(4, by="count")):
        wanted = Frames(held(items), rows, binning)[:]
        for store in (recordings, again):
            assert (Frames(store, rows, binning)[:] == wanted).all()
    assert sum(path.stat().st_size for path in (nowhere / "packed" / "toy-abc").glob("[ta]*")) == 6 * 42


def test_samples_keep_the_order_that_readers_name(nowhere):
    items = several(4, [3, 4, 5])
    for store, key in ((in_memory, "a"), (packed, "b")):
        _, parts = store("toy", key, SENSOR, reversed(items))
        assert parts["train"][0].tolist() == [2, 1, 0]
        assert parts["train"][1].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("axis", "value"), [("x", 7), ("y", 5), ("p", 2), ("x", -1), ("t", 2**32), ("t", -1)]
)
def test_events_outside_of_the_sensor_are_refused(nowhere, axis, value):
    (item,) = several(5, [6])
    getattr(item, axis)[3] = value
    for store in (in_memory, packed):
        with pytest.raises(
            DataError, match=r"data 'toy', train recording \(0,\): events have .*allowed 0 to"
        ):
            store("toy", "bad", SENSOR, [item])
    assert not list((nowhere / "packed").iterdir())


def test_a_reader_that_breaks_off_leaves_nothing(nowhere):
    def broken():
        yield from several(6, [5, 5])
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        packed("toy", "x", SENSOR, broken())
    assert not list((nowhere / "packed").iterdir())


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("t", lambda raw: raw[:-4]),
        ("meta.json", lambda raw: b"{"),
        ("index.npz", lambda raw: raw[:40]),
        ("address", lambda raw: b"\xff" * len(raw)),
    ],
)
def test_a_damaged_packed_copy_is_refused(nowhere, file, change):
    packed("toy", "abc", SENSOR, several(7, [9]))
    path = nowhere / "packed" / "toy-abc" / file
    path.write_bytes(change(path.read_bytes()))

    def read() -> None:
        recordings, parts = packed("toy", "abc", SENSOR, iter(()))
        Frames(recordings, parts["train"][0], Binning(2))[:]

    with pytest.raises(DataError, match=r"damaged|hold address"):
        read()


def test_a_set_encodes_in_any_number_of_steps_and_tells_its_content_without_making_it():
    frames = Frames(held(several(8, [30] * 8)), np.arange(8), Binning(4))
    y = np.arange(8) % 3
    data = Dataset("toy", frames, y, frames.take(slice(2)), y[:2], frames.take(slice(3)), y[:3], 3, True)
    assert data.input_shape == SENSOR
    x, labels = data.encoded("train", np.array([5, 1]), "events", 6)
    assert (x == frames.at(6)[np.array([5, 1])].swapaxes(0, 1)).all()
    assert labels.tolist() == [2, 1]
    fewer = data.with_train(4)
    assert isinstance(fewer.train_x, Frames)
    assert len({b"".join(bytes(piece) for piece in d.content("train")) for d in (data, fewer)}) == 2
