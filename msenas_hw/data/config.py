"""Which data, and how they become input over time."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Encoding = Literal["rate", "latency", "graded", "events"]


class DataConfig(BaseModel):
    """Section `[data]` of a configuration.

    Attributes:
        name: a set (`msenas data list`) or the path of an NPZ file.
        folder: where the files of the set are; without it they are searched.
        encoding: how a value becomes spikes (`msenas_hw.data.encode`); `events` for recorded ones.
        steps: time steps T of a sample.
        dt_s: seconds a step.
        binning: whether the steps of recorded events are equal spans of `time`, or hold equal numbers of
            events (`count`).
        window_s: recorded seconds that the steps cover, from the recording's begin; without it each
            recording up to its last event.
        downsample: so many pixels of the sensor along each axis become one.
        polarity: whether polarities of events stay apart (`split`, two channels) or are added up (`merge`).
        counts: whether a step holds numbers of events, which is graded input, in place of whether there
            was one.
        samples: training samples of the batch on which a candidate is evaluated.
        validation: samples cut from the end of the training part, where the data name no such part.
        train_samples: training samples kept, in the classes' shares; without it all.
        folds: deal all samples anew into so many folds, of which one is the test part; for sets without an
            official test part alone.
        fold: which one, from 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="digits", min_length=1)
    folder: str | None = Field(default=None, min_length=1)
    encoding: Encoding = "rate"
    steps: int = Field(default=8, ge=1)
    dt_s: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    binning: Literal["time", "count"] = "time"
    window_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    downsample: int = Field(default=1, ge=1)
    polarity: Literal["split", "merge"] = "split"
    counts: bool = False
    samples: int = Field(default=64, ge=2)
    validation: int = Field(default=200, ge=1)
    train_samples: int | None = Field(default=None, ge=1)
    folds: int | None = Field(default=None, ge=2)
    fold: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fold_of_folds(self) -> DataConfig:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold: found {self.fold}, allowed 0 to {(self.folds or 1) - 1}, below folds")
        return self
