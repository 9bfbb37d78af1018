"""What a search may choose from, and the task that it is for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from msenas_hw.space.genome import Genome, Model
from msenas_hw.training.rules.assignment import parse
from targets.errors import ConfigError

MotifName = Literal[
    "feed_forward_excitation",
    "feed_forward_inhibition",
    "feedback_inhibition",
    "lateral_inhibition",
    "mutual_inhibition",
]
Count = Annotated[int, Field(ge=1)]
Steps = Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Times = Annotated[int, Field(ge=3)]
Bits = Annotated[int, Field(ge=4, le=8)]

ALL_MOTIFS: tuple[MotifName, ...] = MotifName.__args__  # type: ignore[attr-defined]


class SpaceConfig(BaseModel):
    """Ranges of every gene; each list holds the values allowed.

    Attributes:
        cells: fewest and most cells.
        widths: channels of each population of a cell.
        taus, taus_syn: time constants in steps.
        thresholds: in units of what balancing aims at (1).
        weight_bits: widths in which a chip stores the weights into a population, or into the readout.
        rules: learning rules of a population and of the readout (`msenas_hw.training.rules`), for the
            second stage of a search; the training-free fitness cannot see them.
        max_halvings: how often the resolution may halve between the Input and any cell.
        feedback: whether cells may project back to earlier cells.
        steps: time steps of a sample; empty means those of the data. At least 3, since feedback inhibition
            takes 2 steps of delay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: tuple[Count, Count] = (2, 4)
    widths: tuple[Count, ...] = Field((8, 16, 24, 32), min_length=1)
    motifs: tuple[MotifName, ...] = Field(ALL_MOTIFS, min_length=1)
    models: tuple[Model, ...] = Field(("if", "lif", "cubalif"), min_length=1)
    taus: tuple[Steps, ...] = Field((2.0, 4.0, 8.0), min_length=1)
    taus_syn: tuple[Steps, ...] = Field((2.0, 4.0), min_length=1)
    thresholds: tuple[Positive, ...] = Field((0.75, 1.0, 1.5), min_length=1)
    kernels: tuple[Literal[3, 5], ...] = Field((3, 5), min_length=1)
    weight_bits: tuple[Bits, ...] = Field((8,), min_length=1)
    rules: tuple[str, ...] = Field(("bp",), min_length=1)
    max_halvings: Annotated[int, Field(ge=0)] = 2
    feedback: bool = True
    steps: tuple[Times, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> SpaceConfig:
        if self.cells[0] > self.cells[1]:
            raise ValueError(f"cells: found {self.cells}, allowed (fewest, most)")
        for key, values in self:
            if key == "cells" or not isinstance(values, tuple):
                continue
            if len(set(values)) != len(values):
                raise ValueError(f"{key}: found {values}, allowed each value once")
        for rule in self.rules:
            parse("space.rules", rule)
        return self


@dataclass(frozen=True)
class Task:
    """What a network must read and say.

    Attributes:
        input_shape: (channels, rows, columns) of one step.
        classes: neurons of the readout.
        steps: steps of one sample; at least 3, since feedback inhibition takes 2 steps of delay.
        dt: seconds a step.

    Raises:
        ConfigError: a value is outside its range.
    """

    input_shape: tuple[int, int, int]
    classes: int
    steps: int
    dt: float = 1e-3

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1 or max(self.input_shape[1:]) < 2:
            raise ConfigError(
                f"task input_shape: found {self.input_shape}, allowed (channels, rows, columns), each >= 1 "
                "and more than one pixel"
            )
        if self.classes < 2:
            raise ConfigError(f"task classes: found {self.classes}, allowed >= 2")
        if self.steps < 3:
            raise ConfigError(
                f"task steps: found {self.steps}, allowed >= 3 (feedback takes 2 steps of delay)"
            )
        if not 0.0 < self.dt < float("inf"):
            raise ConfigError(f"task dt: found {self.dt}, allowed a positive number of seconds")


def own_task(genome: Genome, task: Task) -> Task:
    """The task with the genome's own number of steps, where it has one.

    Raises:
        ConfigError: too few of them.
    """
    return task if genome.steps is None else replace(task, steps=genome.steps)
