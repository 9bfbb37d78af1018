"""Training of a chosen network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msenas_hw.training.config import TrainingConfig

if TYPE_CHECKING:
    from msenas_hw.training.checkpoint import Checkpoint
    from msenas_hw.training.trainer import Epoch, Excess, Observer, Trained, train

__all__ = ["Checkpoint", "Epoch", "Excess", "Observer", "Trained", "TrainingConfig", "train"]


def __getattr__(name: str) -> Any:
    """The trainer imports torch, which takes seconds; a configuration does without it."""
    if name not in __all__:
        raise AttributeError(f"module 'msenas_hw.training' has no attribute {name!r}")
    from msenas_hw.training import checkpoint, trainer

    return getattr(checkpoint if name == "Checkpoint" else trainer, name)
