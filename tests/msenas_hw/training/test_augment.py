"""Augmentations against their definitions, their seeds, and what is usual for the sets."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from msenas_hw.config import load_config
from msenas_hw.data import SETS, Dataset, load
from msenas_hw.data.augmentation import NONE, USUAL, Augmentation, usual
from msenas_hw.training import Checkpoint, Observer, TrainingConfig, train
from msenas_hw.training.augment import asked, augmented
from msenas_hw.training.samples import Samples
from targets import SpikingGraph
from targets.errors import ConfigError


def spikes(shape: tuple[int, ...] = (6, 50, 2, 7, 9), seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < 0.3).astype(np.float32)


def changed(x: np.ndarray, seed: int = 1, **how: float) -> np.ndarray:
    before = x.copy()
    found = augmented(x, Augmentation(**how), np.random.default_rng(seed))  # type: ignore[arg-type]
    assert np.array_equal(x, before)
    assert found.dtype == np.float32
    assert found.shape == x.shape
    return found


def test_half_of_the_samples_are_mirrored_left_to_right():
    x = spikes()
    found = changed(x, flip=True)
    mirrored = [np.array_equal(found[:, i], np.flip(x[:, i], axis=3)) for i in range(50)]
    same = [np.array_equal(found[:, i], x[:, i]) for i in range(50)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 40


def test_cutout_empties_a_square_in_every_step_and_nothing_else():
    found = changed(np.ones((3, 200, 2, 7, 9), np.float32), cutout=4)
    sizes = set()
    for i in range(200):
        empty = found[:, i] == 0
        assert (empty == empty[0, 0]).all()
        rows, columns = (np.flatnonzero(empty[0, 0].any(axis)) for axis in (1, 0))
        assert empty[0, 0].sum() == len(rows) * len(columns)
        assert np.ptp(rows) == len(rows) - 1
        assert np.ptp(columns) == len(columns) - 1
        sizes.add((len(rows), len(columns)))
    # A centre is any pixel: 4 long inside, less at an edge.
    assert sizes == {(a, b) for a in (2, 3, 4) for b in (2, 3, 4)}


def test_drop_takes_a_share_that_is_uniform_up_to_the_largest():
    x = np.ones((10, 400, 1, 10, 10), np.float32)
    found = changed(x, drop=0.5)
    assert set(np.unique(found)) == {0, 1}
    share = 1 - found.mean(axis=(0, 2, 3, 4))
    assert share.max() < 0.56
    # Mean and variance of a uniform variable on [0, 0.5].
    assert share.mean() == pytest.approx(0.25, abs=0.03)
    assert share.std() == pytest.approx(0.5 / 12**0.5, abs=0.02)
    assert not changed(spikes() * 0, drop=0.5).any()


def test_jitter_moves_spikes_in_time_alone():
    x = np.zeros((41, 300, 1, 4, 4), np.float32)
    x[20] = 2
    found = changed(x, jitter=3.0)
    assert (found.sum(0) == 2).all()
    moves = np.argmax(found, axis=0).ravel() - 20.0
    assert moves.mean() == pytest.approx(0, abs=0.15)
    # A rounded normal has the variance of the normal and of the rounding.
    assert moves.var() == pytest.approx(9 + 1 / 12, rel=0.06)


def test_jittered_spikes_stay_spikes_and_leave_at_the_ends():
    x = spikes()
    found = changed(x, jitter=1.5)
    assert set(np.unique(found)) == {0, 1}
    assert (found.sum(0) <= x.sum(0)).all()
    assert found.sum() < x.sum()


def test_shift_moves_what_has_one_row_along_the_other_axis():
    x = spikes((4, 60, 1, 1, 30))
    found, moves = changed(x, shift=2), set()
    for i in range(60):
        padded = np.pad(x[:, i, 0, 0], ((0, 0), (2, 2)))
        fits = [d for d in range(-2, 3) if np.array_equal(found[:, i, 0, 0], padded[:, 2 - d : 32 - d])]
        assert len(fits) == 1
        moves.add(fits[0])
    assert moves == {-2, -1, 0, 1, 2}


def test_a_shift_beyond_the_frame_leaves_nothing_of_some():
    found = changed(np.ones((2, 100, 1, 3, 3), np.float32), shift=5)
    assert {int(one.sum()) for one in found[0]} >= {0, 9}


EVERYTHING = {"shift": 1, "flip": True, "cutout": 3, "drop": 0.4, "jitter": 0.7}


def test_the_same_generator_gives_the_same_and_another_does_not():
    x = spikes()
    assert np.array_equal(changed(x, 3, **EVERYTHING), changed(x, 3, **EVERYTHING))
    assert not np.array_equal(changed(x, 3, **EVERYTHING), changed(x, 4, **EVERYTHING))
    assert augmented(x, NONE, np.random.default_rng(0)) is x


def toy(kind: str = "own", name: str = "digits", frame: tuple[int, ...] = (1, 8, 8)) -> Dataset:
    x = np.random.default_rng(0).random((24, *frame)).astype(np.float32)
    y = np.arange(24) % 2
    return Dataset("toy", x, y, x[:8], y[:8], x[:8], y[:8], 2, False, {"set": name, "kind": kind})


def test_what_a_configuration_asks_for():
    def of(data: Dataset, *changes: str) -> Augmentation:
        return asked(load_config(None, [f"training.{one}" for one in changes]).training, data)

    fashion = toy("images", "fashion-mnist", (1, 28, 28))
    assert of(fashion) == Augmentation(shift=1)
    assert of(fashion, "augmentation=usual") == Augmentation(shift=4, flip=True)
    assert of(fashion, "augmentation=usual", "flip=false", "drop=0.2") == Augmentation(shift=4, drop=0.2)
    assert of(fashion, "augmentation=none", "cutout=8") == Augmentation(cutout=8)
    assert of(fashion, "shift=0") == NONE
    # A file of the user's own is not the set that it is called as; what has one row is no picture.
    assert of(toy("own", "fashion-mnist"), "augmentation=usual") == Augmentation(shift=1)
    assert of(toy(frame=(1, 1, 30))) == NONE
    with pytest.raises(ConfigError, match=r"training\.augmentation: found 'strong', allowed 'light'"):
        of(fashion, "augmentation=strong")


def test_usual_amounts_follow_the_size_of_the_frames():
    assert usual("cifar10-dvs", (2, 128, 128)) == Augmentation(shift=13, flip=True)
    assert usual("cifar10-dvs", (2, 48, 48)) == Augmentation(shift=5, flip=True)
    assert usual("nmnist", (2, 17, 17)) == Augmentation(shift=1)
    assert usual("shd", (1, 1, 140)) == Augmentation(shift=8)
    assert usual("cifar-10", (3, 32, 32)) == Augmentation(shift=4, flip=True, cutout=16)


def test_every_set_has_a_usual_augmentation_and_a_source():
    assert set(USUAL) == set(SETS)
    assert all(one.source for one in USUAL.values())
    # Mirrored, the left hand is the right one.
    sided = [name for name, row in SETS.items() if any("left" in word for word in row.classes)]
    assert sided
    assert not any(USUAL[name].augmentation.flip for name in sided)


def test_digits_are_augmented_in_training_and_never_for_validation_or_test():
    data = load("digits")
    config = TrainingConfig(batch=2000, **EVERYTHING)  # type: ignore[arg-type]
    for part in ("train", "validation", "test"):
        samples = Samples.of(data, part, "rate", 5, (1, 8, 8))
        plain, _ = data.inputs(part, "rate", 5)
        seen = np.concatenate([x for x, _ in samples.blocks()], axis=1)
        assert np.array_equal(seen, plain)
    samples = Samples.of(data, "train", "rate", 5, (1, 8, 8))
    (batch,) = samples.batches(config, np.random.default_rng(5))
    assert not np.array_equal(
        np.sort(batch[0].numpy(), axis=1), np.sort(data.inputs("train", "rate", 5)[0], 1)
    )
    assert np.array_equal(np.bincount(batch[1]), np.bincount(data.train_y))


def network() -> SpikingGraph:
    rng, one = np.random.default_rng(0), np.ones(2, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "flatten": nir.Flatten({"input": np.array([1, 8, 8])}, 0, -1),
        "dense": nir.Affine(rng.normal(size=(2, 64)).astype(np.float32) / 4, np.zeros(2, np.float32)),
        "l": nir.LIF(one * 2e-3, one, one * 0, one, one * 0),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "flatten"), ("flatten", "dense"), ("dense", "l"), ("l", "output")]
    return SpikingGraph.build(nodes, edges, {"dt": 1e-3})


class KilledError(Exception):
    pass


def test_a_training_killed_and_resumed_sees_the_same_augmentations(tmp_path: Path):
    config = TrainingConfig(epochs=4, batch=8, **EVERYTHING)  # type: ignore[arg-type]
    data, graph = toy(), network()

    def trained(folder: str, observer: Observer | None = None) -> dict[str, object]:
        checkpoint = Checkpoint(tmp_path / folder / "seed0.safetensors")
        found = train(graph, data, "rate", 5, config, 0, observer=observer, checkpoint=checkpoint)
        weights = {
            name: np.asarray(node.weight) for name, node in found.graph.nodes.items() if name == "dense"
        }
        return {"losses": [e.loss for e in found.history], "weights": weights["dense"].tolist()}

    def kill(epoch: object) -> None:
        if getattr(epoch, "number", 0) == 1:
            raise KilledError

    whole = trained("whole")
    with pytest.raises(KilledError):
        trained("parts", Observer(epoch=kill))
    assert json.dumps(trained("parts")) == json.dumps(whole)
