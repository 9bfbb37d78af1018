"""How the chosen network is trained."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """Section `[training]` of a configuration.

    Attributes:
        epochs: passes over the training part.
        batch: samples a step.
        learning_rate: largest learning rate of one cycle (short rise, long fall along a cosine); for weights
            it is relative to the root mean square of each tensor.
        weight_decay: decoupled weight decay.
        seeds: one run a seed; the best by validation accuracy is kept.
        spike_penalty: least weight of the mean spike rate in the loss.
        spike_penalty_start: the weight it takes once 0.9 of the energy, latency or operations allowed
            are used; it doubles with each epoch that still uses them.
        spike_penalty_most: the weight at which it stops growing.
        shift: samples move by up to so many pixels, at random.
        score_scale: mean output rates are multiplied by this to become class scores.
        label_smoothing: share of the target spread over all classes.
        gradient_norm: longer gradients are shortened to this length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    spike_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    spike_penalty_start: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    spike_penalty_most: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    shift: int = Field(default=1, ge=0)
    score_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    gradient_norm: float = Field(default=5.0, gt=0, allow_inf_nan=False)
