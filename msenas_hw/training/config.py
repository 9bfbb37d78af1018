"""How a network is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from msenas_hw.training.rules.assignment import Rules


class TrainingConfig(BaseModel):
    """Section `[training]` of a configuration.

    All arithmetic is float32. Autocast to bfloat16 was measured on a CPU with AVX2 (one thread, two
    convolutions, forward and backward): 7 times slower with 16 channels at 8 x 8, 15 times with 64 at
    16 x 16, so there is no key for it.

    Attributes:
        epochs: passes over the training part, at most.
        batch: samples a step.
        optimiser: `adamw` or `sgd`.
        learning_rate: the largest of the schedule. For the weights under `adamw` it is relative to the root
            mean square of each tensor, since Adam moves every weight by the same step.
        momentum: of `sgd`; under `one_cycle` it moves between 0.95 and 0.85 where it is not 0.
        weight_decay: decoupled from the gradient under `adamw`, added to it under `sgd`.
        schedule: of the learning rate: `one_cycle` (short rise, long fall along a cosine), `cosine` (fall to
            0) or `none`. The fall ends with the last of `epochs`.
        patience: epochs without a better one on validation after which training stops; none by default.
        seeds: one run a seed; the best by validation accuracy is kept.
        normalise: whether the current into a population is normalised while it is trained; folded after.
        weight_bits: train with the weights that a Loihi core stores in so many bits (mixed signs need 2);
            none trains in floating point. Populations that name a width of their own (`space.weight_bits`)
            are trained with that.
        float_share: where weights have a width, the share of `epochs` before the weights are rounded.
        rules: `{layer: learning rule}`, a layer being called by its population; `default` is for the others.
            Without any, every layer learns by the surrogate gradient through time.
        step_wise: a backward pass each step, so that memory does not grow with time; for the temporal
            rules `trace` and `none`, without normalisation and without a spike penalty.
        checkpoint: hold the values of so many steps at a time for the backward pass and compute them again
            there: the same gradients in less memory, without normalisation.
        spike_penalty: least weight of the mean spike rate in the loss.
        spike_penalty_start: the weight it takes once 0.9 of the energy, latency or operations allowed
            are used; it doubles with each epoch that still uses them.
        spike_penalty_most: the weight at which it stops growing.
        augmentation: what the keys `shift` to `jitter` are where they are left out: `light` (pictures move by
            up to a pixel), `usual` (what is usual for the set, docs/augmentation.md) or `none`. Training
            samples alone are augmented.
        shift: samples move by up to so many pixels, at random, zeros moving in.
        flip: half of the samples are mirrored, left to right.
        cutout: side in pixels of a square of zeros at a random place.
        drop: largest share of a sample's spikes that vanish.
        jitter: standard deviation of a spike's move in time, in steps.
        score_scale: mean output rates are multiplied by this to become class scores.
        label_smoothing: share of the target spread over all classes.
        gradient_norm: longer gradients are shortened to this length.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=30, ge=1)
    batch: int = Field(default=64, ge=1)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Literal["one_cycle", "cosine", "none"] = "one_cycle"
    patience: int | None = Field(default=None, ge=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    normalise: bool = True
    weight_bits: int | None = Field(default=None, ge=1, le=8)
    float_share: float = Field(default=0.5, ge=0, le=1)
    rules: Rules = Rules({})
    step_wise: bool = False
    checkpoint: int | None = Field(default=None, ge=1)
    spike_penalty: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    spike_penalty_start: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    spike_penalty_most: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    augmentation: Literal["light", "usual", "none"] = "light"
    shift: int | None = Field(default=None, ge=0)
    flip: bool | None = None
    cutout: int | None = Field(default=None, ge=0)
    drop: float | None = Field(default=None, ge=0, le=1)
    jitter: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    score_scale: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    gradient_norm: float = Field(default=5.0, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _steps_stand_alone(self) -> TrainingConfig:
        if self.step_wise and (self.normalise or self.spike_penalty > 0):
            raise ValueError("step_wise: needs normalise = false and spike_penalty = 0, which span all steps")
        if self.step_wise and self.checkpoint is not None:
            raise ValueError("checkpoint: step_wise holds one step at a time already; leave one of them out")
        if self.checkpoint is not None and self.normalise:
            raise ValueError(
                "checkpoint: needs normalise = false, as the statistics of a normaliser, and the gradients "
                "through them, span all steps"
            )
        return self
