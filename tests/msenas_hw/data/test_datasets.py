from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from msenas_hw.data import PARTS, Binning, DataConfig, Dataset, configured, load
from targets.errors import ConfigError, DataError


def saved(folder: Path, **arrays: np.ndarray) -> str:
    file = folder / "own.npz"
    np.savez(file, **arrays)
    return str(file)


def test_digits_keep_the_order_of_the_file():
    data, (x, y) = load("digits", validation=200), load_digits(return_X_y=True)
    assert [len(data.part(name)[1]) for name in PARTS] == [1097, 200, 500]
    assert (data.test_y == y[-500:]).all()
    assert (data.validation_y == y[1097:1297]).all()
    joined = np.concatenate([np.asarray(data.part(name)[0]) for name in PARTS]).reshape(-1, 64)
    assert (joined * 16 == x).all()
    assert (data.input_shape, data.classes) == ((1, 8, 8), 10)


def test_inputs_are_encoded_and_labelled():
    data = load("digits")
    x, y = data.inputs("test", "rate", 8, 20)
    assert x.shape == (8, 20, 1, 8, 8)
    assert (y == data.test_y[:20]).all()


def test_the_batch_comes_from_all_of_the_training_part():
    data = load("digits")
    batch = data.batch("graded", 1, 3)[0]
    wanted = data.train_x[np.array([0, 548, 1096])]
    assert np.abs(batch - wanted).max() <= 0.5 / 255 + 1e-6
    assert data.batch("rate", 4, 10**6).shape[1] == 1097


def test_static_npz_without_split(tmp_path):
    x = np.linspace(0, 1, 20 * 6 * 5).reshape(20, 6, 5)
    data = load(saved(tmp_path, x=x, y=np.arange(20) % 3), validation=4)
    assert [len(data.part(name)[1]) for name in PARTS] == [12, 4, 4]
    assert (data.input_shape, data.classes) == ((1, 6, 5), 3)
    assert np.allclose(data.test_x[:, 0], x[16:])


def test_npz_with_split_and_recorded_events(tmp_path):
    x = np.zeros((6, 7, 2, 4, 4), np.uint8)
    split = np.array(["test", "train", "validation"] * 2)
    data = load(saved(tmp_path, x=x, y=np.arange(6), split=split), recorded=True)
    assert data.train_y.tolist() == [1, 4]
    assert data.test_y.tolist() == [0, 3]
    assert data.input_shape == (2, 4, 4)
    assert data.inputs("train", "events", 7)[0].shape == (7, 2, 2, 4, 4)


def test_encoding_must_suit_the_data(tmp_path):
    with pytest.raises(ConfigError, match="is static"):
        load("digits").inputs("test", "events", 8)
    data = load(saved(tmp_path, x=np.zeros((9, 7, 4, 4)), y=np.arange(9)), validation=2, recorded=True)
    with pytest.raises(ConfigError, match="is recorded"):
        data.inputs("test", "rate", 7)
    with pytest.raises(ConfigError, match="allowed train, validation, test"):
        data.part("dev")


GOOD_X, GOOD_Y = np.zeros((20, 4, 4)), np.arange(20)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GOOD_X}, "'y' is missing"),
        ({"x": GOOD_X, "y": GOOD_Y[:7]}, "20 samples, y has 7"),
        ({"x": np.full((20, 4, 4), np.nan), "y": GOOD_Y}, "320 NaN"),
        ({"x": np.zeros(20), "y": GOOD_Y}, "1 to 3 further axes"),
        ({"x": np.full((20, 2), "a"), "y": GOOD_Y}, "allowed bool, integers and floats"),
        ({"x": np.full((20, 2), 1j), "y": GOOD_Y}, "allowed bool, integers and floats"),
        ({"x": GOOD_X, "y": GOOD_Y - 1}, "whole numbers >= 0"),
        ({"x": GOOD_X, "y": GOOD_Y * 0.5}, "whole numbers >= 0"),
        ({"x": GOOD_X, "y": GOOD_Y, "split": np.full(20, "dev")}, "split has dev"),
        ({"x": GOOD_X, "y": GOOD_Y, "split": np.full(3, "test")}, "split has shape"),
        ({"x": np.array([{}] * 20), "y": GOOD_Y}, "not a readable NPZ"),
        ({"x": GOOD_X, "y": GOOD_Y + 1}, r"classes 1 to 20 and none of class 0; .* \(y - 1\)"),
        ({"x": GOOD_X, "y": GOOD_Y.astype(np.uint64) + 2**63}, "whole numbers >= 0"),
        ({"x": GOOD_X, "y": GOOD_Y, "classes": 19}, "classes is 19, but y has class 19"),
        ({"x": GOOD_X, "y": GOOD_Y, "classes": 20.0}, "classes has .* allowed one whole number"),
        ({"x": GOOD_X, "y": GOOD_Y, "classes": [20, 20]}, "classes has .* allowed one whole number"),
        ({"x": GOOD_X[:0], "y": GOOD_Y[:0]}, "so no samples"),
        ({"x": GOOD_X[:, :, :0], "y": GOOD_Y}, "so no values"),
    ],
)
def test_malformed_npz_is_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load(saved(tmp_path, **arrays), validation=4)


