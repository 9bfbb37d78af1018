from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msenas_hw.data.readers.pickles import unpickled

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4), st.sampled_from([3, 4]))
def test_plain_values_are_those_of_pickle(value, protocol):
    assert unpickled(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", ["u1", "<i4", ">i2", "<f4", "f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_those_of_numpy(protocol, kind, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype=kind, order=order)
    found = unpickled(pickle.dumps({"a": array, "n": np.float32(1.5)}, protocol=protocol))
    assert (found["a"] == array).all()
    assert (found["a"].dtype, found["n"]) == (array.dtype, 1.5)


def test_batches_of_python_2_are_read_as_pickle_reads_them(miniatures):
    x, y = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072), np.array([3, 300])
    raw = miniatures.batch(x, y, "labels")
    found, wanted = unpickled(raw), pickle.loads(raw, encoding="latin1")
    assert found.keys() == wanted.keys()
    assert (found["data"] == wanted["data"]).all()
    assert found["labels"] == wanted["labels"] == [3, 300]


class Evil:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = (call, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_nothing_is_called_or_looked_up(tmp_path: Path):
    mark = tmp_path / "mark"
    payloads = [
        Evil(os.system, f"touch {mark}"),
        Evil(exec, f"open({str(mark)!r}, 'w')"),
        Evil(getattr, "", "join"),
        Evil(np.empty, 10**12),
        np.array([Evil(mark.touch)], dtype=object),
        Path("x"),
        object(),
    ]
    for payload in payloads:
        for protocol in range(5):
            with pytest.raises(ValueError, match=r"allowed|no end|opcode"):
                unpickled(pickle.dumps({"data": payload}, protocol=protocol))
    assert not mark.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b".",
        b"\x80\x02}",
        b"\x80\x02K\x01K\x02.",
        b"\x80\x02]q\x00h\x07.",
        b"\x80\x02T\xff\xff\xff\x7fabc.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02" + b")" + b"\x85" * 100_000 + b"}" + b"\x85" * 3 + b".",
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
        b"\x80\x02U\x05helloq\x00" + b"c_codecs\nencode\nh\x00U\x06latin1\x86R" * 1000 + b".",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8\x85R.",
    ],
)
def test_broken_and_hostile_pickles_are_refused(raw):
    with pytest.raises((ValueError, LookupError, TypeError)):
        unpickled(raw)


def test_an_array_must_have_the_bytes_that_its_shape_needs():
    raw = pickle.dumps(np.arange(6, dtype=np.uint8), protocol=2)
    for old, new in (
        (b"K\x06\x85", b"K\x07\x85"),
        (b"K\x06\x85", b"J\xff\xff\xff\xff\x85"),
        (b"X\x02\x00\x00\x00u1", b"X\x02\x00\x00\x00f8"),
    ):
        assert old in raw
        with pytest.raises(ValueError, match=r"array|whole"):
            unpickled(raw.replace(old, new))
