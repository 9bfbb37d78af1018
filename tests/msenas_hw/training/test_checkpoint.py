"""A training goes on from its checkpoint to the very result that it would have had without a stop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from msenas_hw.training import Checkpoint, Observer, Trained, TrainingConfig, train
from msenas_hw.training.checkpoint import Saved
from targets.errors import ConfigError, MsenasError


class KilledError(Exception):
    pass


def config(**changes) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 4, "batch": 16, "learning_rate": 0.05, **changes})


def interrupted(graph, data, settings, checkpoint, after: int) -> None:
    def stop(epoch):
        if epoch.number + 1 == after:
            raise KilledError

    with pytest.raises(KilledError):
        train(graph, data, "rate", 5, settings, 3, observer=Observer(epoch=stop), checkpoint=checkpoint)


def assert_same(found: Trained, wanted: Trained) -> None:
    assert found.history == wanted.history
    assert found.validation_accuracy == wanted.validation_accuracy
    for name, node in wanted.graph.nodes.items():
        for key in ("weight", "bias"):
            if hasattr(node, key):
                assert np.array_equal(getattr(found.graph.nodes[name], key), getattr(node, key))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimiser": "sgd", "schedule": "cosine", "learning_rate": 0.5},
        {"schedule": "none", "weight_bits": 4},
        {"rules": {"hidden": "brsf+trace", "readout": "bp"}},
        {"rules": {"hidden": "rstdp"}, "normalise": False},
        {"spike_penalty": 0.1, "weight_decay": 0.01},
    ],
)
def test_resumed_equals_uninterrupted(dense, bars, tmp_path, changes):
    settings = config(**changes)
    wanted = train(dense, bars, "rate", 5, settings, 3)
    checkpoint = Checkpoint(tmp_path / "c" / "seed3.safetensors")
    interrupted(dense, bars, settings, checkpoint, 2)
    torch.manual_seed(99)
    brought: list[int] = []
    observer = Observer(resumed=lambda epochs: brought.append(len(epochs)))
    found = train(dense, bars, "rate", 5, settings, 3, observer=observer, checkpoint=checkpoint)
    assert brought == [2]
    assert_same(found, wanted)
    # A finished one is not trained again.
    again = train(
        dense, bars, "rate", 5, settings, 3,
        observer=Observer(batch=lambda done, total: pytest.fail("trained again")), checkpoint=checkpoint,
    )  # fmt: skip
    assert_same(again, wanted)


def test_other_settings_are_refused_by_name(dense, bars, tmp_path):
    checkpoint = Checkpoint(tmp_path / "seed3.safetensors", {"budget.cores": 4})
    interrupted(dense, bars, config(), checkpoint, 1)
    with pytest.raises(ConfigError, match=r"training\.batch was 16, is 8; .* --restart") as caught:
        train(dense, bars, "rate", 5, config(batch=8), 3, checkpoint=checkpoint)
    assert str(checkpoint.path) in str(caught.value)
    with pytest.raises(ConfigError, match=r"data\.steps was 5, is 6"):
        train(dense, bars, "rate", 6, config(), 3, checkpoint=checkpoint)
    with pytest.raises(ConfigError, match=r"budget\.cores was 4, is None"):
        train(dense, bars, "rate", 5, config(), 3, checkpoint=Checkpoint(checkpoint.path))
    nodes = dict(dense.nodes)
    nodes["up"] = type(nodes["up"])(nodes["up"].weight * 2, nodes["up"].bias)
    with pytest.raises(ConfigError, match="network was"):
        train(dense.replace(nodes=nodes), bars, "rate", 5, config(), 3, checkpoint=checkpoint)


def test_any_damage_is_noticed(tmp_path):
    file = tmp_path / "seed0.safetensors"
    checkpoint = Checkpoint(file, {"seed": 0})
    checkpoint.write(Saved({"a": torch.arange(64.0)}, {"epoch": 1}))
    assert checkpoint.read().state == {"epoch": 1}
    sound = file.read_bytes()
    damaged = [
        sound[:-5],  # cut short
        sound[: len(sound) // 2],
        b"",
        sound[:-3] + bytes([sound[-3] ^ 1]) + sound[-2:],  # one bit of a tensor
        sound.replace(b'epoch\\": 1', b'epoch\\": 2'),
        b"no checkpoint at all",
    ]
    for content in damaged:
        assert content != sound
        file.write_bytes(content)
        with pytest.raises(MsenasError, match="damaged checkpoint") as caught:
            checkpoint.read()
        assert str(file) in str(caught.value)
        assert "remove the file, or begin anew with --restart" in str(caught.value)


def test_a_write_that_fails_leaves_the_old_state(tmp_path):
    checkpoint = Checkpoint(tmp_path / "seed0.safetensors")
    checkpoint.write(Saved({"a": torch.ones(2)}, {"epoch": 1}))
    with pytest.raises(TypeError):
        checkpoint.write(Saved({"a": torch.ones(2)}, {"epoch": object()}))
    assert checkpoint.read().state == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["seed0.safetensors"]
