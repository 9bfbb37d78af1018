"""Training of a chosen network."""

from __future__ import annotations

from msenas_hw.training.config import TrainingConfig
from msenas_hw.training.trainer import Epoch, Trained, train

__all__ = ["Epoch", "Trained", "TrainingConfig", "train"]