def test_a_file_that_lacks_samples_of_a_class_states_how_many_there_are(tmp_path):
    data = load(saved(tmp_path, x=GOOD_X, y=GOOD_Y % 4 + 1, classes=10), validation=4)
    assert data.classes == 10
    assert set(data.train_y) == {1, 2, 3, 4}
    # One class alone, such as a single sample to price, says nothing of how classes are counted.
    assert load(saved(tmp_path, x=GOOD_X[:1], y=np.array([1]))).classes == 2


def test_recordings_without_a_step_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"shape \(6, 0, 2, 4, 4\), so no time steps"):
        load(saved(tmp_path, x=np.zeros((6, 0, 2, 4, 4)), y=np.arange(6)), recorded=True)
    with pytest.raises(ConfigError, match=r"data\.steps: found 0, allowed at least 1"):
        load("digits").inputs("test", "rate", 0)
    with pytest.raises(ConfigError, match=r"data\.steps: found 0, allowed at least 1"):
        Binning(steps=0)


def test_missing_corrupt_and_unknown_data_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load(str(tmp_path / "absent.npz"))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataError, match="not a readable NPZ"):
        load(str(tmp_path / "broken.npz"))
    with pytest.raises(DataError, match="no such set"):
        load("digitz")
    with pytest.raises(ConfigError, match=r"data\.validation"):
        load("digits", validation=1297)


def test_a_small_or_partial_file_serves_for_what_it_holds(tmp_path):
    one = load(saved(tmp_path, x=np.ones((1, 4, 4)), y=np.array([3])))
    assert one.inputs("test", "rate", 2)[0].shape == (2, 1, 1, 4, 4)
    for part in ("train", "validation"):
        with pytest.raises(DataError, match=f"{part} part has no samples"):
            one.inputs(part, "rate", 2)
    with pytest.raises(DataError, match="train part has no samples"):
        one.batch("rate", 2, 4)
    five = load(saved(tmp_path, x=np.ones((5, 4, 4)), y=np.arange(5)))
    assert [len(five.part(name)[1]) for name in PARTS] == [2, 2, 1]


def test_what_is_no_archive_is_refused(tmp_path):
    empty, array = tmp_path / "empty.npz", tmp_path / "array.npz"
    empty.touch()
    with array.open("wb") as file:
        np.save(file, np.zeros((10, 8, 8)))
    for path in (empty, array):
        with pytest.raises(DataError, match="not a readable NPZ file"):
            load(str(path))


def toy(labels: list[int]) -> Dataset:
    y = np.array(labels)
    x = np.arange(len(y), dtype=np.float32).reshape(-1, 1, 1, 1) / len(y)
    return Dataset("toy", x, y, x[:0], y[:0], x[:1], y[:1], classes=3, recorded=False)


def test_fewer_training_samples_keep_the_shares_and_the_order():
    data = toy([0] * 10 + [1] * 20 + [2] * 30)
    half = data.with_train(30)
    assert np.bincount(half.train_y).tolist() == [5, 10, 15]
    assert np.allclose(half.train_x.ravel() * 60, [*range(5), *range(10, 20), *range(30, 45)])
    kept = [set(data.with_train(n).train_x.ravel().tolist()) for n in range(1, 61)]
    assert all(len(few) == n for n, few in enumerate(kept, 1))
    assert all(few < more for few, more in pairwise(kept))
    assert len(half.test_y) == 1
    for count in (0, 61):
        with pytest.raises(ConfigError, match=rf"train_samples: found {count}, allowed 1 to 60"):
            data.with_train(count)


def test_chosen_rows_are_encoded_as_the_whole_is():
    data = load("digits")
    x, y = data.inputs("train", "rate", 4)
    rows = np.array([5, 900, 17])
    some_x, some_y = data.encoded("train", rows, "rate", 4)
    assert (some_x == x[:, rows]).all()
    assert (some_y == y[rows]).all()
    assert (data.encoded("train", slice(64, 128), "rate", 4)[0] == x[:, 64:128]).all()


def test_a_configuration_names_a_subset():
    data = configured(DataConfig(name="digits", train_samples=300, validation=100))
    assert [len(data.part(name)[1]) for name in PARTS] == [300, 100, 500]
