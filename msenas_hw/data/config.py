"""Which data, and how they become input over time."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Encoding = Literal["rate", "latency", "graded", "events"]


class DataConfig(BaseModel):
    """Section `[data]` of a configuration.

    Attributes:
        name: a built-in set (`digits`, `fashion-mnist`) or the path of an NPZ file.
        folder: where the files of `fashion-mnist` are; without it they are searched.
        encoding: how a value becomes spikes (`msenas_hw.data.encode`).
        steps: time steps T of a sample.
        dt_s: seconds a step.
        samples: training samples of the batch on which a candidate is evaluated.
        validation: samples cut from the end of the training part, where the data name no such part.
        train_samples: training samples kept, in the classes' shares; without it all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="digits", min_length=1)
    folder: str | None = Field(default=None, min_length=1)
    encoding: Encoding = "rate"
    steps: int = Field(default=8, ge=1)
    dt_s: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    samples: int = Field(default=64, ge=2)
    validation: int = Field(default=200, ge=1)
    train_samples: int | None = Field(default=None, ge=1)
